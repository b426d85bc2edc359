"""A stored comparison as a pane shows it: the same lines as in `compare.encode`, each with the second at which it came.

The browser plays them; nothing is asked of an engine. Every pane begins at 0 s, when its engine took the request: what
a pane waited for others is not in its clock, so that it is not in the replay either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from playground.compare import encode
from playground.compare.result import Divergence, PaneResult, diverges_at
from playground.compare.stored import alternatives
from playground.compare.stored import pane as one_pane
from playground.core import ForcedToken, Progress, Sampling, summary

KEY = "run"  # of the one turn there is
NUMBERS_EVERY_S = 0.25
MAX_NUMBERS = 160  # of one pane: a long answer is told at longer intervals
Timed = tuple[float, str]


def panes(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`row`: a comparison's. For every pane its name, how long it took (s), every step (ms), and its timed lines."""
    result = row["result"]
    stored = result.get("panes") or []
    prompts = [pane.get("prompt") or result.get("prompt") or {} for pane in stored]
    found = [one_pane(pane, prompt) for pane, prompt in zip(stored, prompts, strict=True)]
    labels = [str(pane.get("label") or pane["variant"]) for pane in stored]
    forced = result.get("forced") or [None] * len(stored)
    everything = max((_end(one) for one in found), default=0.0)
    shown = []
    for index, (pane, one) in enumerate(zip(stored, found, strict=True)):
        facts = row["variants"][index] if index < len(row["variants"]) else {}
        lines = [
            (0.0, _head(pane, facts, labels[index], index == 0)),
            *_answer(one, prompts[index], settings(row, pane)),
        ]
        lines += _parts(found, labels, index)
        if index:
            lines += _forced(forced[index] if index < len(forced) else None, found[0], one, labels[0], everything)
        shown.append(
            {
                "label": labels[index],
                "end": round(_end(one), 4),
                "steps": [round(token.step_s * 1e3, 2) for token in one.tokens[1:]],
                "lines": [[round(at, 4), text] for at, text in sorted(lines, key=lambda timed: timed[0])],
            }
        )
    return shown


def settings(row: Mapping[str, Any], pane: Mapping[str, Any]) -> Sampling:
    """How the tokens of a pane were chosen. What this version does not know of is left out."""
    given = pane.get("sampling") or (row.get("settings") or {}).get("sampling") or {}
    known = {name: value for name, value in given.items() if name in Sampling.__dataclass_fields__}
    return Sampling(**known | {"stop": tuple(known.get("stop") or ())})


def _end(found: PaneResult) -> float:
    return found.tokens[-1].time_s if found.tokens else 0.0


def _head(pane: Mapping[str, Any], facts: Mapping[str, Any], label: str, reference: bool) -> str:
    return encode.line(
        "head",
        {
            "label": label,
            "role": "reference" if reference else "",
            "id": str(facts.get("id") or pane["variant"]),
            "source": str(facts.get("source") or ""),
            "facts": encode.size_facts(
                facts.get("bits_per_weight"), facts.get("bytes"), bool(facts.get("bytes_are_estimated"))
            ),
            "notes": [],
            "engine": "",  # the line below says it, and nobody chooses another one here
            "engines": [],
        },
    )


def _answer(found: PaneResult, prompt: Mapping[str, Any], sampling: Sampling) -> list[Timed]:
    """The prompt, every token at its time, the numbers as they grew, and how it ended."""
    template = prompt.get("template")
    raw = not prompt.get("messages")
    lines: list[Timed] = [
        (0.0, encode.line("user", asked(prompt), KEY)),
        (0.0, encode.made(sampling, raw, found.loaded, None if raw else template)),
    ]
    if found.tokens:
        lines.append((0.0, encode.state("reading", Progress("", len(prompt.get("ids") or ()), 0, "tokens"))))
    growing = replace(found, tokens=[], finish=None)
    every, told = max(NUMBERS_EVERY_S, _end(found) / MAX_NUMBERS), -1.0
    for index, token in enumerate(found.tokens):
        lines.append((token.time_s, encode.token(token, found.tokens[index - 1] if index else None)))
        growing.tokens.append(token)
        if token.time_s - told >= every:
            lines.append((token.time_s, encode.numbers(growing)))
            told = token.time_s
    if found.tokens:
        lines.append((_end(found), encode.numbers(found)))
    if found.error:
        lines.append((_end(found), encode.fail(found.error)))
    elif found.finish:
        lines.append((_end(found), encode.end(found, found.finish, sampling)))
    return lines


def asked(prompt: Mapping[str, Any]) -> str:
    """What the user wrote last; of a raw completion the text itself."""
    messages = prompt.get("messages") or ()
    return str(messages[-1]["content"]) if messages else str(prompt.get("text") or "")


def _parts(found: Sequence[PaneResult], labels: Sequence[str], index: int) -> list[Timed]:
    """Where the texts part, in the reference for every other pane; as soon as both tokens were there."""
    others = range(1, len(found)) if index == 0 else (index,)
    lines = []
    for other in others:
        split = _split(found[0], found[other])
        if split:
            sides = labels[other], labels[0]
            lines.append((_when(split, found[0], found[other]), encode.part(split, *sides, reference=index == 0)))
    return lines


def _split(reference: PaneResult, other: PaneResult) -> Divergence | None:
    a, b = reference.prompt, other.prompt
    if not (a and b and a.ids and a.ids == b.ids and a.tokenizer_hash == b.tokenizer_hash):
        return None
    return diverges_at(reference, other)


def _when(split: Divergence, reference: PaneResult, other: PaneResult) -> float:
    sides = ((split.reference, reference), (split.other, other))
    return max(token.time_s if token else _end(side) for token, side in sides)


def _forced(
    stored: Mapping[str, Any] | None, reference: PaneResult, own: PaneResult, label: str, after: float
) -> list[Timed]:
    """The reference's answer as this variant saw it: measured once all panes were done."""
    if not stored:
        return []
    tokens = [_forced_token(one) for one in stored.get("positions") or ()]
    shared = _shared(reference, own)
    lines = [encode.measure(KEY, label, len(reference.tokens), shared)]
    if tokens:
        lines.append(encode.forced(0, tokens))
    words = _words(stored, tokens, len(reference.tokens), label)
    lines.append(encode.measured("done" if tokens else "blocked", words))
    return [(after, text) for text in lines]


def _words(stored: Mapping[str, Any], tokens: Sequence[ForcedToken], total: int, label: str) -> str:
    """What was found, over how much, and why there is no more."""
    reason = str(stored.get("reason") or "")
    seen = summary(tokens)
    if seen is None:
        return reason
    first = "" if seen.tokens == total else f"the first {seen.tokens} of "
    words = f"{seen} on {first}{label}’s {total} tokens, this prompt only."
    return f"{words[:1].upper()}{words[1:]} {reason}".strip()


def _forced_token(raw: Mapping[str, Any]) -> ForcedToken:
    return ForcedToken(
        kld=float(raw["kld"]),
        agrees=bool(raw["agrees"]),
        logprob_reference=float(raw["logprob_reference"]),
        logprob=float(raw["logprob"]),
        top_reference=alternatives(raw.get("top_reference")),
        top=alternatives(raw.get("top")),
    )


def _shared(reference: PaneResult, own: PaneResult) -> int:
    """How many of its own tokens had the reference's context: up to and with the one where the texts part."""
    if reference.prompt is None or own.prompt is None or reference.prompt.ids != own.prompt.ids:
        return 0
    split, count = _split(reference, own), min(len(reference.tokens), len(own.tokens))
    return min(count, split.index + 1) if split else count
