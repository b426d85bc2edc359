"""Checks that withhold or qualify a verdict. Each is a mistake that published tables have made.

Weights: the same weights under two names (https://github.com/EleutherAI/lm-evaluation-harness/issues/4063).
Answers: identical answers, different prompts, guessing, truncated or unreadable answers. Stop strings: one model scored
0.690 and 0.0015 (https://github.com/huggingface/lighteval/issues/649). Budgets: greedy DeepSeek-R1 distills are
truncated in 21 % of their answers, sampled ones in 7 %. Text: calibrating on the evaluation text lowers the divergence.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from math import isclose
from typing import Any

from playground import texts
from playground.core import NOISE_FLOOR, Variant
from playground.engines.subjects import Subject
from playground.errors import HubUnreachable, InvalidCalibration, InvalidRequest
from playground.evaluate.items import Item, Measured, TaskFacts, TrustWarning, clusters, joined
from playground.metrics.stats import Z_LEVEL, mcnemar_exact, mean_stderr
from playground.metrics.verdict import LEVEL
from playground.models import names
from playground.store import database, variants
from playground.texts import Calibration
from playground.texts.prose import Text, shared_documents

FLOATS = {"BF16": "bfloat16", "FP16": "float16", "FP32": "float32"}
STAYS_PACKED = {"bitsandbytes"}  # other methods' checkpoints are unpacked by engines without a kernel for them
LOADED_RATIO = 1.3  # loaded / expected bytes above which weights are not in their format: nf4 left in BF16 has 2.4
FEW_BITS = 6  # bits per quantized weight up to which the distribution must move
LEAST_KLD = 0.0005  # nats; 8 bits lose 0.001 to 0.004, 4 bits 0.03 and more
MOST_AGREEMENT = 0.997

Facts = Mapping[str, Any]

_BITS = re.compile(r"(?:w|int|i?q|nf|fp|nvfp|mxfp)(\d)", re.IGNORECASE)  # of W4A16_ASYM, Q4_K_M, nf4, FP8_DYNAMIC
CUT_SHARE = 0.05  # share of answers that ended at the token budget
UNREAD_SHARE = 0.2  # share of answers in which the task's filter found nothing
NO_ANSWER = {"", "[invalid]"}  # lm-eval's filter result for an answer without a match
IDENTICAL_LIMIT = 20  # this many identical generated answers are no coincidence
FIELDS = tuple(Calibration.model_fields)
NOTHING_TO_LOSE = "there is nothing to lose, so nothing to compare"


def trust_checks(
    reference: Measured,
    others: Sequence[Measured],
    tasks: Mapping[str, TaskFacts],
    divergence_rows: Sequence[Mapping[str, Any]] | None = None,
) -> list[TrustWarning]:
    """Return all warnings about these measurements, those about all tasks first; empty if every check passes."""
    doubts = [*_same_weights(reference, others)]
    copies = {side.variant for side in others if side.content_hash and side.content_hash == reference.content_hash}
    doubts += _not_as_named((reference, *others), [side.variant for side in (reference, *others)])
    for other in others:
        doubts += _other_conditions(reference, other, other.variant in copies)
        doubts += _loaded_form(other)
    doubts += _divergence(others, divergence_rows or (), copies)
    for task in tasks.values():
        doubts += checks(reference, others, task, copies)
    return doubts


def _same_weights(reference: Measured, others: Sequence[Measured]) -> Iterator[TrustWarning]:
    """Warn about equal weights under two names. Withholds if one is the reference and the engine is the same."""
    everyone = (reference, *others)
    for position, first in enumerate(everyone):
        for other in everyone[position + 1 :]:
            if not first.content_hash or first.content_hash != other.content_hash:
                continue
            where = first.facts.get("engine"), other.facts.get("engine")
            if where[0] != where[1]:
                if first is reference:
                    yield TrustWarning(
                        "same-weights-other-engine",
                        f"{other.variant} has the reference's own weights, on {where[1]} instead of {where[0]}: what "
                        "differs comes from the engine's arithmetic, not from quantization.",
                        (other.variant,),
                    )
                continue
            yield TrustWarning(
                "same-weights",
                f"{first.variant} and {other.variant} have the same weights ({first.content_hash[:12]}…): one model "
                "was measured under two names. Check where each name leads; as a control it shows the noise.",
                (other.variant,) if first is reference else (first.variant, other.variant),
                withholds=first is reference,
            )


def _not_as_named(everyone: Iterable[Measured], all_names: Sequence[str]) -> Iterator[TrustWarning]:
    """Warn if a floating-point scheme was computed in another type. Affects all variants if it is the reference."""
    for position, side in enumerate(everyone):
        meant, dtype = FLOATS.get(str(side.facts.get("scheme"))), side.facts.get("dtype")
        if meant and dtype in FLOATS.values() and dtype != meant:
            yield TrustWarning(
                "not-as-named",
                f"{side.variant} is called {side.facts['scheme']} but was computed in {dtype}: its scores are not "
                "those of what it is named. Load it in its own type, or choose the variant of that name.",
                (side.variant,) if position else tuple(all_names),
                withholds=True,
            )


def _other_conditions(reference: Measured, other: Measured, copy: bool) -> Iterator[TrustWarning]:
    """Warn about another engine or compute type than the reference's: each can move scores by up to 9 %."""
    ours, theirs = other.facts, reference.facts
    if _differ(ours, theirs, "engine") and not copy:
        yield TrustWarning(
            "other-engine",
            f"{other.variant} ran on {ours['engine']}, the reference on {theirs['engine']}: part of the difference "
            "may come from the engine. Measure both on one engine to find out.",
            (other.variant,),
        )
    if _differ(ours, theirs, "dtype") and ours.get("method") != "cast":
        yield TrustWarning(
            "other-dtype",
            f"{other.variant} was computed in {ours['dtype']}, the reference in {theirs['dtype']}: part of the "
            "difference may come from the type. Measure both in one type to find out.",
            (other.variant,),
        )


def _differ(ours: Facts, theirs: Facts, name: str) -> bool:
    """Return whether both values are known and differ. A remote model's dtype is "?"."""
    values = [facts[name] for facts in (ours, theirs) if facts.get(name) not in (None, "", "?")]
    return len(values) == 2 and values[0] != values[1]


def _loaded_form(side: Measured) -> Iterator[TrustWarning]:
    """Warn if the loaded weights are larger than the scheme's: not quantized, or unpacked by the engine."""
    loaded, expected = side.facts.get("loaded_bytes"), side.facts.get("bytes")
    if not loaded or not expected or side.facts.get("scheme") in FLOATS or loaded <= LOADED_RATIO * expected:
        return
    sizes = f"{loaded / 1e6:,.0f} MB instead of {expected / 1e6:,.0f} MB"
    if side.facts.get("method") in STAYS_PACKED:
        yield TrustWarning(
            "not-quantized",
            f"{side.variant} was probably not quantized: {sizes} of weights were loaded. Its scores are then those of "
            "the reference. Check the kernel in “How it was measured”, and load it again.",
            (side.variant,),
            withholds=True,
        )
    else:
        yield TrustWarning(
            "unpacked",
            f"{side.variant} was unpacked in memory ({sizes}). Scores are valid; memory and speed are not "
            "representative of this format. Measure them on an engine that has kernels for it.",
            (side.variant,),
        )


def _bits(facts: Facts) -> float | None:
    """Return bits per quantized weight, from the scheme's name; the checkpoint's average includes 16-bit embeddings."""
    named = _BITS.match(str(facts.get("scheme")))
    return int(named[1]) if named else facts.get("bits_per_weight")


def _divergence(
    others: Sequence[Measured], rows: Sequence[Mapping[str, Any]], copies: Iterable[str]
) -> Iterator[TrustWarning]:
    by_name = {row["variant"]: row for row in rows}
    floor = by_name.get(NOISE_FLOOR)
    for side in others:
        row, bits = by_name.get(side.variant), _bits(side.facts)
        if row is None or side.variant in copies:
            continue
        agreement = row["top1_agreement"]
        if bits is not None and bits <= FEW_BITS and (row["kld_mean"] < LEAST_KLD or agreement > MOST_AGREEMENT):
            yield TrustWarning(
                "barely-diverges",
                f"{side.variant} has {bits:g} bits per weight, yet its distribution barely changed (mean KLD "
                f"{row['kld_mean']:.2g} nats, same top token in {agreement:.2%}): it is probably not quantized, or "
                "the reference's weights already lay on its grid. Compare with an original that was never quantized.",
                (side.variant,),
                withholds=True,
            )
        elif floor is not None and row["kld_mean"] <= floor["kld_mean"]:
            yield TrustWarning(
                "noise-floor",
                f"{side.variant} is no further from the reference than the reference is from itself in another type "
                f"(mean KLD {row['kld_mean']:.2g} against {floor['kld_mean']:.2g} nats): do not rank it by divergence.",
                (side.variant,),
            )


# Checks of the answers.


def checks(
    reference: Measured, others: Sequence[Measured], task: TaskFacts, copies: Container[str] = ()
) -> Iterator[TrustWarning]:
    """Yield warnings about one task: a sample, identical answers, other prompts, guessing, truncation, unread answers.

    copies  variants with the reference's own weights, whose answers may be identical
    """
    everyone = (reference, *others)
    names = tuple(side.variant for side in everyone)
    if task.sample:
        full_set = "whole set's" if task.bundled else "benchmark's"
        text = f"{task.title} used {task.n:,} of its {task.n_full:,} items: a sample, not the {full_set} score."
        yield TrustWarning("sample", text, names, task.name)
    for side in everyone:
        yield from _chance_level(side, task, names if side is reference and others else (side.variant,))
        yield from _unreadable_answers(side, task)
        yield from _truncated_prompts(side, task)
    for other in others:
        yield from _answer_pairs(reference, other, task, other.variant in copies)
    yield from _truncated_answers(reference, others, task)


def _answer_pairs(reference: Measured, other: Measured, task: TaskFacts, copy: bool) -> Iterator[TrustWarning]:
    """Warn if two variants answered different items, had different prompts, or gave identical answers."""
    reference_items, other_items = reference.tasks.get(task.name, ()), other.tasks.get(task.name, ())
    pairs = joined(reference_items, other_items)
    if len(pairs) < max(len(reference_items), len(other_items)):
        yield TrustWarning(
            "other-items",
            f"{other.variant} and {reference.variant} share {len(pairs):,} items of {task.title}, of "
            f"{len(other_items):,} and {len(reference_items):,}: only these are compared. Use the same data and limit "
            "for both.",
            (other.variant,),
            task.name,
            withholds=not pairs,
        )
    if not pairs:
        return
    different = sum(before.prompt_hash != after.prompt_hash for before, after in pairs)
    if different:
        templates = reference.facts.get("template_hash"), other.facts.get("template_hash")
        why = "their chat templates differ" if all(templates) and templates[0] != templates[1] else "its text differs"
        yield TrustWarning(
            "other-prompts",
            f"{different:,} of {len(pairs):,} items of {task.title} had a different prompt for {other.variant} than "
            f"for {reference.variant}: {why}. Use the same template and examples for both.",
            (other.variant,),
            task.name,
            withholds=True,
        )
    elif not copy and all(_same_answer(before, after) for before, after in pairs):
        likelihoods = pairs[0][0].loglikelihoods is not None
        yield TrustWarning(
            "same-answers",
            f"{other.variant} and {reference.variant} gave the same {'log-likelihoods' if likelihoods else 'answers'}, "
            f"{'bit by bit' if likelihoods else 'letter by letter'}, to all {len(pairs):,} items of {task.title}: "
            "probably one model was measured twice, by a shared cache or a wrong path. Measure again without a cache.",
            (other.variant,),
            task.name,
            withholds=likelihoods or len(pairs) >= IDENTICAL_LIMIT,
        )


def _same_answer(before: Item, after: Item) -> bool:
    if before.loglikelihoods is not None or after.loglikelihoods is not None:
        return before.loglikelihoods == after.loglikelihoods
    return before.answer == after.answer


def _chance_level(side: Measured, task: TaskFacts, affected: tuple[str, ...]) -> Iterator[TrustWarning]:
    """Warn about a score of 0 or one at chance level. For the reference's, verdicts of all `affected` are withheld.

    A score that is above chance by less than its uncertainty only gets a warning.
    """
    items = side.tasks.get(task.name, ())
    if not items or not task.higher_is_better:
        return
    score, stderr = mean_stderr([item.score for item in items], clusters(items))
    alone = len(affected) == 1
    claim = f"{side.variant} scores {score:.3f} on {task.title}"
    if score == 0:
        meaning = "the model may be broken, or its answers could not be parsed" if alone else NOTHING_TO_LOSE
        text = (
            f"{claim}, not one of {len(items):,} items: {meaning}. Look at the samples: stop strings, template, budget."
        )
        yield TrustWarning("floor", text, affected, task.name, withholds=not alone)
        return
    if task.chance is None:
        return
    doubt = Z_LEVEL * (stderr or 0.0)
    guessing = f"guessing ({task.chance:.3f}, n = {len(items):,})"
    if score + doubt < task.chance and not isclose(score, task.chance):
        text = f"{claim}, below {guessing}: answers or labels are probably parsed wrongly. Look at the samples."
        yield TrustWarning("below-chance", text, affected, task.name, withholds=not alone)
    elif score <= task.chance or isclose(score, task.chance):
        meaning = "it knows nothing about this task" if alone else NOTHING_TO_LOSE
        text = f"{claim}, no better than {guessing}: {meaning}. Use an easier task, or more items."
        yield TrustWarning("chance", text, affected, task.name, withholds=not alone)
    elif score - doubt <= task.chance:
        text = f"{claim}, hardly better than {guessing}: there is little room for a loss to show. Use more items."
        yield TrustWarning("chance", text, affected, task.name)


def _truncated_prompts(side: Measured, task: TaskFacts) -> Iterator[TrustWarning]:
    """Warn about prompts that did not fit the context and lost their beginning: instructions, first examples."""
    items = side.tasks.get(task.name, ())
    cut = [item.cut_prompt for item in items if item.cut_prompt is not None]
    if not cut:
        return
    before, after = (_span(lengths) for lengths in zip(*cut, strict=True))
    yield TrustWarning(
        "cut-prompts",
        f"{len(cut):,} of {len(items):,} prompts of {task.title} were too long for the context of {side.variant} and "
        f"lost their beginning: of {before} tokens the last {after} were read. Take fewer examples or a smaller "
        "budget.",
        (side.variant,),
        task.name,
    )


def _span(numbers: Sequence[int]) -> str:
    """Return "160" or "120 to 160"."""
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _unreadable_answers(side: Measured, task: TaskFacts) -> Iterator[TrustWarning]:
    """Warn about many answers from which the task's filter extracted nothing: correct ones may be among them."""
    generated = [item for item in side.tasks.get(task.name, ()) if item.loglikelihoods is None]
    unread = sum(item.extracted.strip() in NO_ANSWER for item in generated)
    if not generated or unread < UNREAD_SHARE * len(generated):
        return
    empty = sum(not item.answer.strip() for item in generated)
    why = f"{empty:,} are empty, a stop string ended them at once" if empty else "they are not in the expected form"
    yield TrustWarning(
        "unread-answers",
        f"{task.title} found nothing to score in {unread:,} of {len(generated):,} answers of {side.variant}: {why}. "
        "The score says more about their form than about the model; look at the samples.",
        (side.variant,),
        task.name,
    )


def _truncated_answers(reference: Measured, others: Sequence[Measured], task: TaskFacts) -> Iterator[TrustWarning]:
    """Warn about answers truncated by the token budget, and whether one variant's were truncated more often."""
    reference_items = reference.tasks.get(task.name, ())
    ours = _truncated_share(reference_items)
    if ours >= CUT_SHARE:
        yield TrustWarning(
            "cut-answers",
            f"{ours:.0%} of the answers of {reference.variant} to {task.title} were cut off by the token budget: an "
            "answer that is not finished counts as wrong. Raise the budget.",
            (reference.variant,),
            task.name,
        )
    for other in others:
        other_items = other.tasks.get(task.name, ())
        theirs = _truncated_share(other_items)
        if max(ours, theirs) < CUT_SHARE:
            continue
        pairs = joined(reference_items, other_items)
        more = sum(after.truncated and not before.truncated for before, after in pairs)
        fewer = sum(before.truncated and not after.truncated for before, after in pairs)
        uneven = mcnemar_exact(more, fewer) < LEVEL
        meaning = "a part of the difference is length, not knowledge" if uneven else "unfinished answers count as wrong"
        yield TrustWarning(
            "cut-answers",
            f"{theirs:.0%} of the answers of {other.variant} to {task.title} were cut off by the token budget, "
            f"{ours:.0%} of {reference.variant}'s: {meaning}. Raise the budget.",
            (other.variant,),
            task.name,
        )


def _truncated_share(items: Sequence[Item]) -> float:
    return sum(item.truncated for item in items) / len(items) if items else 0.0


# Checks of the text.


def warnings(text: Text, subjects: Sequence[Subject]) -> list[TrustWarning]:
    """Return a warning for each local variant whose calibration text overlaps with `text` or cannot be read.

    Warnings name variants by their id in the run ("smollm2:awq@vllm"), as rows do.
    """
    doubts = []
    for subject in subjects:
        recipe = _calibration(subject.variant)
        if recipe and (sentence := _overlap(text, Calibration.from_stored({name: recipe[name] for name in FIELDS}))):
            doubts.append(TrustWarning("calibration", f"{subject.id} {sentence}", (subject.id,)))
    return doubts


def _calibration(variant: Variant) -> Mapping[str, Any]:
    """Return the calibration of a variant made here, {} without one. The model's path may be written in any form."""
    if variant.is_reference or not database.exists():
        return {}
    row = variants.get(f"{names.key(variant.model)}:{variant.name}")
    return (row.recipe.get("calibration") if row else None) or {}


def _overlap(text: Text, calibration: Calibration) -> str:
    """Return the predicate of the warning's sentence; "" without an overlap."""
    try:
        samples = texts.samples(calibration)
    except (InvalidCalibration, InvalidRequest, HubUnreachable) as error:
        return f"was calibrated on text that cannot be compared with this one: {error.message}"
    shared = shared_documents(text.documents, (sample.plain for sample in samples))
    if not shared:
        return ""
    return (
        f"was calibrated on text that {shared:,} of the {len(text.documents):,} documents share: "
        "it diverges less here than on text that is new to it."
    )
