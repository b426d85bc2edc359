"""The replay of a stored comparison: the rows of `compare.encode` for each pane, each with its time in seconds.

The browser plays them; no engine is used. There is no session that could be asked for alternatives, so they are in the
rows: after the piece of a token, and after the probabilities of a forced position. Every pane begins at 0 s, when its
engine accepted the request: the time that a pane waited for others is not on its clock, and so not in the replay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from playground.compare import encode
from playground.compare.answer import Answer, ForcedAnswer
from playground.compare.outcome import Divergence, diverges_at, shared_tokens
from playground.compare.stored import Compared
from playground.compare.turns import NUMBERS_EVERY_S
from playground.core import ForcedToken, Progress, Token
from playground.formatting import rounded

KEY = "run"  # of the only turn
MAX_NUMBERS = 160  # updates of one pane's figures: those of a long answer are further apart
Timed = tuple[float, encode.Row]


def panes(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The panes of a comparison's row: label, end (s), every step (ms), and timed rows."""
    answers = Compared.from_row(row).answers
    all_done = max((answer.end_s for answer in answers), default=0.0)
    rows = []
    for index, answer in enumerate(answers):
        facts = row["variants"][index] if index < len(row["variants"]) else {}
        timed = [(0.0, _head(answer, facts, index == 0)), *_answer(answer), *_parts(answers, index)]
        if answer.forced:
            timed += _forced(answer.forced, answers[0], answer, all_done)
        rows.append(
            {
                "label": answer.label,
                "end": round(answer.end_s, 4),
                "steps": [rounded(token.step_s * 1e3) for token in answer.tokens[1:]],
                "rows": [[round(at, 4), row] for at, row in sorted(timed, key=lambda entry: entry[0])],
            }
        )
    return rows


def _head(answer: Answer, facts: Mapping[str, Any], reference: bool) -> encode.Row:
    return [
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
            "engine": "",  # shown by the settings chip; a replay offers no choice of engine
            "engines": [],
        },
    ]


def _token(token: Token, previous: Token | None) -> encode.Row:
    return [*encode.token(token, previous)[:6], token.piece, encode.alternatives(token.top[:5])]


def _position(token: ForcedToken) -> encode.Row:
    return list(encode.position(token).values())


def _answer(answer: Answer) -> list[Timed]:
    """The prompt, every token at its time, the figures at intervals, and the end."""
    raw, prompt, sampling = isinstance(answer.source, str), answer.prompt, answer.sampling
    template = prompt.template if prompt and not raw else None
    timed: list[Timed] = [
        (0.0, ["user", answer.question, KEY]),
        (0.0, encode.made(sampling, raw, answer.loaded, template)),
    ]
    if answer.tokens:
        count = len(prompt.ids) if prompt else 0
        timed.append((0.0, encode.state("reading", Progress("", count, 0, "tokens"))))
    partial = replace(answer, tokens=[], finish=None)
    interval, written_at = max(NUMBERS_EVERY_S, answer.end_s / MAX_NUMBERS), -1.0
    for index, token in enumerate(answer.tokens):
        timed.append((token.time_s, _token(token, answer.tokens[index - 1] if index else None)))
        partial.tokens.append(token)
        if token.time_s - written_at >= interval:
            timed.append((token.time_s, encode.numbers(partial)))
            written_at = token.time_s
    if answer.tokens:
        timed.append((answer.end_s, encode.numbers(answer)))
    if answer.error:
        timed.append((answer.end_s, encode.fail(answer.error)))
    elif answer.finish:
        timed.append((answer.end_s, encode.end(answer, answer.finish, sampling)))
    return timed


def _parts(answers: Sequence[Answer], index: int) -> list[Timed]:
    """The first differing token, once both sides have it; in the reference's pane those of all other panes."""
    reference = answers[0]
    timed = []
    for other in answers[1:] if index == 0 else [answers[index]]:
        if split := diverges_at(reference, other):
            part = encode.part(split, other.label, reference.label, reference=index == 0)
            timed.append((_split_time(split, reference, other), part))
    return timed


def _split_time(split: Divergence, reference: Answer, other: Answer) -> float:
    sides = ((split.reference, reference), (split.other, other))
    return max(token.time_s if token else answer.end_s for token, answer in sides)


def _forced(forced: ForcedAnswer, reference: Answer, answer: Answer, time_s: float) -> list[Timed]:
    """The reference's answer forced through this variant, at `time_s`, when all panes are done."""
    rows = [encode.measure(KEY, reference.label, len(reference.tokens), shared_tokens(reference, answer))]
    if forced.tokens:
        rows.append(["forced", 0, [_position(token) for token in forced.tokens]])
    rows.append(encode.measured("done" if forced.tokens else "blocked", forced.sentence(reference.label)))
    return [(time_s, row) for row in rows]
