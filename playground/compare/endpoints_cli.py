"""`python -m playground endpoints`: the owner's OpenAI-compatible endpoints. No command prints a key."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from playground.console import err, out
from playground.core import Progress
from playground.models import endpoints

app = typer.Typer(help="Add, list, test and remove OpenAI-compatible endpoints.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Short name; its models are called @NAME/MODEL.")]


@app.command()
def add(
    name: Name,
    url: Annotated[str, typer.Argument(help="Base URL, with or without /v1.")],
    key_env: Annotated[str, typer.Option(help="Environment variable that holds the key.")] = "",
    key_stdin: Annotated[bool, typer.Option("--key-stdin", help="Read the key from standard input.")] = False,
    model: Annotated[str, typer.Option(help="The model that @NAME alone means.")] = "",
) -> None:
    """Store an endpoint; one of the same name is replaced."""
    key = _key() if key_stdin else ""
    made = endpoints.add(endpoints.Endpoint(name, url, key, key_env, model))
    out.print(escape(f"{made.name}: {made.url}, key: {'set' if made.has_key else 'none'}"), highlight=False)
    if made.caution:
        err.print(made.caution, style="yellow")
    err.print(escape(f"Try it: python -m playground endpoints test {made.name}"), style="dim", highlight=False)


def _key() -> str:
    if sys.stdin.isatty():
        return endpoints.checked_key(str(typer.prompt("Key", hide_input=True)).strip())
    return endpoints.checked_key(sys.stdin.readline(endpoints.MAX_KEY + 2).strip())


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")] = False,
) -> None:
    """List the endpoints; of a key, only whether there is one."""
    rows = [endpoint.as_row() for endpoint in endpoints.endpoints()]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    if not rows:
        out.print("No endpoints. Add one: python -m playground endpoints add NAME URL", highlight=False)
        return
    table = Table(box=None, header_style="dim")
    for heading in ("name", "url", "model", "key"):
        table.add_column(heading)
    for row in rows:
        table.add_row(row["name"], row["url"], escape(row["model"] or "–"), f"key: {row['key'] or 'none'}")
    out.print(table)


@app.command()
def test(name: Name) -> None:
    """Ask an endpoint for its models and, where it is clear which, for two tokens."""
    from playground.engines.remote import RemoteEngine
    from playground.engines.remote.probe import try_out

    engine = RemoteEngine()
    try:
        with err.status("Asking") as shown:
            for found in try_out(engine, name, lambda: False):
                if isinstance(found, Progress):
                    shown.update(escape(found.stage))
                elif found.loaded:
                    out.print(escape(f"{found.loaded.id}: {found.learned}"), highlight=False, soft_wrap=True)
                else:
                    out.print(escape(f"{name} ({found.host}) answers: {found.said}"), highlight=False)
                    for model in (found.models or ())[:20]:
                        out.print(escape(f"  @{name}/{model}"), highlight=False, soft_wrap=True)
    finally:
        engine.close()


@app.command()
def remove(name: Name) -> None:
    """Forget an endpoint and its key."""
    endpoints.remove(name)
    out.print(escape(f"{name} is removed."), highlight=False)
