"""The run that a closed review becomes, and its report. It has no name, comment or single vote of a reviewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playground.errors import UnknownModel
from playground.evaluate.report import with_labels
from playground.models import names
from playground.models.address import Address
from playground.report.parts import Caveats, Cell, Conditions, Heading, Kind, Part, Picture, Sentence, Table
from playground.review.results import percent
from playground.store.runs import new_run
from playground.store.schema import Run

COLUMNS = (
    *("variant", "label", "against", "win_rate", "low", "high", "verdict"),
    *("wins", "losses", "undecided", "votes", "reviewers", "prompts"),
)
NUMBER_OF = ("pairs",)
VARIANT = ("id", "label", "method", "scheme", "bytes", "bits_per_weight", "content_hash", "engine", "dtype")
KINDS: Mapping[str, Kind] = {"first": "better", "second": "worse"}  # "first": the variant was preferred


def review(found: Mapping[str, Any]) -> Run | None:
    """Return the run of a review from its results (`results.results`); None if no vote counts."""
    if not found["counted"]:
        return None
    about = found["review"]
    settings = {key: about["settings"][key] for key in ("source", "sampling", "prompts") if key in about["settings"]}
    variants = [{key: row.get(key) for key in VARIANT} for row in about["variants"]]
    return new_run(
        "review",
        title=about["title"] or about["name"],
        model=_model(str(variants[0]["id"])),
        device={},
        settings=settings | {"pairs": about["items"], "names_shown": about["reveal"]},
        variants=variants,
        result={
            "sentence": found["sentence"],
            "pairs": found["pairs"],
            "ranking": found["ranking"],
            "position": found["position"],
            "agreement": found["agreement"],
            "counted": found["counted"],
            "ties": found["ties"],
            "bad": found["bad"],
            "reviewers": sum(row["done"] > 0 and not row["excluded"] for row in found["reviewers"]),
        },
    )


def _model(variant: str) -> str:
    """Return the key of a variant's model. A model may be gone since the answers were written."""
    name = Address.parse(variant).variant
    try:
        return names.key(names.split(name)[0])
    except UnknownModel:
        return name


def parts(run: Run) -> tuple[Part, ...]:
    """Return the parts of the report: a sentence per pair, the table, and how reliable the votes are."""
    result = run.result
    sentences = [
        Sentence(str(pair["sentence"]), KINDS.get(_verdict(pair), "same"), " ".join(pair.get("details") or ()))
        for pair in result["pairs"]
    ]
    counted = [("Votes", f"{result['counted']:,}"), ("Reviewers", f"{result['reviewers']:,}")]
    counted += [("Ties", f"{result['ties']:,}"), ("Both bad", f"{result['bad']:,}")]
    trust = [
        (title, str(result[key]["sentence"]))
        for title, key in (("Side A", "position"), ("Agreement", "agreement"))
        if result.get(key)
    ]
    table = _table(run)
    return (
        *sentences,
        Caveats(("a preference of these reviewers on these prompts",)),
        table,
        Conditions((*counted, *trust)),
        Picture(table),
    )


def terminal(run: Run) -> Sequence[Part]:
    """Return the sentences and the table."""
    return [*(Sentence(str(pair["sentence"])) for pair in run.result["pairs"]), _table(run)]


def rows(run: Run) -> list[dict[str, Any]]:
    """Return one row per pair that has votes."""
    variants = with_labels(run.variants)
    found = []
    for pair in run.result["pairs"]:
        if rate := pair["win_rate"]:
            second = variants[pair["second"]]
            found.append(
                {
                    "variant": second["id"],
                    "label": second["label"],
                    "against": variants[pair["first"]]["label"],
                    "win_rate": rate["rate"],
                    "low": rate["ci95"][0],
                    "high": rate["ci95"][1],
                    "verdict": rate["verdict"],
                    "wins": rate["wins"],
                    "losses": rate["losses"],
                    "undecided": rate["undecided"],
                    "votes": rate["n"],
                    "reviewers": rate["reviewers"],
                    "prompts": rate["prompts"],
                }
            )
    return found


def number(result: Mapping[str, Any], _names: Mapping[str, str]) -> tuple[str, str]:
    """Return the win rate of the pair that is farthest from no preference, with its interval."""
    voted = [pair for pair in result.get("pairs") or () if pair["win_rate"]]
    if not voted:
        return "", ""
    pair = max(voted, key=lambda row: abs(row["win_rate"]["rate"] - 0.5))
    rate = pair["win_rate"]
    interval = f"{percent(rate['ci95'][0])}–{percent(rate['ci95'][1])}%"
    return f"{percent(rate['rate'])}%", f"preferred {pair['labels'][1]} ({interval})"


def _verdict(pair: Mapping[str, Any]) -> str:
    return str((pair["win_rate"] or {}).get("verdict", ""))


def _table(run: Run) -> Table:
    headings = (
        Heading("Variant", words=True), Heading("Against", words=True), Heading("Preferred"),
        Heading("95% interval"), Heading("Votes"),
    )  # fmt: skip
    body = tuple(
        (
            Cell(row["label"], kind=KINDS.get(row["verdict"], "same")),
            Cell(row["against"]),
            Cell(f"{percent(row['win_rate'])}%"),
            Cell(f"{percent(row['low'])}–{percent(row['high'])}%"),
            Cell(f"{row['votes']:,}"),
        )
        for row in rows(run)
    )
    return Table("Preferences", headings, body, "Ties and “both bad” count half for each side.")
