"""What in a before/after table should not be believed. Each check is a way in which published tables went wrong.

Here are the checks of the weights and of how far they moved; those of the answers are in `trust_answers`.
Same weights under two names: https://github.com/EleutherAI/lm-evaluation-harness/issues/4063
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from playground.evaluate import trust_answers
from playground.evaluate.items import Measured, TaskFacts, Warned

FLOATS = {"BF16": "bfloat16", "FP16": "float16", "FP32": "float32"}
STAYS_PACKED = {"bitsandbytes"}  # every other method's checkpoint is unpacked by an engine that has no kernel for it
LOADED_RATIO = 1.3  # loaded over expected bytes that count as another form: nf4 that stayed BF16 has 2.4, int8 1.6
FEW_BITS = 6  # per quantized weight: up to here it shows in the distribution
LEAST_KLD = 0.0005  # nats; 8 bits lose 0.001 to 0.004, 4 bits 0.03 and more
MOST_AGREEMENT = 0.997
NOISE_FLOOR = "noise-floor"

Facts = Mapping[str, Any]

_BITS = re.compile(r"(?:w|int|i?q|nf|fp|nvfp|mxfp)(\d)", re.IGNORECASE)  # of W4A16_ASYM, Q4_K_M, nf4, FP8_DYNAMIC


def trust_checks(
    reference: Measured,
    others: Sequence[Measured],
    tasks: Mapping[str, TaskFacts],
    divergence_rows: Sequence[Mapping[str, Any]] | None = None,
) -> list[Warned]:
    """Every doubt about these measurements, those of all tasks first. Empty is what a good comparison looks like."""
    found = [*_same_weights(reference, others)]
    copies = {one.variant for one in others if one.content_hash and one.content_hash == reference.content_hash}
    found += _not_as_named((reference, *others), everyone=[one.variant for one in (reference, *others)])
    for other in others:
        found += _other_conditions(reference, other, other.variant in copies)
        found += _loaded_form(other)
    found += _divergence(others, divergence_rows or (), copies)
    for task in tasks.values():
        found += trust_answers.checks(reference, others, task, copies)
    return found


def _same_weights(reference: Measured, others: Sequence[Measured]) -> Iterator[Warned]:
    """One model under two names. Against the reference on one engine there is nothing left to compare."""
    everyone = (reference, *others)
    for position, one in enumerate(everyone):
        for other in everyone[position + 1 :]:
            if not one.content_hash or one.content_hash != other.content_hash:
                continue
            where = one.facts.get("engine"), other.facts.get("engine")
            if where[0] != where[1]:
                if one is reference:
                    yield Warned(
                        "same-weights-other-engine",
                        f"{other.variant} has the reference's own weights, on {where[1]} instead of {where[0]}: what "
                        "differs comes from the engine's arithmetic, not from quantizing.",
                        (other.variant,),
                    )
                continue
            yield Warned(
                "same-weights",
                f"{one.variant} and {other.variant} have the same weights ({one.content_hash[:12]}…): one model was "
                "measured under two names. Check where each name leads; as a control it shows the noise.",
                (other.variant,) if one is reference else (one.variant, other.variant),
                withholds=one is reference,
            )


def _not_as_named(measured: Iterable[Measured], everyone: Sequence[str]) -> Iterator[Warned]:
    """A floating-point scheme in another type. If it is the reference, nothing was compared with what it is named."""
    for position, one in enumerate(measured):
        meant, found = FLOATS.get(str(one.facts.get("scheme"))), one.facts.get("dtype")
        if meant and found in FLOATS.values() and found != meant:
            yield Warned(
                "not-as-named",
                f"{one.variant} is called {one.facts['scheme']} but was computed in {found}: its scores are not those "
                "of what it is named. Load it in its own type, or choose the variant of that name.",
                (one.variant,) if position else tuple(everyone),
                withholds=True,
            )


def _other_conditions(reference: Measured, other: Measured, copy: bool) -> Iterator[Warned]:
    """Another engine, another compute type: each moves scores by itself, up to 9 % for long greedy answers."""
    ours, theirs = other.facts, reference.facts
    if _differ(ours, theirs, "engine") and not copy:
        yield Warned(
            "other-engine",
            f"{other.variant} ran on {ours['engine']}, the reference on {theirs['engine']}: a part of the difference "
            "may be the engine's. Measure both on one engine to know.",
            (other.variant,),
        )
    if _differ(ours, theirs, "dtype") and ours.get("method") != "cast":
        yield Warned(
            "other-dtype",
            f"{other.variant} was computed in {ours['dtype']}, the reference in {theirs['dtype']}: a part of the "
            "difference may be the type's. Measure both in one type to know.",
            (other.variant,),
        )


def _differ(one: Facts, other: Facts, name: str) -> bool:
    """Whether both are known and not the same; of a remote model the type is "?"."""
    known = [of[name] for of in (one, other) if of.get(name) not in (None, "", "?")]
    return len(known) == 2 and known[0] != known[1]


def _loaded_form(one: Measured) -> Iterator[Warned]:
    """More bytes in memory than the scheme has: left unquantized, or unpacked by the engine."""
    loaded, expected = one.facts.get("loaded_bytes"), one.facts.get("bytes")
    if not loaded or not expected or one.facts.get("scheme") in FLOATS or loaded <= LOADED_RATIO * expected:
        return
    sizes = f"{loaded / 1e6:,.0f} MB of weights were loaded where {one.facts.get('scheme')} has {expected / 1e6:,.0f}"
    if one.facts.get("method") in STAYS_PACKED:
        yield Warned(
            "not-quantized",
            f"{one.variant} was probably not quantized: {sizes}. Its scores are then the reference's; look at the "
            "kernel line of the variant, and load it again.",
            (one.variant,),
            withholds=True,
        )
    else:
        yield Warned(
            "unpacked",
            f"{one.variant} was held unpacked: {sizes}. That is right for the scores, but memory and speed of this run "
            "are not the scheme's; measure those on an engine that has its kernels.",
            (one.variant,),
        )


def _bits(of: Facts) -> float | None:
    """Of a quantized weight, as the scheme names them: those of the whole checkpoint count 16-bit embeddings too."""
    named = _BITS.match(str(of.get("scheme")))
    return int(named[1]) if named else of.get("bits_per_weight")


def _divergence(
    others: Sequence[Measured], rows: Sequence[Mapping[str, Any]], copies: Iterable[str]
) -> Iterator[Warned]:
    by_name = {row["variant"]: row for row in rows}
    floor = by_name.get(NOISE_FLOOR)
    for one in others:
        row, bits = by_name.get(one.variant), _bits(one.facts)
        if row is None or one.variant in copies:
            continue
        agreement = row["top1_agreement"]
        if bits is not None and bits <= FEW_BITS and (row["kld_mean"] < LEAST_KLD or agreement > MOST_AGREEMENT):
            yield Warned(
                "barely-diverges",
                f"{one.variant} has {bits:g} bits a weight, yet its distribution hardly moved (mean KLD "
                f"{row['kld_mean']:.2g} nats, the same top token in {agreement:.2%}): it is probably not quantized, or "
                "the reference's weights lay on its grid before. Compare with an original that was never quantized.",
                (one.variant,),
                withholds=True,
            )
        elif floor is not None and row["kld_mean"] <= floor["kld_mean"]:
            yield Warned(
                "noise-floor",
                f"{one.variant} is as near to the reference as the reference is to itself in another type (mean KLD "
                f"{row['kld_mean']:.2g} against {floor['kld_mean']:.2g} nats): do not rank it by divergence.",
                (one.variant,),
            )
