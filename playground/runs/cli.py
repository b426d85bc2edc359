"""`python -m playground runs`: list, show, rename, annotate, revoke, delete and export stored runs.

The commands run as the owner: they list revoked runs too.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from playground import client
from playground.console import AsJson, err, out, print_json
from playground.console import show as show_parts
from playground.errors import InvalidRequest, UnknownRun
from playground.runs.kinds import KINDS

if TYPE_CHECKING:
    from playground.store.runs import Entry

app = typer.Typer(help="List, show, rename, revoke, delete and export runs.", no_args_is_help=True)
ID_CHARACTERS = 12  # characters of an id in the list: enough to name a run, and they leave room for its title

Id = Annotated[str, typer.Argument(help="Id of a run, or as much of its beginning as is not another's.")]


@app.command("list")
def list_(
    kind: Annotated[str, typer.Option(help=f"Only {', '.join(list(KINDS)[:-1])} or {list(KINDS)[-1]} runs.")] = "",
    model: Annotated[str, typer.Option(help="Only runs of this model.")] = "",
    text: Annotated[str, typer.Option(help="Words in the title, the note, the model or the variants.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    as_json: AsJson = False,
    at: client.Ask = None,
) -> None:
    """List runs, the newest first."""
    from playground.methods import did_you_mean
    from playground.runs.titles import title_of

    if kind and kind not in KINDS:
        raise InvalidRequest(f"There is no kind of run {kind[:40]!r}.", hint=did_you_mean(kind[:40], list(KINDS)))
    if server := client.asked(at):
        with server:
            found = server.get("/api/runs/rows", words=text, kind=kind, model=client.named(model)[0], limit=limit)
        entries, total = [client.entry_of(row) for row in found["rows"]], found["total"]
    else:
        entries, total = _search(text, kind, model, limit)
    if as_json:
        print_json([entry.as_row() for entry in entries])
        return
    if not entries:
        empty_text = "No run is like that." if kind or model or text else "No runs."
        out.print(
            f'{empty_text} Make one: python -m playground generate smollm2 smollm2:nf4 --prompt "What is gravity?"'
        )
        return
    table = Table(box=None, header_style="dim")
    for heading in ("id", "made", "kind", "what"):
        table.add_column(heading, no_wrap=heading != "what")
    for entry in entries:
        title = escape(title_of(entry)) + (" [dim](revoked)[/]" if entry.revoked_at is not None else "")
        table.add_row(entry.id[:ID_CHARACTERS], _when(entry.run.created_at), entry.run.kind, title)
    out.print(table)
    if total > len(entries):
        err.print(f"{total - len(entries):,} more: --limit {total}", style="dim", highlight=False)


def _search(text: str, kind: str, model: str, limit: int) -> tuple[list[Entry], int]:
    """Return the runs of this machine that match, and how many do without a limit."""
    from playground.models import names
    from playground.store import database, runs

    if not database.exists():
        return [], 0
    words, key = text, names.key(model) if model else ""
    return runs.search(words, kind, key, limit=limit, revoked=True), runs.count(words, kind, key, revoked=True)


@app.command()
def show(run_id: Id, as_json: AsJson = False, at: client.Ask = None) -> None:
    """Show one run: its model and variants, where and with what it was measured, and what came of it."""
    from playground.runs.titles import title_of

    if server := client.asked(at):
        with server:
            entry = server.run(run_id)
    else:
        entry = _entry(run_id)
    if as_json:
        print_json(entry.as_row(result=True))
        return
    run = entry.run
    out.print(f"[bold]{escape(title_of(entry))}[/]", highlight=False)
    if entry.note:
        out.print(escape(entry.note), highlight=False)
    device = " · ".join(str(run.device[name]) for name in ("device", "name") if run.device.get(name))
    rows = [
        ("id", run.id),
        ("kind", run.kind),
        ("made", _when(run.created_at)),
        ("device", device),
        *(("" if number else "variant", _variant(facts)) for number, facts in enumerate(run.variants)),
    ]
    if entry.revoked_at is not None:
        rows.insert(3, ("revoked", f"{_when(entry.revoked_at)}: its link answers to nobody but you"))
    table = Table(box=None, show_header=False)
    for name, value in rows:
        table.add_row(name, escape(value))
    out.print(table)
    if run.kind in KINDS:
        show_parts(KINDS[run.kind].feature.terminal(run))
    out.print(f"Everything: python -m playground runs show {run.id[:8]} --json", style="dim", highlight=False)


@app.command()
def rename(run_id: Id, title: Annotated[str, typer.Argument(help="An empty one gives it its own back.")]) -> None:
    """Show a run under another title."""
    from playground.store import runs

    whole_id = _entry(run_id).id
    runs.rename(whole_id, title)
    out.print(escape(f"{whole_id} is called {runs.entry(whole_id, owner=True).title!r}."), highlight=False)


@app.command()
def note(run_id: Id, text: Annotated[str, typer.Argument(help="An empty one removes the note.")]) -> None:
    """Say something about a run."""
    from playground.store import runs

    whole_id = _entry(run_id).id
    runs.annotate(whole_id, text)
    out.print(f"{whole_id} has {'a note' if text.strip() else 'no note'}.", highlight=False)


@app.command()
def revoke(
    run_id: Id, undo: Annotated[bool, typer.Option("--undo", help="Let its link answer again.")] = False
) -> None:
    """Let a run's link answer as if there were no run. It stays in your lists."""
    from playground.store import runs

    whole_id = _entry(run_id).id
    (runs.restore if undo else runs.revoke)(whole_id)
    out.print(f"The link of {whole_id} {'answers again' if undo else 'is revoked'}.", highlight=False)


@app.command()
def delete(run_id: Id) -> None:
    """Forget a run and remove its files. There is no way back."""
    from playground.store import runs

    whole_id = _entry(run_id).id
    runs.remove(whole_id)
    out.print(f"{whole_id} is deleted.", highlight=False)


@app.command()
def export(
    run_id: Id,
    json_file: Annotated[Path | None, typer.Option("--json", help="Everything, as JSON.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="The table.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="One page that opens without a network.")] = None,
    png_file: Annotated[Path | None, typer.Option("--png", help="A picture of the verdict.")] = None,
    card_file: Annotated[Path | None, typer.Option("--card", help="A section of a model card, Markdown.")] = None,
) -> None:
    """Write a run to files."""
    files = {"json": json_file, "csv": csv_file, "html": html_file, "png": png_file, "md": card_file}
    chosen = {extension: path for extension, path in files.items() if path is not None}
    if not chosen:
        raise InvalidRequest("Nothing is asked for.", hint="Give --html FILE, --json, --csv, --png or --card.")
    entry = _entry(run_id)
    for extension, path in chosen.items():
        _write(path, _exported(extension, entry))
        out.print(escape(str(path)), highlight=False, soft_wrap=True)


def _exported(extension: str, entry: Entry) -> bytes:
    """Return the run in one of the formats of `playground.runs.export`."""
    from playground.runs.export import FORMS
    from playground.runs.titles import title_of

    return FORMS[extension].make(entry.run, title_of(entry), entry.note)


def _entry(run_id: str) -> Entry:
    """Return the run of an id or its beginning. Raises UnknownRun; InvalidRequest if several runs begin so."""
    from playground.store import database, runs

    if not database.exists():
        raise UnknownRun(f"There is no run {run_id[:40]!r}.", hint="Nothing was measured here yet.")
    return runs.entry(runs.whole_id(run_id), owner=True)


def _variant(facts: dict[str, Any]) -> str:
    """Return "smollm2:nf4 · nf4 · 112 MB · 6.66 bits per weight"."""
    size, bits = facts.get("bytes"), facts.get("bits_per_weight")
    parts = [facts["id"], facts["label"], size and f"{size / 1e6:,.0f} MB", bits and f"{bits:.2f} bits per weight"]
    return " · ".join(str(part) for part in parts if part)


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def _write(path: Path, content: bytes) -> None:
    try:
        path.expanduser().write_bytes(content)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error.strerror}.", hint="Choose another file.") from error
