"""A pane's content as rows [kind, …], of which the browser only reads what is new (the table is in docs/stream.md).

The browser draws them with `textContent`, so no name, prompt, output or error is ever HTML. A number that is shown is
rounded here once, by the function that tables, CSV and model cards use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import exp, isfinite
from typing import Any

from playground.compare.answer import Answer
from playground.compare.outcome import Divergence
from playground.core import Alternative, Finish, ForcedToken, Loaded, Progress, Reported, Sampling, Token, Variant
from playground.engines import base
from playground.engines.base import NAMES, Option
from playground.errors import PlaygroundError
from playground.formatting import rounded
from playground.web.values import megabytes

Row = list[Any]


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
) -> Row:
    """The title of a pane. `origin` is shown in the bar, so it is cut from the variant's source."""
    role = "reference" if reference else ""
    fields: dict[str, Any] = {"label": name, "role": role, "id": name, "source": "", "facts": [], "notes": []}
    if variant is not None:
        fields |= {
            "label": variant.label,
            "id": variant.id,
            "source": variant.source.removeprefix(f"{origin}; ") if origin else variant.source,
            "facts": size_facts(variant.bits_per_weight, variant.bytes, variant.bytes_are_estimated),
            "notes": [note for note in variant.notes if _concerns(note, engine)],
        }
    return ["head", fields | {"engine": engine, "engines": [asdict(option) for option in options]}]


def _concerns(note: str, engine: str) -> bool:
    """Whether a note applies to a pane on this engine: one about an engine begins with its name."""
    about = note.partition(" ")[0]
    return not engine or about == engine or about not in NAMES


def state(name: str, progress: Progress | None = None) -> Row:
    if progress is None:
        return ["state", name]
    return ["state", name, progress.stage, progress.done, progress.total, progress.unit]


def made(sampling: Sampling, raw: bool, loaded: Loaded | None, template: str | None) -> Row:
    """The settings chip of one answer, the engine, device and dtype that computed it, and its matmul kernel."""
    chip = str(sampling)
    if raw:
        chip += " · raw completion"
    elif template == "raw":
        chip += " · no chat template: raw completion"
    if loaded and loaded.clock == "client":
        chip += " · timed at arrival"
    if loaded is None:
        return ["made", chip, "", ""]
    return ["made", chip, f"{base.title(loaded.engine)} on {loaded.device}, {loaded.dtype}", loaded.kernel]


def _share(logprob: float | None) -> float | None:
    return round(exp(min(0.0, logprob)), 4) if logprob is not None and isfinite(logprob) else None


def alternatives(top: Sequence[Alternative]) -> list[list[Any]]:
    """The most probable tokens with their probabilities, best first."""
    return [[entry.text, _share(entry.logprob)] for entry in top]


def token(item: Token, previous: Token | None) -> Row:
    gap = None if previous is None else rounded((item.time_s - previous.time_s) * 1e3)
    logprob = None if item.logprob is None or not isfinite(item.logprob) else round(item.logprob, 4)
    row: Row = ["tok", item.id, item.text, rounded(item.step_s * 1e3), gap, logprob]
    return row if item.piece == item.text else [*row, item.piece]


def numbers(result: Answer) -> Row:
    """The metrics so far, from `metrics.timing`: ms, tokens/s, tokens, bytes."""
    times = result.timing()

    def ms(seconds: float | None) -> float | None:
        return None if seconds is None else rounded(seconds * 1e3)

    return [
        "num",
        {
            "decode": rounded(times.decode_tok_s),
            "ttft": ms(times.ttft_s),
            "prefill": rounded(times.prefill_tok_s),
            "tpot": ms(times.tpot_s),
            "tokens": times.output_tokens or None,
            "memory": result.peak_memory_bytes,
            "p50": ms(times.itl_p50_s),
            "p99": ms(times.itl_p99_s),
        },
    ]


def part(split: Divergence, label: str, reference_label: str, reference: bool) -> Row:
    """The first token at which the pane `label` differs from the reference; `reference`: the row is for its pane."""
    words = split.sentence(label, reference_label if reference_label != label else "the reference")
    return ["part", split.index, words, "" if reference else label]


def forced(start: int, tokens: Sequence[ForcedToken]) -> Row:
    """Positions of the reference's answer, forced through this variant."""
    rows = [
        [_significant(token.kld), token.agrees, _share(token.logprob_reference), _share(token.logprob)]
        for token in tokens
    ]
    return ["forced", start, rows]


def position(token: ForcedToken) -> dict[str, Any]:
    """One of these positions with both sides' most probable tokens."""
    kld, agrees, reference, own = forced(0, [token])[2][0]
    return {
        "kld": kld,
        "agrees": agrees,
        "reference": reference,
        "own": own,
        "top_reference": alternatives(token.top_reference),
        "top": alternatives(token.top),
    }


def _significant(kld: float) -> float:
    return float(f"{kld:.3g}")


def measure(turn: str, label: str, tokens: int, shared: int) -> Row:
    """Begin a measurement: the reference's turn, its pane's label, its tokens, and how many this text shares."""
    return ["measure", turn, label, tokens, shared]


def measured(state: str, words: str) -> Row:
    """The state of the measurement."""
    return ["measured", state, words]


def forget(what: str) -> Row:
    """Take the last "part", "forced" or "turn" away."""
    return ["forget", what]


def progress(item: Progress) -> str:
    return f"{item.stage}, {item.done / item.total:.0%}" if item.total else item.stage


def end(result: Answer, finish: Finish, sampling: Sampling) -> Row:
    reason = {
        "stop": f"finished (end-of-text token{' or stop string' if sampling.stop else ''})",
        "length": f"reached the limit of {sampling.max_tokens} tokens",
        "abort": "stopped",
        "error": "failed",
    }[finish.reason]
    count = len(result.tokens)
    words = [f"{count} token{'' if count == 1 else 's'}", reason]
    if finish.waited_s >= 0.05:
        words.append(f"{finish.waited_s:.1f} s paused while other answers ran")
    if finish.contended:
        words.append("contended: ran at the same time as another pane")
    name = "stopped" if finish.reason == "abort" else "done"
    return ["end", name, " · ".join(words), _reported(finish.reported)]


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


def fail(error: PlaygroundError) -> Row:
    return ["fail", error.message, error.hint, error.log_tail]
