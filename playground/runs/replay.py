"""A stored comparison as a pane shows it: the same lines as in `compare.encode`, each with the second at which it came.

The browser plays them; nothing is asked of an engine. Every pane begins at 0 s, when its engine took the request: what
a pane waited for others is not in its clock, so that it is not in the replay either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from playground.compare import encode
from playground.compare.answer import Answer, ForcedAnswer
from playground.compare.outcome import Divergence, diverges_at, shared
from playground.compare.stored import Compared
from playground.core import Progress

KEY = "run"  # of the one turn there is
NUMBERS_EVERY_S = 0.25
MAX_NUMBERS = 160  # of one pane: a long answer is told at longer intervals
Timed = tuple[float, str]


def panes(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`row`: a comparison's. For every pane its name, how long it took (s), every step (ms), and its timed lines."""
    answers = Compared.from_row(row).answers
    everything = max((answer.end_s for answer in answers), default=0.0)
    shown = []
    for index, answer in enumerate(answers):
        facts = row["variants"][index] if index < len(row["variants"]) else {}
        lines = [(0.0, _head(answer, facts, index == 0)), *_answer(answer), *_parts(answers, index)]
        if answer.forced:
            lines += _forced(answer.forced, answers[0], answer, everything)
        shown.append(
            {
                "label": answer.label,
                "end": round(answer.end_s, 4),
                "steps": [round(token.step_s * 1e3, 2) for token in answer.tokens[1:]],
                "lines": [[round(at, 4), text] for at, text in sorted(lines, key=lambda timed: timed[0])],
            }
        )
    return shown


def _head(answer: Answer, facts: Mapping[str, Any], reference: bool) -> str:
    return encode.line(
        "head",
        {
            "label": answer.label,
            "role": "reference" if reference else "",
            "id": str(facts.get("id") or answer.variant_id),
            "source": str(facts.get("source") or ""),
            "facts": encode.size_facts(
                facts.get("bits_per_weight"), facts.get("bytes"), bool(facts.get("bytes_are_estimated"))
            ),
            "notes": [],
            "engine": "",  # the line below says it, and nobody chooses another one here
            "engines": [],
        },
    )


def _answer(answer: Answer) -> list[Timed]:
    """The prompt, every token at its time, the numbers as they grew, and how it ended."""
    raw, prompt, sampling = isinstance(answer.source, str), answer.prompt, answer.sampling
    template = prompt.template if prompt and not raw else None
    lines: list[Timed] = [
        (0.0, encode.line("user", answer.question, KEY)),
        (0.0, encode.made(sampling, raw, answer.loaded, template)),
    ]
    if answer.tokens:
        count = len(prompt.ids) if prompt else 0
        lines.append((0.0, encode.state("reading", Progress("", count, 0, "tokens"))))
    growing = replace(answer, tokens=[], finish=None)
    every, last = max(NUMBERS_EVERY_S, answer.end_s / MAX_NUMBERS), -1.0
    for index, token in enumerate(answer.tokens):
        lines.append((token.time_s, encode.token(token, answer.tokens[index - 1] if index else None)))
        growing.tokens.append(token)
        if token.time_s - last >= every:
            lines.append((token.time_s, encode.numbers(growing)))
            last = token.time_s
    if answer.tokens:
        lines.append((answer.end_s, encode.numbers(answer)))
    if answer.error:
        lines.append((answer.end_s, encode.fail(answer.error)))
    elif answer.finish:
        lines.append((answer.end_s, encode.end(answer, answer.finish, sampling)))
    return lines


def _parts(answers: Sequence[Answer], index: int) -> list[Timed]:
    """Where the texts part, in the reference for every other pane; as soon as both tokens were there."""
    reference = answers[0]
    lines = []
    for other in answers[1:] if index == 0 else [answers[index]]:
        if split := diverges_at(reference, other):
            part = encode.part(split, other.label, reference.label, reference=index == 0)
            lines.append((_split_time(split, reference, other), part))
    return lines


def _split_time(split: Divergence, reference: Answer, other: Answer) -> float:
    sides = ((split.reference, reference), (split.other, other))
    return max(token.time_s if token else answer.end_s for token, answer in sides)


def _forced(forced: ForcedAnswer, reference: Answer, own: Answer, after: float) -> list[Timed]:
    """The reference's answer as this variant saw it: measured once all panes were done."""
    lines = [encode.measure(KEY, reference.label, len(reference.tokens), shared(reference, own))]
    if forced.tokens:
        lines.append(encode.forced(0, forced.tokens))
    lines.append(encode.measured("done" if forced.tokens else "blocked", forced.sentence(reference.label)))
    return [(after, text) for text in lines]
