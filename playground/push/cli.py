"""`python -m playground push`: a variant and its model card to the hub, in one commit."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from playground.console import err, out
from playground.errors import Cancelled
from playground.formatting import size

if TYPE_CHECKING:
    from playground.core import Progress
    from playground.push import Plan, Pushed


def push(
    variant: Annotated[str, typer.Argument(help="A variant that was made here: smollm2:awq-w4a16_asym-g64.")],
    repository: Annotated[str, typer.Argument(help="OWNER/NAME on the hub.")],
    public: Annotated[bool, typer.Option("--public", help="For everybody to see; private otherwise.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the files that the repository holds; its history keeps them.")
    ] = False,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read the token from standard input instead of HF_TOKEN.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the card and send nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")] = False,
) -> None:
    """Push a variant to the hub with a model card. The token is used once and kept nowhere."""
    from playground.push import plan

    planned = plan(variant, repository)
    if dry_run:
        sys.stdout.write(planned.card)
        err.print(escape(f"{_what(planned)}: {', '.join(planned.files.names)}"), style="dim", highlight=False)
        return
    token = sys.stdin.readline().strip() if token_stdin else os.environ.get("HF_TOKEN", "")
    pushed = _push(planned, token, private=not public, replace=replace)
    if as_json:
        sys.stdout.write(json.dumps(pushed.as_row(), indent=2) + "\n")
        return
    seen = "private" if pushed.private else "public"
    out.print(escape(f"{pushed.url} ({seen}), commit {pushed.commit[:7]}"), highlight=False, soft_wrap=True)
    out.print(escape(f"{_what(planned)}, {size(pushed.sent)} of it new there."), style="dim", highlight=False)


def _what(planned: Plan) -> str:
    return f"{len(planned.files.names)} files, {size(planned.bytes)}"


def _push(planned: Plan, token: str, *, private: bool, replace: bool) -> Pushed:
    """Push, with the progress on standard error. Raises PlaygroundError; Cancelled on Ctrl+C."""
    from playground.console import progress_words
    from playground.push import push as send

    stage = ""

    with err.status("Starting") as status:

        def report(progress: Progress) -> None:
            nonlocal stage
            status.update(escape(progress_words(progress)))
            if not err.is_terminal and progress.stage != stage:
                stage = progress.stage
                err.print(escape(stage), highlight=False)

        try:
            return send(planned, token, private=private, replace=replace, report=report)
        except KeyboardInterrupt:
            raise Cancelled("The push was stopped.") from None
