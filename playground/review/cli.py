"""`python -m playground review`: make and list blind reviews, and show their results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from playground.console import AsJson, out, print_json
from playground.errors import InvalidRequest

app = typer.Typer(help="Blind reviews: make one, list them, show what people preferred.", no_args_is_help=True)


@app.command("make")
def make_(
    variants: Annotated[
        list[str] | None, typer.Argument(help="With --prompts: who answers, the reference first.")
    ] = None,
    runs: Annotated[
        list[str] | None, typer.Option("--runs", help="Stored comparisons by id: several times, or with commas.")
    ] = None,
    prompts: Annotated[str | None, typer.Option(help="bundled, or a .jsonl or .txt file.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="So many of the prompts, of each kind alike.")] = None,
    reviewers: Annotated[str, typer.Option(help="Names, with commas: each gets a link.")] = "",
    places: Annotated[int, typer.Option(min=0, help="How many people may vote through a public link.")] = 0,
    title: Annotated[str | None, typer.Option(help="What reviewers read; it names no variant.")] = None,
    asked_by: Annotated[str, typer.Option("--from", help="Who asks: reviewers read it.")] = "",
    pairs: Annotated[
        str, typer.Option(help="reference: each against the first; all: each against each.")
    ] = "reference",
    reveal: Annotated[str, typer.Option(help="When reviewers learn the names: never, end, item.")] = "end",
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Of each answer.")] = None,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """Make a blind review from stored comparisons, or let variants answer prompts."""
    from playground.review import make
    from playground.store import reviews

    names = tuple(dict.fromkeys(name.strip() for name in reviewers.split(",") if name.strip()))
    settings = {"pairs": pairs, "reveal": reveal, "invitations": names, "places": places, "asked_by": asked_by}
    terms = make.Terms.model_validate(settings if title is None else settings | {"title": title})
    ids = [run_id.strip() for part in runs or () for run_id in part.split(",") if run_id.strip()]
    if bool(ids) == bool(prompts):
        raise InvalidRequest("Where do the answers come from?", hint="Give either --runs, or --prompts and variants.")
    if ids:
        if variants:
            raise InvalidRequest("Stored comparisons have their variants.", hint="Leave the names out.")
        review = make.from_runs(terms, ids)
    else:
        review = reviews.get(_answer_prompts(variants or [], str(prompts), count, terms, max_tokens, temperature, seed))
    links = _links(review.id)
    if as_json:
        print_json({"review": review.id, "links": links})
        return
    out.print(escape(f"Review {review.id}: {review.name}, {len(reviews.items(review.id))} pairs"), highlight=False)
    for link in links:
        out.print(escape(f"{link['reviewer'] or 'anyone'}: {link['link']}"), highlight=False, soft_wrap=True)


def _answer_prompts(
    variants: list[str],
    source: str,
    count: int | None,
    terms: Any,
    max_tokens: int | None,
    temperature: float,
    seed: int,
) -> str:
    """Let the variants answer in a job, and return the id of its review. Raises PlaygroundError."""
    from playground.console import absolute, follow
    from playground.core import Sampling
    from playground.jobs import kinds
    from playground.jobs.queue import submit
    from playground.review import make
    from playground.review.spec import SAMPLING, ReviewSpec

    chosen = make.load(source)
    spec = ReviewSpec(
        variants=tuple(absolute(name) for name in variants),
        prompts=chosen.first(count) if count else chosen,
        terms=terms,
        sampling=Sampling(max_tokens=max_tokens or SAMPLING.max_tokens, temperature=temperature, seed=seed),
    )
    job = follow(kinds.start(spec, submit))
    return str((job.result or {})["review"])


def _links(review_id: str) -> list[dict[str, str]]:
    """The links of a review: one per invited reviewer, and the public one. Host and port are from the settings."""
    from playground.settings import settings
    from playground.store import reviews

    current = settings()
    host = "127.0.0.1" if current.host in ("0.0.0.0", "::") else current.host  # noqa: S104 - compared, not listened on
    base = f"http://{f'[{host}]' if ':' in host else host}:{current.port}/review/{review_id}#"
    review = reviews.get(review_id)
    invited = [reviewer for reviewer in reviews.reviewers(review_id) if reviewer.invited]
    links = [{"reviewer": reviewer.label, "link": base + reviewer.key} for reviewer in invited]
    return links + ([{"reviewer": "", "link": base + review.key}] if review.key else [])


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List reviews, the newest first."""
    from playground.review.results import summary
    from playground.store import database, reviews

    rows = [summary(*row) for row in reviews.latest(1000)] if database.exists() else []
    if as_json:
        print_json(rows)
        return
    if not rows:
        out.print("No reviews. Make one: python -m playground review make --help")
        return
    table = Table(box=None, header_style="dim")
    for heading in ("id", "what"):
        table.add_column(heading, overflow="fold")
    for heading in ("pairs", "votes"):
        table.add_column(heading, justify="right")
    table.add_column("state")
    for row in rows:
        state = "closed" if row["closed"] else "open"
        table.add_row(row["id"], escape(row["name"]), str(row["items"]), str(row["votes"]), state)
    out.print(table)


@app.command()
def show(review_id: Annotated[str, typer.Argument(help="Id of a review.")], as_json: AsJson = False) -> None:
    """Say what people preferred, how sure that is, and who has voted."""
    from playground.review.results import results
    from playground.store import database, reviews

    if not database.exists():
        raise reviews.unknown()
    report = results(review_id)
    if as_json:
        print_json(report)
        return
    _print(report)


def _print(report: Mapping[str, Any]) -> None:
    out.print(escape(report["sentence"]), style="bold", highlight=False)
    for pair in report["pairs"]:
        if len(report["pairs"]) > 1:
            out.print(escape(pair["sentence"]), highlight=False)
        for words in pair.get("details", ()):
            out.print(escape(f"  {words}"), style="dim", highlight=False)
    for name in ("position", "agreement"):
        if report[name]:
            out.print(escape(report[name]["sentence"]), highlight=False)
    if report["ranking"]:
        table = Table(box=None, header_style="dim")
        table.add_column("variant")
        for heading in ("preferred to the reference", "95% interval", "votes"):
            table.add_column(heading, justify="right")
        for row in report["ranking"]["rows"]:
            rate = "–" if row["rate"] is None else f"{row['rate']:.0%}"
            interval = f"{row['ci95'][0]:.0%}–{row['ci95'][1]:.0%}" if row.get("ci95") else "–"
            table.add_row(escape(row["label"]), rate, interval, str(row["votes"]))
        out.print(table)
    for reviewer in report["reviewers"]:
        suffix = " · not counted" if reviewer["excluded"] else ""
        out.print(escape(f"{reviewer['label']}: {reviewer['done']} of {reviewer['total']}{suffix}"), highlight=False)
