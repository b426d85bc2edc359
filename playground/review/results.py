"""The results of a review for its owner: figures from the votes that count, sentences, all votes as CSV."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median
from typing import Any

from playground.formatting import as_csv, minus
from playground.review.preference import Agreement, Position, WinRate, agreement, bradley_terry, position, win_rate
from playground.store import reviews
from playground.store.schema import Review, Reviewer, ReviewItem, Vote

ELO = 400 / 2.302585092994046  # points of Elo's scale in one unit of log odds
COLUMNS = ("reviewer", "counted", "prompt", "a", "b", "choice", "preferred", "comment", "voted_at")


@dataclass(frozen=True, slots=True)
class Ballot:
    """One vote that counts, with its item.

    score  1 for the second variant of the pair, 0 for the first, 0.5 for neither
    """

    vote: Vote
    item: ReviewItem

    @property
    def score(self) -> float:
        return 0.5 if self.vote.winner is None else float(self.vote.winner == self.item.second)

    @property
    def pair(self) -> tuple[int, int]:
        return self.item.first, self.item.second

    @property
    def preferred(self) -> int:
        """The preferred variant, -1 for neither."""
        return -1 if self.vote.winner is None else self.vote.winner


def results(review_id: str) -> dict[str, Any]:
    """The documented JSON of `review show`, for the review with this id. Raises UnknownReview."""
    review = reviews.get(review_id)
    items = {item.number: item for item in reviews.items(review_id)}
    people = reviews.reviewers(review_id)
    votes = reviews.votes(review_id)
    excluded = {reviewer.id for reviewer in people if reviewer.excluded_at is not None}
    ballots = [Ballot(vote, items[vote.number]) for vote in votes if vote.reviewer_id not in excluded]
    pairs = [
        _pair(review, pair, ballots) for pair in dict.fromkeys((item.first, item.second) for item in items.values())
    ]
    sides = Counter(ballot.vote.choice for ballot in ballots)
    bias, agreed = position(sides["a"], sides["b"]), _agreement(ballots)
    return {
        "review": summary(review, len(items), len(votes)),
        "sentence": headline(pairs),
        "pairs": pairs,
        "ranking": _ranking(review, ballots) if len(review.variants) > 2 else None,
        "position": bias and asdict(bias) | {"sentence": position_words(bias)},
        "agreement": agreed and asdict(agreed) | {"sentence": agreement_words(agreed)},
        "counted": len(ballots),
        "bad": sides["bad"],
        "ties": sides["tie"],
        "reviewers": _reviewers(people, votes),
        "items": _items(review, items.values(), ballots, people),
    }


def summary(review: Review, items: int, votes: int) -> dict[str, Any]:
    """A row of the list of reviews; `items` and `votes` are counts."""
    return {
        "id": review.id,
        "name": review.name,
        "title": review.title,
        "created": review.created_at,
        "closed": review.closed_at,
        "reveal": review.reveal,
        "variants": [dict(row) for row in review.variants],
        "items": items,
        "votes": votes,
        "settings": review.settings,
        "key": review.key,
        "places": review.places,
    }


def _pair(review: Review, pair: tuple[int, int], ballots: Sequence[Ballot]) -> dict[str, Any]:
    """Results of one pair: its second variant against the first, which is the reference where it takes part."""
    first, second = (str(review.variants[position]["label"]) for position in pair)
    pair_ballots = [ballot for ballot in ballots if ballot.pair == pair]
    same = sum(identical[:2] == list(pair) for identical in review.settings.get("same", ()))
    row: dict[str, Any] = {"first": pair[0], "second": pair[1], "labels": [first, second], "same": same}
    if not pair_ballots:
        return row | {"win_rate": None, "agreement": None, "sentence": no_votes(second, first, same), "bad": 0}
    rate = win_rate(
        [ballot.score for ballot in pair_ballots],
        [ballot.item.prompt_number for ballot in pair_ballots],
        [ballot.vote.reviewer_id for ballot in pair_ballots],
    )
    agreed = _agreement(pair_ballots)
    return row | {
        "win_rate": asdict(rate),
        "agreement": agreed and asdict(agreed),
        "bad": sum(ballot.vote.choice == "bad" for ballot in pair_ballots),
        "sentence": verdict(second, first, rate, agreed),
        "details": details(second, first, rate, agreed, same),
    }


def _agreement(ballots: Sequence[Ballot]) -> Agreement | None:
    units: defaultdict[int, list[int]] = defaultdict(list)
    for ballot in ballots:
        units[ballot.item.number].append(ballot.preferred)
    return agreement([units[number] for number in sorted(units)])


def _ranking(review: Review, ballots: Sequence[Ballot]) -> dict[str, Any] | None:
    """The variants by strength, the reference among them; those without a vote last."""
    if not ballots:
        return None
    ranking = bradley_terry(
        [ballot.item.second for ballot in ballots],
        [ballot.item.first for ballot in ballots],
        [ballot.score for ballot in ballots],
        [ballot.item.prompt_number for ballot in ballots],
        len(review.variants),
    )
    rows = []
    for number, strength in enumerate(ranking.strengths):
        row: dict[str, Any] = {"variant": number, "label": review.variants[number]["label"], "votes": 0, "rate": None}
        if strength is not None:
            row |= asdict(strength) | {"elo": ELO * strength.log_odds}
        rows.append(row)
    rows.sort(key=lambda row: -1.0 if row["rate"] is None else row["rate"], reverse=True)
    return {"rows": rows, "bounded": ranking.bounded}


def _reviewers(people: Sequence[Reviewer], votes: Sequence[Vote]) -> list[dict[str, Any]]:
    votes_by_reviewer: defaultdict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        votes_by_reviewer[vote.reviewer_id].append(vote)
    rows, guests = [], 0
    for reviewer in people:
        reviewer_votes = votes_by_reviewer[reviewer.id]
        guests += not reviewer.invited
        gaps = [later.created_at - earlier.created_at for earlier, later in pairwise(reviewer_votes)]
        sides = Counter(vote.choice for vote in reviewer_votes)
        rows.append(
            {
                "id": reviewer.id,
                "label": reviewer.label or f"Guest {guests}",
                "invited": reviewer.invited,
                "key": reviewer.key if reviewer.invited else None,
                "done": len(reviewer_votes),
                "total": len(reviewer.order),
                "excluded": reviewer.excluded_at is not None,
                "sides": {choice: sides[choice] for choice in ("a", "b", "tie", "bad")},
                "seconds_per_vote": median(gaps) if gaps else None,
                "last": reviewer_votes[-1].created_at if reviewer_votes else None,
            }
        )
    return rows


def votes_csv(review_id: str) -> str:
    """All votes as CSV, the oldest first, with the variants on either side. Raises UnknownReview.

    counted  whether the owner counts this reviewer's votes
    """
    review = reviews.get(review_id)
    items = {item.number: item for item in reviews.items(review_id)}
    people = reviews.reviewers(review_id)
    votes = reviews.votes(review_id)
    names = {row["id"]: row["label"] for row in _reviewers(people, votes)}
    excluded = {reviewer.id for reviewer in people if reviewer.excluded_at is not None}
    labels = [str(row["label"]) for row in review.variants]
    rows = []
    for vote in votes:
        item = items[vote.number]
        rows.append(
            {
                "reviewer": names[vote.reviewer_id],
                "counted": vote.reviewer_id not in excluded,
                "prompt": item.prompt,
                "a": labels[vote.left],
                "b": labels[item.first if vote.left == item.second else item.second],
                "choice": vote.choice,
                "preferred": "" if vote.winner is None else labels[vote.winner],
                "comment": vote.comment,
                "voted_at": datetime.fromtimestamp(vote.created_at, UTC).isoformat(timespec="seconds"),
            }
        )
    return as_csv(COLUMNS, rows)


def _items(
    review: Review, items: Iterable[ReviewItem], ballots: Sequence[Ballot], people: Sequence[Reviewer]
) -> list[dict[str, Any]]:
    """The items with their votes. "cut", where one of the texts was cut: at how many tokens, None for the other."""
    cut = {(prompt, variant): tokens for prompt, variant, tokens in review.settings.get("cut", ())}
    ballots_by_item: defaultdict[int, list[Ballot]] = defaultdict(list)
    for ballot in ballots:
        ballots_by_item[ballot.item.number].append(ballot)
    labels: Mapping[str, str] = {reviewer.id: reviewer.label for reviewer in people}
    rows = []
    for item in items:
        item_ballots = ballots_by_item[item.number]
        rows.append(
            {
                "number": item.number,
                "prompt": item.prompt,
                "first": item.first,
                "second": item.second,
                "texts": [item.first_text, item.second_text],
                "wins": [
                    sum(ballot.vote.winner == item.first for ballot in item_ballots),
                    sum(ballot.vote.winner == item.second for ballot in item_ballots),
                ],
                "ties": sum(ballot.vote.choice == "tie" for ballot in item_ballots),
                "bad": sum(ballot.vote.choice == "bad" for ballot in item_ballots),
                "comments": [
                    {"reviewer": labels[ballot.vote.reviewer_id], "text": ballot.vote.comment, "said": ballot.preferred}
                    for ballot in item_ballots
                    if ballot.vote.comment
                ],
            }
        )
        cuts = [cut.get((item.prompt_number, variant)) for variant in (item.first, item.second)]
        if any(cuts):
            rows[-1]["cut"] = cuts
    return rows


# Sentences.


def percent(share: float) -> str:
    """ "48" of 0.48."""
    return f"{100 * share:.0f}"


def _interval(ci: tuple[float, float]) -> str:
    return f"95% interval {percent(ci[0])}–{percent(ci[1])}%"


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def no_votes(second: str, first: str, same: int) -> str:
    identical = f" On {count(same, 'prompt')} their answers are identical." if same else ""
    return f"Nobody has voted on {second} and {first} yet.{identical}"


def verdict(second: str, first: str, rate: WinRate, agreed: Agreement | None) -> str:
    """One sentence with its figures: "Reviewers could not tell nf4 from BF16 (n = 80, 95% interval 38–57%)."."""
    numbers = f"n = {rate.n}, {_interval(rate.ci95)}"
    if rate.verdict == "too few":
        return f"Too few votes to tell {second} from {first} ({numbers})."
    if rate.verdict == "first":
        return f"Reviewers preferred {second} to {first} (win rate {percent(rate.rate)}%, {numbers})."
    if rate.verdict == "second":
        numbers = f"n = {rate.n}, {_interval((1 - rate.ci95[1], 1 - rate.ci95[0]))}"
        return f"Reviewers preferred {first} to {second} (win rate {percent(1 - rate.rate)}%, {numbers})."
    if _distinguishable(agreed):
        return f"Reviewers can tell {second} from {first}, and prefer neither overall ({numbers})."
    return f"Reviewers could not tell {second} from {first} ({numbers})."


def _at_least(share: float) -> str:
    return "every vote" if share > 0.995 else f"{percent(share)}% or more"


def _distinguishable(agreed: Agreement | None) -> bool:
    """Whether reviewers agree on single answers more than by chance: then the variants differ, whichever wins."""
    return agreed is not None and agreed.ci95 is not None and agreed.ci95[0] > 0


def details(second: str, first: str, rate: WinRate, agreed: Agreement | None, same: int) -> list[str]:
    """The sentences below the verdict."""
    independent = count(round(rate.effective), "independent vote")
    sentences = [
        f"{second} won {rate.wins}, {first} won {rate.losses}, {rate.undecided} undecided: a win rate of "
        f"{percent(rate.rate)}%, undecided votes counted half.",
        f"{count(rate.n, 'vote')} by {count(rate.reviewers, 'reviewer')} on {count(rate.prompts, 'prompt')}"
        + (f", equivalent to {independent}." if rate.effective < 0.95 * rate.n else "."),
    ]
    if rate.verdict == "not distinguishable":
        sentences.append(f"A preference in {_at_least(rate.sees)} would have been detected with 80% power.")
        if _distinguishable(agreed) and agreed is not None:
            sentences.append(f"They agree on single answers more often than by chance (alpha {agreed.alpha:.2f}).")
    if rate.verdict == "too few":
        sentences.append(f"With so few votes only a preference in {_at_least(rate.sees)} can be detected.")
    if same:
        sentences.append(f"On {count(same, 'more prompt')} both answers were identical, so nobody was asked.")
    return sentences


def headline(pairs: Sequence[Mapping[str, Any]]) -> str:
    """The sentence of a single pair; of several, one over the reference's pairs."""
    voted = [row for row in pairs if row["win_rate"] is not None]
    if not voted:
        return "Nobody has voted yet."
    if len(pairs) == 1:
        return str(voted[0]["sentence"])
    compared = [row for row in voted if row["first"] == 0] or voted
    decided = [row for row in compared if row["win_rate"]["verdict"] in ("first", "second")]
    if not decided:
        names = _either([row["labels"][1] for row in compared])
        return f"Reviewers could not tell {names} from {compared[0]['labels'][0]}, as far as these votes show."
    return " ".join(str(row["sentence"]) for row in decided[:3])


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def position_words(bias: Position) -> str:
    side = "A" if bias.share_a > 0.5 else "B"
    numbers = f"{percent(bias.share_a)}% of the decided votes went to side A (n = {bias.a + bias.b}, "
    numbers += f"{_interval(bias.ci95)}, p = {bias.p:.2g})"
    if bias.p >= 0.05:
        return f"No preference for a side: {numbers}."
    return (
        f"Votes lean to side {side}: {numbers}. Sides are random for each vote: this adds noise and favors no variant."
    )


def agreement_words(agreed: Agreement) -> str:
    bounds = agreed.ci95
    interval = "" if bounds is None else f", 95% interval {bounds[0]:.2f} to {bounds[1]:.2f}"
    on = count(agreed.units, "answer pair")
    alpha = minus(f"{agreed.alpha:.2f}{interval}")
    return f"Krippendorff’s alpha {alpha}, on {on} with two votes or more; 0 is chance, 1 perfect agreement."
