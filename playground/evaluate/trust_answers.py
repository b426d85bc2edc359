"""What in the answers to a task makes its score doubtful: same answers, other prompts, guesses, cut or unread answers.

Stop strings: one model scored 0.690 and 0.0015 (https://github.com/huggingface/lighteval/issues/649). Budgets: greedy
DeepSeek-R1 distills are cut in 21 % of their answers, sampled ones in 7 %.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from math import isclose

from playground.evaluate.items import Item, Measured, TaskFacts, Warned, clusters, joined
from playground.metrics.stats import LEVEL, Z_LEVEL, mcnemar_exact, mean_stderr

CUT = 0.05  # share of answers that ended at the token budget
UNREAD = 0.2  # share of answers in which the task's filter found nothing
NOTHING = {"", "[invalid]"}  # lm-eval's word for an answer without a match
CHANCE_AT = 20  # generated answers, from which on all of them being the same is no coincidence


def checks(
    reference: Measured, others: Sequence[Measured], task: TaskFacts, copies: Container[str] = ()
) -> Iterator[Warned]:
    """."""
    everyone = (reference, *others)
    names = tuple(one.variant for one in everyone)
    if task.sample:
        whole = "whole set's" if task.bundled else "benchmark's"
        text = f"{task.title} was asked {task.n:,} of its {task.n_full:,} items: a sample, not the {whole} score."
        yield Warned("sample", text, names, task.name)
    for one in everyone:
        yield from _luck(one, task, names if one is reference and others else (one.variant,))
        yield from _unread(one, task)
        yield from _cut_prompts(one, task)
    for other in others:
        yield from _pairs(reference, other, task, other.variant in copies)
    yield from _cut(reference, others, task)


def _pairs(reference: Measured, other: Measured, task: TaskFacts, copy: bool) -> Iterator[Warned]:
    """Whether both sides were asked the same, and whether all their answers are."""
    asked, answered = reference.tasks.get(task.name, ()), other.tasks.get(task.name, ())
    pairs = joined(asked, answered)
    if len(pairs) < max(len(asked), len(answered)):
        yield Warned(
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
        yield Warned(
            "other-prompts",
            f"{other.variant} was asked {different:,} of {len(pairs):,} items of {task.title} in another prompt than "
            f"{reference.variant}: {why}. Use the same template and examples on both sides.",
            (other.variant,),
            task.name,
            withholds=True,
        )
    elif not copy and all(_same_answer(one, two) for one, two in pairs):
        likelihoods = pairs[0][0].loglikelihoods is not None
        yield Warned(
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


def _luck(one: Measured, task: TaskFacts, concerned: tuple[str, ...]) -> Iterator[Warned]:
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
        yield Warned("floor", text, concerned, task.name, withholds=not alone)
        return
    if task.chance is None:
        return
    doubt = Z_LEVEL * (stderr or 0.0)
    guessing = f"guessing ({task.chance:.3f}, n = {len(items):,})"
    if score + doubt < task.chance and not isclose(score, task.chance):
        text = f"{said}, below {guessing}: answers or labels are read wrongly. Look at the samples."
        yield Warned("below-chance", text, concerned, task.name, withholds=not alone)
    elif score <= task.chance or isclose(score, task.chance):
        meaning = "it knows nothing of this task" if alone else "there is nothing to lose and to compare"
        text = f"{said}, no better than {guessing}: {meaning}. Use an easier task, or more items."
        yield Warned("chance", text, concerned, task.name, withholds=not alone)
    elif score - doubt <= task.chance:
        text = f"{said}, hardly better than {guessing}: a loss has little room to show. Use more items."
        yield Warned("chance", text, concerned, task.name)


def _cut_prompts(one: Measured, task: TaskFacts) -> Iterator[Warned]:
    """Prompts longer than the context leaves room for lose their beginning: the instructions and the first examples."""
    items = one.tasks.get(task.name, ())
    cut = [item.cut_prompt for item in items if item.cut_prompt is not None]
    if not cut:
        return
    before, after = (_span(lengths) for lengths in zip(*cut, strict=True))
    yield Warned(
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


def _unread(one: Measured, task: TaskFacts) -> Iterator[Warned]:
    """Answers that hold nothing the task can read: right ones may be among them."""
    generated = [item for item in one.tasks.get(task.name, ()) if item.loglikelihoods is None]
    unread = sum(item.extracted.strip() in NOTHING for item in generated)
    if not generated or unread < UNREAD * len(generated):
        return
    empty = sum(not item.answer.strip() for item in generated)
    why = f"{empty:,} are empty, a stop string ended them at once" if empty else "they have another form than it wants"
    yield Warned(
        "unread-answers",
        f"{task.title} found nothing to score in {unread:,} of {len(generated):,} answers of {one.variant}: {why}. "
        "The score says more of the form than of the model; look at the samples.",
        (one.variant,),
        task.name,
    )


def _cut(reference: Measured, others: Sequence[Measured], task: TaskFacts) -> Iterator[Warned]:
    """Answers that the token budget ended, on either side, and whether one side was cut more often."""
    asked = reference.tasks.get(task.name, ())
    ours = _share_cut(asked)
    if ours >= CUT:
        yield Warned(
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
        yield Warned(
            "cut-answers",
            f"{theirs:.0%} of the answers of {other.variant} to {task.title} were cut off by the token budget, "
            f"{ours:.0%} of {reference.variant}'s: {meaning}. Raise the budget.",
            (other.variant,),
            task.name,
        )


def _share_cut(items: Sequence[Item]) -> float:
    return sum(item.truncated for item in items) / len(items) if items else 0.0
