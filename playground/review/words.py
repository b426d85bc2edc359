"""What the numbers of a review mean, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playground.review.preference import Agreement, Position, WinRate


def percent(share: float) -> str:
    """ "48" of 0.48."""
    return f"{100 * share:.0f}"


def _interval(ci: tuple[float, float]) -> str:
    return f"95 % CI {percent(ci[0])}–{percent(ci[1])} %"


def count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def unvoted(second: str, first: str, same: int) -> str:
    more = f" On {count(same, 'prompt')} their answers are the same." if same else ""
    return f"Nobody has voted on {second} and {first} yet.{more}"


def verdict(second: str, first: str, rate: WinRate, agreed: Agreement | None) -> str:
    """One sentence, its numbers inside: "Reviewers could not tell nf4 from BF16 (n = 80, 95 % CI 38–57 %)."."""
    numbers = f"n = {rate.n}, {_interval(rate.ci95)}"
    if rate.verdict == "too few":
        return f"Too few votes to tell {second} from {first} ({numbers})."
    if rate.verdict == "first":
        return f"Reviewers preferred {second} to {first} (win rate {percent(rate.rate)} %, {numbers})."
    if rate.verdict == "second":
        turned = f"n = {rate.n}, {_interval((1 - rate.ci95[1], 1 - rate.ci95[0]))}"
        return f"Reviewers preferred {first} to {second} (win rate {percent(1 - rate.rate)} %, {turned})."
    if _apart(agreed):
        return f"Reviewers can tell {second} from {first}, and prefer neither on the whole ({numbers})."
    return f"Reviewers could not tell {second} from {first} ({numbers})."


def _at_least(share: float) -> str:
    return "every vote" if share > 0.995 else f"{percent(share)} % or more"


def _apart(agreed: Agreement | None) -> bool:
    """Whether reviewers agree on single answers more than chance would: then the two differ, whoever wins."""
    return agreed is not None and agreed.ci95 is not None and agreed.ci95[0] > 0


def details(second: str, first: str, rate: WinRate, agreed: Agreement | None, same: int) -> list[str]:
    """What stands under the sentence."""
    said = [
        f"{second} won {rate.wins}, {first} won {rate.losses}, {rate.undecided} undecided: a win rate of "
        f"{percent(rate.rate)} %, what is undecided counted half.",
        f"{count(rate.n, 'vote')} of {count(rate.reviewers, 'reviewer')} on {count(rate.prompts, 'prompt')}"
        + (f", worth {rate.effective:.0f} independent ones." if rate.effective < 0.95 * rate.n else "."),
    ]
    if rate.verdict == "not distinguishable":
        said.append(f"A preference in {_at_least(rate.sees)} would have shown, four times in five.")
        if _apart(agreed) and agreed is not None:
            said.append(f"They agree on single answers more than chance does (alpha {agreed.alpha:.2f}).")
    if rate.verdict == "too few":
        said.append(f"So few votes show only a preference in {_at_least(rate.sees)}.")
    if same:
        said.append(f"On {count(same, 'more prompt')} both answers were the same, and nobody was asked.")
    return said


def headline(pairs: Sequence[Mapping[str, Any]]) -> str:
    """Of one pair its sentence; of several, what the reference's pairs say together."""
    voted = [row for row in pairs if row["win_rate"] is not None]
    if not voted:
        return "Nobody has voted yet."
    if len(pairs) == 1:
        return str(voted[0]["sentence"])
    against = [row for row in voted if row["first"] == 0] or voted
    sure = [row for row in against if row["win_rate"]["verdict"] in ("first", "second")]
    if not sure:
        names = _listed([row["labels"][1] for row in against])
        return f"Reviewers could not tell {names} from {against[0]['labels'][0]}, as far as these votes show."
    return " ".join(str(row["sentence"]) for row in sure[:3])


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def position(lean: Position) -> str:
    side = "A" if lean.share_a > 0.5 else "B"
    numbers = f"{percent(lean.share_a)} % of the decided votes went to side A (n = {lean.a + lean.b}, "
    numbers += f"{_interval(lean.ci95)}, p = {lean.p:.2g})"
    if lean.p < 0.05:
        return f"Votes lean to side {side}: {numbers}. Sides are drawn for each vote, so it is noise and no unfairness."
    return f"No lean to a side: {numbers}."


def agreement(agreed: Agreement) -> str:
    interval = (
        "" if agreed.ci95 is None else f", 95 % CI {agreed.ci95[0]:.2f} to {agreed.ci95[1]:.2f}".replace("-", "−")
    )
    on = count(agreed.units, "answer pair")
    return f"Krippendorff’s alpha {agreed.alpha:.2f}{interval}, on {on} with two votes or more; 0 is chance, 1 perfect."
