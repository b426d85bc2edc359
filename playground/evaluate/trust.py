"""Checks that withhold or qualify a verdict. Each is a way in which published tables went wrong.

Weights: https://github.com/EleutherAI/lm-evaluation-harness/issues/4063 is one of the same weights under two names.
Answers: the same ones, other prompts, guesses, cut or unread answers. Stop strings: one model scored 0.690 and 0.0015
(https://github.com/huggingface/lighteval/issues/649). Budgets: greedy DeepSeek-R1 distills are cut in 21 % of their
answers, sampled ones in 7 %. Text: a variant that was calibrated on the text that it is measured on is flattered.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from math import isclose
from typing import Any

from playground import texts
from playground.core import Variant
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
STAYS_PACKED = {"bitsandbytes"}  # every other method's checkpoint is unpacked by an engine that has no kernel for it
LOADED_RATIO = 1.3  # loaded over expected bytes that count as another form: nf4 that stayed BF16 has 2.4, int8 1.6
FEW_BITS = 6  # per quantized weight: up to here it shows in the distribution
LEAST_KLD = 0.0005  # nats; 8 bits lose 0.001 to 0.004, 4 bits 0.03 and more
MOST_AGREEMENT = 0.997
NOISE_FLOOR = "noise-floor"

Facts = Mapping[str, Any]

_BITS = re.compile(r"(?:w|int|i?q|nf|fp|nvfp|mxfp)(\d)", re.IGNORECASE)  # of W4A16_ASYM, Q4_K_M, nf4, FP8_DYNAMIC
CUT = 0.05  # share of answers that ended at the token budget
UNREAD = 0.2  # share of answers in which the task's filter found nothing
NOTHING = {"", "[invalid]"}  # lm-eval's word for an answer without a match
CHANCE_AT = 20  # generated answers, from which on all of them being the same is no coincidence
FIELDS = tuple(Calibration.model_fields)


def trust_checks(
    reference: Measured,
    others: Sequence[Measured],
    tasks: Mapping[str, TaskFacts],
    divergence_rows: Sequence[Mapping[str, Any]] | None = None,
) -> list[TrustWarning]:
    """Every doubt about these measurements, those of all tasks first. Empty is what a good comparison looks like."""
    found = [*_same_weights(reference, others)]
    copies = {one.variant for one in others if one.content_hash and one.content_hash == reference.content_hash}
    found += _not_as_named((reference, *others), everyone=[one.variant for one in (reference, *others)])
    for other in others:
        found += _other_conditions(reference, other, other.variant in copies)
        found += _loaded_form(other)
    found += _divergence(others, divergence_rows or (), copies)
    for task in tasks.values():
        found += checks(reference, others, task, copies)
    return found


def _same_weights(reference: Measured, others: Sequence[Measured]) -> Iterator[TrustWarning]:
    """One model under two names. Against the reference on one engine there is nothing left to compare."""
    everyone = (reference, *others)
    for position, one in enumerate(everyone):
        for other in everyone[position + 1 :]:
            if not one.content_hash or one.content_hash != other.content_hash:
                continue
            where = one.facts.get("engine"), other.facts.get("engine")
            if where[0] != where[1]:
                if one is reference:
                    yield TrustWarning(
                        "same-weights-other-engine",
                        f"{other.variant} has the reference's own weights, on {where[1]} instead of {where[0]}: what "
                        "differs comes from the engine's arithmetic, not from quantizing.",
                        (other.variant,),
                    )
                continue
            yield TrustWarning(
                "same-weights",
                f"{one.variant} and {other.variant} have the same weights ({one.content_hash[:12]}…): one model was "
                "measured under two names. Check where each name leads; as a control it shows the noise.",
                (other.variant,) if one is reference else (one.variant, other.variant),
                withholds=one is reference,
            )


def _not_as_named(measured: Iterable[Measured], everyone: Sequence[str]) -> Iterator[TrustWarning]:
    """A floating-point scheme in another type. If it is the reference, nothing was compared with what it is named."""
    for position, one in enumerate(measured):
        meant, found = FLOATS.get(str(one.facts.get("scheme"))), one.facts.get("dtype")
        if meant and found in FLOATS.values() and found != meant:
            yield TrustWarning(
                "not-as-named",
                f"{one.variant} is called {one.facts['scheme']} but was computed in {found}: its scores are not those "
                "of what it is named. Load it in its own type, or choose the variant of that name.",
                (one.variant,) if position else tuple(everyone),
                withholds=True,
            )


def _other_conditions(reference: Measured, other: Measured, copy: bool) -> Iterator[TrustWarning]:
    """Another engine, another compute type: each moves scores by itself, up to 9 % for long greedy answers."""
    ours, theirs = other.facts, reference.facts
    if _differ(ours, theirs, "engine") and not copy:
        yield TrustWarning(
            "other-engine",
            f"{other.variant} ran on {ours['engine']}, the reference on {theirs['engine']}: a part of the difference "
            "may be the engine's. Measure both on one engine to know.",
            (other.variant,),
        )
    if _differ(ours, theirs, "dtype") and ours.get("method") != "cast":
        yield TrustWarning(
            "other-dtype",
            f"{other.variant} was computed in {ours['dtype']}, the reference in {theirs['dtype']}: a part of the "
            "difference may be the type's. Measure both in one type to know.",
            (other.variant,),
        )


def _differ(one: Facts, other: Facts, name: str) -> bool:
    """Whether both are known and not the same; of a remote model the type is "?"."""
    known = [of[name] for of in (one, other) if of.get(name) not in (None, "", "?")]
    return len(known) == 2 and known[0] != known[1]


def _loaded_form(one: Measured) -> Iterator[TrustWarning]:
    """More bytes in memory than the scheme has: left unquantized, or unpacked by the engine."""
    loaded, expected = one.facts.get("loaded_bytes"), one.facts.get("bytes")
    if not loaded or not expected or one.facts.get("scheme") in FLOATS or loaded <= LOADED_RATIO * expected:
        return
    sizes = f"{loaded / 1e6:,.0f} MB of weights were loaded where {one.facts.get('scheme')} has {expected / 1e6:,.0f}"
    if one.facts.get("method") in STAYS_PACKED:
        yield TrustWarning(
            "not-quantized",
            f"{one.variant} was probably not quantized: {sizes}. Its scores are then the reference's; look at the "
            "kernel line of the variant, and load it again.",
            (one.variant,),
            withholds=True,
        )
    else:
        yield TrustWarning(
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
) -> Iterator[TrustWarning]:
    by_name = {row["variant"]: row for row in rows}
    floor = by_name.get(NOISE_FLOOR)
    for one in others:
        row, bits = by_name.get(one.variant), _bits(one.facts)
        if row is None or one.variant in copies:
            continue
        agreement = row["top1_agreement"]
        if bits is not None and bits <= FEW_BITS and (row["kld_mean"] < LEAST_KLD or agreement > MOST_AGREEMENT):
            yield TrustWarning(
                "barely-diverges",
                f"{one.variant} has {bits:g} bits a weight, yet its distribution hardly moved (mean KLD "
                f"{row['kld_mean']:.2g} nats, the same top token in {agreement:.2%}): it is probably not quantized, or "
                "the reference's weights lay on its grid before. Compare with an original that was never quantized.",
                (one.variant,),
                withholds=True,
            )
        elif floor is not None and row["kld_mean"] <= floor["kld_mean"]:
            yield TrustWarning(
                "noise-floor",
                f"{one.variant} is as near to the reference as the reference is to itself in another type (mean KLD "
                f"{row['kld_mean']:.2g} against {floor['kld_mean']:.2g} nats): do not rank it by divergence.",
                (one.variant,),
            )


# Checks of the answers.


def checks(
    reference: Measured, others: Sequence[Measured], task: TaskFacts, copies: Container[str] = ()
) -> Iterator[TrustWarning]:
    """Warnings about the answers to one task: alike, of other prompts, guessed, cut off or unread."""
    everyone = (reference, *others)
    names = tuple(one.variant for one in everyone)
    if task.sample:
        whole = "whole set's" if task.bundled else "benchmark's"
        text = f"{task.title} was asked {task.n:,} of its {task.n_full:,} items: a sample, not the {whole} score."
        yield TrustWarning("sample", text, names, task.name)
    for one in everyone:
        yield from _luck(one, task, names if one is reference and others else (one.variant,))
        yield from _unread(one, task)
        yield from _cut_prompts(one, task)
    for other in others:
        yield from _pairs(reference, other, task, other.variant in copies)
    yield from _cut(reference, others, task)


def _pairs(reference: Measured, other: Measured, task: TaskFacts, copy: bool) -> Iterator[TrustWarning]:
    """Whether both sides were asked the same, and whether all their answers are."""
    asked, answered = reference.tasks.get(task.name, ()), other.tasks.get(task.name, ())
    pairs = joined(asked, answered)
    if len(pairs) < max(len(asked), len(answered)):
        yield TrustWarning(
            "other-items",
            f"{other.variant} and {reference.variant} share {len(pairs):,} items of {task.title}, of "
            f"{len(answered):,} and {len(asked):,}: only these are compared. Use the same data and limit for both.",
            (other.variant,),
            task.name,
            withholds=not pairs,
        )
    if not pairs:
        return
    different = sum(one.prompt_hash != two.prompt_hash for one, two in pairs)
    if different:
        templates = reference.facts.get("template_hash"), other.facts.get("template_hash")
        why = "their chat templates differ" if all(templates) and templates[0] != templates[1] else "its text differs"
        yield TrustWarning(
            "other-prompts",
            f"{other.variant} was asked {different:,} of {len(pairs):,} items of {task.title} in another prompt than "
            f"{reference.variant}: {why}. Use the same template and examples on both sides.",
            (other.variant,),
            task.name,
            withholds=True,
        )
    elif not copy and all(_same_answer(one, two) for one, two in pairs):
        likelihoods = pairs[0][0].loglikelihoods is not None
        yield TrustWarning(
            "same-answers",
            f"{other.variant} and {reference.variant} gave the same {'log-likelihoods' if likelihoods else 'answers'}, "
            f"{'bit by bit' if likelihoods else 'letter by letter'}, to all {len(pairs):,} items of {task.title}: "
            "probably one model was measured twice, by a shared cache or a wrong path. Measure again without a cache.",
            (other.variant,),
            task.name,
            withholds=likelihoods or len(pairs) >= CHANCE_AT,
        )


def _same_answer(one: Item, other: Item) -> bool:
    if one.loglikelihoods is not None or other.loglikelihoods is not None:
        return one.loglikelihoods == other.loglikelihoods
    return one.answer == other.answer


def _luck(one: Measured, task: TaskFacts, concerned: tuple[str, ...]) -> Iterator[TrustWarning]:
    """Scores of nothing and of guessing. Where the reference has one, all variants are concerned: none can show a loss.

    A score above chance but not by its own uncertainty is said to be so and withholds nothing.
    """
    items = one.tasks.get(task.name, ())
    if not items or not task.higher_is_better:
        return
    score, stderr = mean_stderr([item.score for item in items], clusters(items))
    alone = len(concerned) == 1
    said = f"{one.variant} scores {score:.3f} on {task.title}"
    if score == 0:
        meaning = "it is broken, or its answers are not read" if alone else "there is nothing to lose and to compare"
        text = (
            f"{said}, not one of {len(items):,} items: {meaning}. Look at the samples: stop strings, template, budget."
        )
        yield TrustWarning("floor", text, concerned, task.name, withholds=not alone)
        return
    if task.chance is None:
        return
    doubt = Z_LEVEL * (stderr or 0.0)
    guessing = f"guessing ({task.chance:.3f}, n = {len(items):,})"
    if score + doubt < task.chance and not isclose(score, task.chance):
        text = f"{said}, below {guessing}: answers or labels are read wrongly. Look at the samples."
        yield TrustWarning("below-chance", text, concerned, task.name, withholds=not alone)
    elif score <= task.chance or isclose(score, task.chance):
        meaning = "it knows nothing of this task" if alone else "there is nothing to lose and to compare"
        text = f"{said}, no better than {guessing}: {meaning}. Use an easier task, or more items."
        yield TrustWarning("chance", text, concerned, task.name, withholds=not alone)
    elif score - doubt <= task.chance:
        text = f"{said}, hardly better than {guessing}: a loss has little room to show. Use more items."
        yield TrustWarning("chance", text, concerned, task.name)


def _cut_prompts(one: Measured, task: TaskFacts) -> Iterator[TrustWarning]:
    """Prompts longer than the context leaves room for lose their beginning: the instructions and the first examples."""
    items = one.tasks.get(task.name, ())
    cut = [item.cut_prompt for item in items if item.cut_prompt is not None]
    if not cut:
        return
    before, after = (_span(lengths) for lengths in zip(*cut, strict=True))
    yield TrustWarning(
        "cut-prompts",
        f"{len(cut):,} of {len(items):,} prompts of {task.title} were too long for the context of {one.variant} and "
        f"lost their beginning: of {before} tokens the last {after} were read. Take fewer examples or a smaller "
        "budget.",
        (one.variant,),
        task.name,
    )


def _span(numbers: Sequence[int]) -> str:
    """ "160", or "120 to 160"."""
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _unread(one: Measured, task: TaskFacts) -> Iterator[TrustWarning]:
    """Answers that hold nothing the task can read: right ones may be among them."""
    generated = [item for item in one.tasks.get(task.name, ()) if item.loglikelihoods is None]
    unread = sum(item.extracted.strip() in NOTHING for item in generated)
    if not generated or unread < UNREAD * len(generated):
        return
    empty = sum(not item.answer.strip() for item in generated)
    why = f"{empty:,} are empty, a stop string ended them at once" if empty else "they have another form than it wants"
    yield TrustWarning(
        "unread-answers",
        f"{task.title} found nothing to score in {unread:,} of {len(generated):,} answers of {one.variant}: {why}. "
        "The score says more of the form than of the model; look at the samples.",
        (one.variant,),
        task.name,
    )


def _cut(reference: Measured, others: Sequence[Measured], task: TaskFacts) -> Iterator[TrustWarning]:
    """Answers that the token budget ended, on either side, and whether one side was cut more often."""
    asked = reference.tasks.get(task.name, ())
    ours = _share_cut(asked)
    if ours >= CUT:
        yield TrustWarning(
            "cut-answers",
            f"{ours:.0%} of the answers of {reference.variant} to {task.title} were cut off by the token budget: an "
            "answer that is not finished counts as wrong. Raise the budget.",
            (reference.variant,),
            task.name,
        )
    for other in others:
        answered = other.tasks.get(task.name, ())
        theirs = _share_cut(answered)
        if max(ours, theirs) < CUT:
            continue
        pairs = joined(asked, answered)
        more = sum(two.truncated and not one.truncated for one, two in pairs)
        fewer = sum(one.truncated and not two.truncated for one, two in pairs)
        uneven = mcnemar_exact(more, fewer) < LEVEL
        meaning = "a part of the difference is length, not knowledge" if uneven else "unfinished answers count as wrong"
        yield TrustWarning(
            "cut-answers",
            f"{theirs:.0%} of the answers of {other.variant} to {task.title} were cut off by the token budget, "
            f"{ours:.0%} of {reference.variant}'s: {meaning}. Raise the budget.",
            (other.variant,),
            task.name,
        )


def _share_cut(items: Sequence[Item]) -> float:
    return sum(item.truncated for item in items) / len(items) if items else 0.0


# Checks of the text.


def warnings(text: Text, measured: Sequence[Subject]) -> list[TrustWarning]:
    """A warning for each variant that was made here and whose calibration shares text, or cannot be read any more.

    It bears the name that the variant has in the run, "smollm2:awq@vllm", which rows and pages look for.
    """
    found = []
    for subject in measured:
        recipe = _calibration(subject.variant)
        if recipe and (said := _said(text, Calibration.from_stored({name: recipe[name] for name in FIELDS}))):
            found.append(TrustWarning("calibration", f"{subject.id} {said}", (subject.id,)))
    return found


def _calibration(variant: Variant) -> Mapping[str, Any]:
    """What a variant that was made here was calibrated on, however its model's path was written; {} without any."""
    if variant.is_reference or not database.exists():
        return {}
    row = variants.get(f"{names.key(variant.model)}:{variant.name}")
    return (row.recipe.get("calibration") if row else None) or {}


def _said(text: Text, asked: Calibration) -> str:
    try:
        samples = texts.samples(asked)
    except (InvalidCalibration, InvalidRequest, HubUnreachable) as error:
        return f"was calibrated on text that cannot be compared with this one: {error.message}"
    shared = shared_documents(text.documents, (sample.plain for sample in samples))
    if not shared:
        return ""
    return (
        f"was calibrated on text that {shared:,} of the {len(text.documents):,} documents share: "
        "it diverges less here than on text that is new to it."
    )
