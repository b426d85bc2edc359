"""Verdicts of an evaluation: the table (`rows`) and sentences of what each variant lost and gained (`sentences`).

Pure functions of a run's rows. A difference within its interval is "not distinguishable", never a loss. The table has
one row for each variant and task, as `playground eval --json` prints and a run stores it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playground.core import NOISE_FLOOR, REFERENCE
from playground.evaluate.items import Item, Measured, TaskFacts, TrustWarning, clusters, joined
from playground.metrics.stats import mean_stderr, paired
from playground.metrics.verdict import Verdict, overall, read

Row = Mapping[str, Any]
MAX_TASKS = 3  # named in one sentence


def sentences(
    variants: Sequence[Row], tasks: Sequence[Row], rows: Sequence[Row], divergence: Sequence[Row] = ()
) -> list[dict[str, Any]]:
    """Return a sentence for each variant but the reference: losses first, then withheld verdicts, gains, the rest.

    Each is {"kind", "text", "rest", "note"}. `kind`: the look of the verdict. `rest`: tasks without a visible
    difference at this n. `note`: size and speed against the reference. Without tasks: the largest divergence first.
    """
    facts = {task["name"]: task for task in tasks}
    ranked: list[tuple[int, float, dict[str, Any]]] = []
    for variant in variants[1:]:
        variant_rows = [row for row in rows if row["variant"] == variant["id"]]
        verdict = overall(filter(None, (read(row["verdict"]) for row in variant_rows)))
        if variant_rows:
            text, rest = _outcome(variants[0], variant, variant_rows, facts)
            losses = (abs(row["diff"] or 0.0) for row in variant_rows if row["verdict"] == Verdict.WORSE)
            largest = max(losses, default=0.0)
        else:
            text, rest = _diverged(variant, divergence)
            largest = next((row["kld_mean"] for row in divergence if row["variant"] == variant["id"]), 0.0)
        sentence = {"kind": verdict.look, "text": text, "rest": rest, "note": gains(variants[0], variant)}
        ranked.append((verdict.rank, -largest, sentence))
    return [sentence for _, _, sentence in sorted(ranked, key=lambda entry: entry[:2])]


def _outcome(reference: Row, variant: Row, rows: Sequence[Row], facts: Mapping[str, Row]) -> tuple[str, str]:
    """Return the text and the rest of a variant's sentence."""
    label = str(variant["label"])
    worse, better = _by_size(rows, Verdict.WORSE), _by_size(rows, Verdict.BETTER)
    withheld = [row for row in rows if row["verdict"] == Verdict.WITHHELD]
    same = [row for row in rows if row["verdict"] == Verdict.CANNOT_TELL]
    if not worse and not better and not withheld:
        return f"{label} is {Verdict.CANNOT_TELL} from {reference['label']} at n = {_counts(same)}.", ""
    sentences = [
        *_changes(label, ("loses", "is worse by"), worse, facts),
        *_changes("It" if worse else label, ("gains", "is better by"), better, facts),
        _withheld("" if worse or better else label, withheld, len(rows)) if withheld else "",
    ]
    where = "task" if len(same) == 1 else f"{len(same)} tasks"
    rest = f"Not distinguishable on the other {where} at n = {_counts(same)}." if same else ""
    return " ".join(filter(None, sentences)), rest


def _counts(rows: Sequence[Row]) -> str:
    """Return the number of items: "120", or "120 to 200"."""
    counts = sorted({row["n"] for row in rows})
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"


def _by_size(rows: Sequence[Row], verdict: Verdict) -> list[Row]:
    return sorted((row for row in rows if row["verdict"] == verdict), key=lambda row: -abs(row["diff"] or 0.0))


def _changes(who: str, verbs: tuple[str, str], rows: Sequence[Row], facts: Mapping[str, Row]) -> list[str]:
    """Return "GPTQ W4A16 loses 6 points on bundled_facts (n = 200) and 2 on bundled_cloze (n = 150).".

    verbs  for scores that are shares, and for others, which may rise when the variant gets worse (perplexity)
    """
    shares = [row for row in rows if is_share(row, facts.get(row["task"], {}))]
    others = [row for row in rows if row not in shares]
    sentences: list[str] = []
    for verb, group in zip(verbs, (shares, others), strict=True):
        parts = [f"{_amount(row, facts, first=row is group[0])} on {row['task']} (n = {row['n']:,})" for row in group]
        if len(parts) > MAX_TASKS:
            parts[MAX_TASKS:] = [f"on {len(parts) - MAX_TASKS} more tasks"]
        if parts:
            sentences.append(f"{'It' if sentences else who} {verb} {_join(parts)}.")
    return sentences


def _amount(row: Row, facts: Mapping[str, Row], *, first: bool) -> str:
    """Return "6 points" for the first task of a sentence, "2" for the others."""
    text = points(abs(row["diff"]), row, facts.get(row["task"], {}))
    return text if first else text.removesuffix(" points").removesuffix(" point")


def points(difference: float, row: Row, facts: Row) -> str:
    """Format a difference of scores: in points if the score is a share, else with the metric's name."""
    if is_share(row, facts):
        text = f"{100 * difference:.1f}".removesuffix(".0")
        return f"{text} point{'' if text in ('1', '-1') else 's'}"
    return f"{difference:.3g} {row['metric']}"


def is_share(row: Row, facts: Row) -> bool:
    """Return whether the score is a share: between 0 and 1, higher is better."""
    return bool(facts.get("higher_is_better", True)) and 0 <= row["score"] <= 1


def _withheld(who: str, rows: Sequence[Row], of: int) -> str:
    where = "" if len(rows) == of and of > 1 else f" on {_join([row['task'] for row in rows[:MAX_TASKS]])}"
    return f"No verdict on {who}{where}: see the warning." if who else f"No verdict{where}: see the warning."


def _diverged(variant: Row, divergence: Sequence[Row]) -> tuple[str, str]:
    """Return text and rest of a sentence about the divergence alone, which has no verdict."""
    label = variant["label"]
    row = next((row for row in divergence if row["variant"] == variant["id"]), None)
    floor = next((row["kld_mean"] for row in divergence if row["variant"] == NOISE_FLOOR), 0.0)
    if row is None:
        return f"Nothing was measured of {label}.", ""
    if row["kld_mean"] <= floor:
        return f"{label} lies within the noise floor.", ""
    moved = f"mean KLD {row['kld_mean']:.3g} nats, the same top token in {row['top1_agreement']:.1%}"
    return f"{label}: {moved}.", ""


def gains(reference: Row, variant: Row) -> str:
    """Return size and speed against the reference: "58% smaller · 0.41× decode speed"."""
    parts = []
    if reference.get("bytes") and variant.get("bytes"):
        share = 1 - variant["bytes"] / reference["bytes"]
        if abs(share) >= 0.005:
            parts.append(f"{abs(share):.0%} {'smaller' if share > 0 else 'larger'}")
    here, there = variant.get("speed") or {}, reference.get("speed") or {}
    if here.get("decode_tok_s") and there.get("decode_tok_s"):
        ratio = here["decode_tok_s"] / there["decode_tok_s"]
        mixed = "" if here.get("engine") == there.get("engine") else ", different engines"
        parts.append(f"{ratio:.2f}× decode speed{mixed}")
    return " · ".join(parts)


def _join(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def rows(
    reference: Measured, others: Sequence[Measured], tasks: Mapping[str, TaskFacts], warnings: Sequence[TrustWarning]
) -> list[dict[str, Any]]:
    """Return the verdict table, variant by variant, the reference first. A task without answers has no row.

    score, stderr   in the metric's unit; stderr is clustered if items share a passage
    recovery        percent; flips_* items; mcnemar_p None for graded tasks
    diff, diff_ci95 score minus the reference's, with its 95 % interval
    truncated       share of the answers that the token budget ended, 0 to 1
    cut_prompts     items whose prompt did not fit the context
    verdict         "reference", "better", "worse", "not distinguishable", or "withheld" (a warning says why)

    A variant's row covers the items that both variants answered (`items.joined`). Fields that compare are None in the
    reference's row, and in a variant's that shares no item with it.
    """
    table = []
    for measured in (reference, *others):
        for name, facts in tasks.items():
            items = measured.tasks.get(name)
            if not items:
                continue
            own_warnings = [warning for warning in warnings if warning.concerns(measured.variant, name)]
            row = {"variant": measured.variant, "task": name, "metric": facts.metric}
            if measured is reference:
                row |= _single_row(items)
            else:
                row |= _comparison_row(reference.tasks.get(name, ()), items, facts)
                if any(warning.withholds for warning in own_warnings):
                    row["verdict"] = Verdict.WITHHELD
            table.append(row | {"warnings": [warning.text for warning in own_warnings]})
    return table


def _single_row(items: Sequence[Item]) -> dict[str, Any]:
    """Return a row without comparison, as the reference's."""
    score, stderr = mean_stderr([item.score for item in items], clusters(items))
    return {
        "n": len(items),
        "score": score,
        "stderr": stderr,
        "recovery": 100.0,
        "flips_lost": None,
        "flips_won": None,
        "mcnemar_p": None,
        "diff": None,
        "diff_ci95": None,
        "discordance": None,
        "smallest_drop": None,
        "verdict": REFERENCE,
        "truncated": sum(item.truncated for item in items) / len(items),
        "cut_prompts": sum(item.cut_prompt is not None for item in items),
    }


def _comparison_row(reference_items: Sequence[Item], variant_items: Sequence[Item], facts: TaskFacts) -> dict[str, Any]:
    pairs = joined(reference_items, variant_items)
    if not pairs:
        return _single_row(variant_items) | {"recovery": None, "verdict": Verdict.WITHHELD}
    before, after = zip(*pairs, strict=True)
    comparison = paired(
        [item.score for item in before],
        [item.score for item in after],
        clusters(before),
        higher_is_better=facts.higher_is_better,
        graded=facts.graded or None,
    )
    return _single_row(after) | {
        "recovery": comparison.recovery,
        "flips_lost": comparison.flips_lost,
        "flips_won": comparison.flips_won,
        "mcnemar_p": comparison.mcnemar_p,
        "diff": comparison.diff,
        "diff_ci95": None if comparison.diff_ci95 is None else list(comparison.diff_ci95),
        "discordance": comparison.discordance,
        "smallest_drop": comparison.smallest_drop,
        "verdict": comparison.verdict,
    }
