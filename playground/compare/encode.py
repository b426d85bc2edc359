"""A pane's content as append-only JSON lines, [kind, …], so that the browser only reads what is new.

The browser draws it with `textContent`, so no name, prompt, output or error is ever HTML.

    head  {label, role, id, source, facts: [[text, explanation]], notes, engine, engines: [base.Option]}
    user  prompt, key of the turn | made  settings, where it runs, kernel
    state name, stage, done, total, unit      waiting, loading, ready, reading, running
    tok   text, piece, step ms, gap ms or null, probability or null, [[text, probability], …]
    num   {decode, ttft, prefill, tpot, tokens, memory, p50, p99}   null where unknown
    part  token index, sentence, label        where the texts part
    measure   key of the reference's turn, label of its pane, its tokens, how many of them this text shares
    forced    first position, [[kld nats, agree, reference's probability, own probability, reference's top, own top] …]
    measured  state, words                    measuring, done, open (a button measures), blocked
    end   state, words, what the engine itself reports    done, stopped
    fail  message, hint, log
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import exp, isfinite
from typing import Any

from playground.compare.answer import Answer
from playground.compare.outcome import Divergence
from playground.core import Finish, ForcedToken, Loaded, Progress, Reported, Sampling, Token, Variant
from playground.engines import base
from playground.engines.base import NAMES, Option
from playground.errors import PlaygroundError
from playground.web.values import inert, megabytes


def line(*parts: Any) -> str:
    """One event."""
    return inert(parts) + "\n"


def size_facts(bits: float | None, count: int | None, estimated: bool) -> list[list[str]]:
    """The size facts of a pane's head: pairs of text and explanation.

    bits   per weight
    count  bytes
    """
    facts = []
    if bits is not None:
        facts.append([f"{bits:.1f} bits per weight", "All tensors of the checkpoint, in bits, over its parameters."])
    if count is not None:
        explanation = "Estimated: it is quantized while loading, nothing is stored." if estimated else "On disk."
        facts.append([("≈ " if estimated else "") + megabytes(count), explanation])
    return facts


def head(
    variant: Variant | None,
    name: str,
    reference: bool,
    origin: str = "",
    engine: str = "",
    options: Sequence[Option] = (),
) -> str:
    """The title of a pane. `origin` is shown in the bar, so it is cut from the variant's source."""
    role = "reference" if reference else ""
    if variant is None:
        return line(
            "head",
            {
                "label": name,
                "role": role,
                "id": name,
                "source": "",
                "facts": [],
                "notes": [],
                "engine": "",
                "engines": [],
            },
        )
    facts = size_facts(variant.bits_per_weight, variant.bytes, variant.bytes_are_estimated)
    return line(
        "head",
        {
            "label": variant.label,
            "role": role,
            "id": variant.id,
            "source": variant.source.removeprefix(f"{origin}; ") if origin else variant.source,
            "facts": facts,
            "notes": [note for note in variant.notes if _concerns(note, engine)],
            "engine": engine,
            "engines": [asdict(option) for option in options],
        },
    )


def _concerns(note: str, engine: str) -> bool:
    """Whether a note applies to a pane on this engine: one about an engine begins with its name."""
    about = note.partition(" ")[0]
    return not engine or about == engine or about not in NAMES


def state(name: str, progress: Progress | None = None) -> str:
    if progress is None:
        return line("state", name)
    return line("state", name, progress.stage, progress.done, progress.total, progress.unit)


def made(sampling: Sampling, raw: bool, loaded: Loaded | None, template: str | None) -> str:
    """The settings chip of one answer, the engine, device and dtype that computed it, and its matmul kernel."""
    chip = str(sampling)
    if raw:
        chip += " · raw completion"
    elif template == "raw":
        chip += " · no chat template: raw completion"
    if loaded and loaded.clock == "client":
        chip += " · timed at arrival"
    if loaded is None:
        return line("made", chip, "", "")
    return line("made", chip, f"{base.title(loaded.engine)} on {loaded.device}, {loaded.dtype}", loaded.kernel)


def _share(logprob: float | None) -> float | None:
    return round(exp(min(0.0, logprob)), 4) if logprob is not None and isfinite(logprob) else None


def token(item: Token, previous: Token | None) -> str:
    gap = None if previous is None else round((item.time_s - previous.time_s) * 1e3, 2)
    top = [[entry.text, _share(entry.logprob)] for entry in item.top[:5]]
    return line("tok", item.text, item.piece, round(item.step_s * 1e3, 2), gap, _share(item.logprob), top)


def numbers(result: Answer) -> str:
    """The metrics so far, from `metrics.timing`: ms, tokens/s, tokens, bytes."""
    times = result.timing()

    def ms(seconds: float | None) -> float | None:
        return None if seconds is None else round(seconds * 1e3, 2)

    def rate(value: float | None) -> float | None:
        return None if value is None else round(value, 2)

    return line(
        "num",
        {
            "decode": rate(times.decode_tok_s),
            "ttft": ms(times.ttft_s),
            "prefill": rate(times.prefill_tok_s),
            "tpot": ms(times.tpot_s),
            "tokens": times.output_tokens or None,
            "memory": result.peak_memory_bytes,
            "p50": ms(times.itl_p50_s),
            "p99": ms(times.itl_p99_s),
        },
    )


def part(split: Divergence, label: str, reference_label: str, reference: bool) -> str:
    """The first token at which the pane `label` differs from the reference; `reference`: the line is for its pane."""
    words = split.sentence(label, reference_label if reference_label != label else "the reference")
    return line("part", split.index, words, "" if reference else label)


def forced(start: int, tokens: Sequence[ForcedToken]) -> str:
    """Positions of the reference's answer, forced through this variant."""
    rows = [
        [
            _significant(token.kld),
            token.agrees,
            *(_share(token.logprob_reference), _share(token.logprob)),
            *([[entry.text, _share(entry.logprob)] for entry in top] for top in (token.top_reference, token.top)),
        ]
        for token in tokens
    ]
    return line("forced", start, rows)


def _significant(kld: float) -> float:
    return float(f"{kld:.3g}")


def measure(turn: str, label: str, tokens: int, shared: int) -> str:
    """Begin a measurement: the reference's turn, its pane's label, its tokens, and how many this text shares."""
    return line("measure", turn, label, tokens, shared)


def measured(state: str, words: str) -> str:
    """The state of the measurement."""
    return line("measured", state, words)


def progress(item: Progress) -> str:
    return f"{item.stage}, {item.done / item.total:.0%}" if item.total else item.stage


def end(result: Answer, finish: Finish, sampling: Sampling) -> str:
    reason = {
        "stop": "ended by itself",
        "length": f"reached the limit of {sampling.max_tokens} tokens",
        "abort": "stopped",
        "error": "failed",
    }[finish.reason]
    count = len(result.tokens)
    words = [f"{count} token{'' if count == 1 else 's'}", reason]
    if finish.waited_s >= 0.05:
        words.append(f"waited {finish.waited_s:.1f} s for others")
    if finish.contended:
        words.append("contended: ran at once with another pane")
    name = "stopped" if finish.reason == "abort" else "done"
    return line("end", name, " · ".join(words), _reported(finish.reported))


def _reported(figures: Reported | None) -> str:
    """The engine's own figures of this answer, to compare with the measured ones; "" where there are none."""
    if figures is None:
        return ""
    words = []
    if figures.ttft_s is not None:
        words.append(f"TTFT {figures.ttft_s * 1e3:.0f} ms")
    if figures.prefill_s is not None:
        words.append(f"prefill {figures.prefill_s * 1e3:.0f} ms")
    if figures.decode_tok_s is not None:
        words.append(f"{figures.decode_tok_s:.2f} tok/s decode")
    return f"{figures.source}: {', '.join(words)}" if words else ""


def fail(error: PlaygroundError) -> str:
    return line("fail", error.message, error.hint, error.log_tail)
