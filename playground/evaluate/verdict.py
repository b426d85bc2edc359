"""The answer of an evaluation in plain words: which variant lost what, on which task, at which n; and what it gained.

Pure functions of a run's rows. A difference inside its interval is "not distinguishable", never a loss. `rows` is the
verdict table, one row a variant and task, as `playground eval --json` prints it and a run keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playground.core import REFERENCE
from playground.evaluate.items import Item, Measured, TaskFacts, TrustWarning, clusters, joined
from playground.metrics.stats import mean_stderr, paired
from playground.metrics.verdict import Verdict, overall, read

Row = Mapping[str, Any]
SAID_TASKS = 3  # of one variant; the table has the rest


def sentences(
    variants: Sequence[Row], tasks: Sequence[Row], rows: Sequence[Row], divergence: Sequence[Row] = ()
) -> list[dict[str, Any]]:
    """One for each variant but the reference: what was lost first, then what cannot be said, what was won, the rest.

    Each is {"kind", "text", "rest", "note"}. `kind`: the look of the verdict. `rest`: where nothing is to be seen at
    this n. `note`: what the variant gains. Without tasks, what moved farthest first.
    """
    facts = {task["name"]: task for task in tasks}
    found: list[tuple[int, float, dict[str, Any]]] = []
    for variant in variants[1:]:
        own = [row for row in rows if row["variant"] == variant["id"]]
        verdict = overall(filter(None, (read(row["verdict"]) for row in own)))
        text, rest = _said(variants[0], variant, own, facts) if own else _diverged(variant, divergence)
        largest = max((abs(row["diff"] or 0.0) for row in own if row["verdict"] == Verdict.WORSE), default=0.0)
        if not own:
            largest = next((row["kld_mean"] for row in divergence if row["variant"] == variant["id"]), 0.0)
        said = {"kind": verdict.look, "text": text, "rest": rest, "note": gains(variants[0], variant)}
        found.append((verdict.rank, -largest, said))
    return [said for _, _, said in sorted(found, key=lambda one: one[:2])]


def _said(reference: Row, variant: Row, own: Sequence[Row], facts: Mapping[str, Row]) -> tuple[str, str]:
    """Text and rest of a variant's sentence."""
    label = str(variant["label"])
    worse, better = _by_size(own, Verdict.WORSE), _by_size(own, Verdict.BETTER)
    withheld = [row for row in own if row["verdict"] == Verdict.WITHHELD]
    same = [row for row in own if row["verdict"] == Verdict.CANNOT_TELL]
    if not worse and not better and not withheld:
        return f"{label} is {Verdict.CANNOT_TELL} from {reference['label']} at n = {_counts(same)}.", ""
    said = [
        *_moved(label, ("loses", "is worse by"), worse, facts),
        *_moved("It" if worse else label, ("gains", "is better by"), better, facts),
        _withheld("" if worse or better else label, withheld, len(own)) if withheld else "",
    ]
    where = "task" if len(same) == 1 else f"{len(same)} tasks"
    rest = f"Not distinguishable on the other {where} at n = {_counts(same)}." if same else ""
    return " ".join(filter(None, said)), rest


def _counts(rows: Sequence[Row]) -> str:
    """ "120 to 200"."""
    counts = sorted({row["n"] for row in rows})
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"


def _by_size(rows: Sequence[Row], verdict: Verdict) -> list[Row]:
    return sorted((row for row in rows if row["verdict"] == verdict), key=lambda row: -abs(row["diff"] or 0.0))


def _moved(who: str, verbs: tuple[str, str], rows: Sequence[Row], facts: Mapping[str, Row]) -> list[str]:
    """ "GPTQ W4A16 loses 6 points on bundled_facts (n = 200) and 2 on bundled_cloze (n = 150)." The second verb is for
    scores that are no shares, whose loss may be a rise.
    """
    shares = [row for row in rows if is_share(row, facts.get(row["task"], {}))]
    others = [row for row in rows if row not in shares]
    found: list[str] = []
    for verb, some in zip(verbs, (shares, others), strict=True):
        parts = [f"{_amount(row, facts, first=row is some[0])} on {row['task']} (n = {row['n']:,})" for row in some]
        if len(parts) > SAID_TASKS:
            parts[SAID_TASKS:] = [f"on {len(parts) - SAID_TASKS} more tasks"]
        if parts:
            found.append(f"{'It' if found else who} {verb} {_and(parts)}.")
    return found


def _amount(row: Row, facts: Mapping[str, Row], *, first: bool) -> str:
    """ "6 points", and "2" after it."""
    said = points(abs(row["diff"]), row, facts.get(row["task"], {}))
    return said if first else said.removesuffix(" points").removesuffix(" point")


def points(difference: float, row: Row, facts: Row) -> str:
    """A difference of scores: in points where the score is a share, else in the metric's own unit."""
    if is_share(row, facts):
        shown = f"{100 * difference:.1f}".removesuffix(".0")
        return f"{shown} point{'' if shown in ('1', '-1') else 's'}"
    return f"{difference:.3g} {row['metric']}"


def is_share(row: Row, facts: Row) -> bool:
    """Whether the score lies between 0 and 1, the higher the better."""
    return bool(facts.get("higher_is_better", True)) and 0 <= row["score"] <= 1


def _withheld(who: str, rows: Sequence[Row], of: int) -> str:
    where = "" if len(rows) == of and of > 1 else f" on {_and([row['task'] for row in rows[:SAID_TASKS]])}"
    return f"No verdict on {who}{where}: see the warning." if who else f"No verdict{where}: see the warning."


def _diverged(variant: Row, divergence: Sequence[Row]) -> tuple[str, str]:
    """Without tasks: how far the distribution moved, which is no verdict."""
    label = variant["label"]
    own = next((row for row in divergence if row["variant"] == variant["id"]), None)
    floor = next((row["kld_mean"] for row in divergence if row["variant"] == "noise-floor"), 0.0)
    if own is None:
        return f"Nothing was measured of {label}.", ""
    if own["kld_mean"] <= floor:
        return f"{label} lies within the noise floor.", ""
    moved = f"mean KLD {own['kld_mean']:.3g} nats, the same top token in {own['top1_agreement']:.1%}"
    return f"{label}: {moved}.", ""


def gains(reference: Row, variant: Row) -> str:
    """ "58% smaller · 0.41× decode speed": what stands against the loss."""
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


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def rows(
    reference: Measured, others: Sequence[Measured], tasks: Mapping[str, TaskFacts], warnings: Sequence[TrustWarning]
) -> list[dict[str, Any]]:
    """The rows, variant by variant, the reference first; a task that a variant did not answer has no row.

    score, stderr   in the metric's unit, stderr clustered where items share a passage
    recovery        percent; flips_* items; mcnemar_p None where the task is graded
    diff, diff_ci95 score minus the reference's, with its 95 % interval
    truncated       share of the answers that the token budget ended, 0 to 1
    cut_prompts     items whose prompt the model did not get whole
    verdict         "reference", "better", "worse", "not distinguishable", or "withheld": a warning says why

    A variant's row is about the items that both sides answered, see `items.joined`; what only the reference has is
    None in a variant's row when there are none, and what compares is None in the reference's.
    """
    found = []
    for one in (reference, *others):
        for name, facts in tasks.items():
            if not one.tasks.get(name):
                continue
            concerned = [warned for warned in warnings if warned.concerns(one.variant, name)]
            asked = None if one is reference else reference.tasks.get(name, ())
            row = {"variant": one.variant, "task": name, "metric": facts.metric}
            row |= _alone(one.tasks[name]) if asked is None else _compared(asked, one.tasks[name], facts)
            if asked is not None and any(warned.withholds for warned in concerned):
                row["verdict"] = Verdict.WITHHELD
            found.append(row | {"warnings": [warned.text for warned in concerned]})
    return found


def _alone(items: Sequence[Item]) -> dict[str, Any]:
    """The numbers of one side. Recovery is the reference's of itself."""
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


def _compared(asked: Sequence[Item], answered: Sequence[Item], facts: TaskFacts) -> dict[str, Any]:
    pairs = joined(asked, answered)
    if not pairs:
        return _alone(answered) | {"recovery": None, "verdict": Verdict.WITHHELD}
    before, after = zip(*pairs, strict=True)
    found = paired(
        [item.score for item in before],
        [item.score for item in after],
        clusters(before),
        higher_is_better=facts.higher_is_better,
        graded=facts.graded or None,
    )
    return _alone(after) | {
        "recovery": found.recovery,
        "flips_lost": found.flips_lost,
        "flips_won": found.flips_won,
        "mcnemar_p": found.mcnemar_p,
        "diff": found.diff,
        "diff_ci95": None if found.diff_ci95 is None else list(found.diff_ci95),
        "discordance": found.discordance,
        "smallest_drop": found.smallest_drop,
        "verdict": found.verdict,
    }
