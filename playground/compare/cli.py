"""`python -m playground generate` (panes side by side in a terminal) and `endpoints`. No command prints a key."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.layout import Layout
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from playground import client
from playground import console as terminal
from playground.compare.answer import Answer
from playground.compare.outcome import outcomes
from playground.compare.run import Event
from playground.console import AsJson, Variants, err, out, print_json, print_kept
from playground.core import Progress, Sampling
from playground.errors import StoreUnavailable, from_wire
from playground.models import endpoints

if TYPE_CHECKING:
    from playground.compare.spec import GenerateSpec
    from playground.store.runs import Kept

HEIGHT = 18
app = typer.Typer(help="Add, list, test and remove OpenAI-compatible endpoints.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Short name; its models are called @NAME/MODEL.")]


class SideBySide:
    """Draws one column per variant while events arrive, and a verdict line at the end.

    Without a terminal the finished texts are printed once; with `--json` (`console` writes to standard error) nothing.
    """

    def __init__(self, panes: Sequence[Answer], console: Console) -> None:
        self._console = console
        self._panes = panes
        self._measuring = ""
        self._live = Live(console=console, refresh_per_second=12, get_renderable=self._draw, transient=False)

    def __enter__(self) -> SideBySide:
        if self._console.is_terminal:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()
        elif not self._console.stderr and error is None:
            for pane in self._panes:
                self._console.print(pane.variant_id, style="bold", highlight=False)
                self._console.print(_body(pane), highlight=False)
                if numbers := _numbers(pane):
                    self._console.print(numbers, style="dim", highlight=False)
        if error is None and not (self._console.stderr and not self._console.is_terminal):
            for _, outcome in outcomes(self._panes):
                self._console.print(Text(outcome.text), highlight=False)

    def on_event(self, event: Event) -> None:
        self._panes[event.pane].add(event.item)

    def on_measuring(self, progress: Progress) -> None:
        """Show the progress of the divergence, which is measured after the texts."""
        share = f" {progress.done / progress.total:.0%}" if progress.total else ""
        self._measuring = f"{progress.stage}{share} …"

    def _draw(self) -> Layout:
        layout = Layout(size=HEIGHT)
        columns = [
            Layout(Panel(_body(pane), title=Text(pane.variant_id), subtitle=Text(_numbers(pane)), height=HEIGHT))
            for pane in self._panes
        ]
        layout.split_row(*columns)
        root = Layout()
        root.split_column(layout, Layout(Text(self._measuring, style="dim"), size=1, visible=bool(self._measuring)))
        return root


def _body(pane: Answer) -> Text:
    if pane.error:
        return Text(str(pane.error), style="red")
    if pane.tokens:
        return Text(pane.text)
    if pane.progress:
        share = f" {pane.progress.done / pane.progress.total:.0%}" if pane.progress.total else ""
        return Text(f"{pane.progress.stage}{share} …", style="dim")
    return Text("…", style="dim")


def _numbers(pane: Answer) -> str:
    times = pane.timing()
    parts = []
    if times.decode_tok_s is not None:
        parts.append(f"{times.decode_tok_s:.1f} tok/s")
    if times.ttft_s is not None:
        parts.append(f"TTFT {times.ttft_s * 1000:.0f} ms")
    if pane.finish:
        parts.append(pane.finish.reason)
        parts += ["contended"] if pane.contended else []
    return " · ".join(parts)


# The command `endpoints`.


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
    endpoint = endpoints.add(endpoints.Endpoint(name, url, key, key_env, model))
    out.print(escape(f"{endpoint.name}: {endpoint.url}, key: {'set' if endpoint.has_key else 'none'}"), highlight=False)
    if endpoint.caution:
        err.print(endpoint.caution, style="yellow")
    err.print(escape(f"Try it: python -m playground endpoints test {endpoint.name}"), style="dim", highlight=False)


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
    from playground.engines.remote.engine import RemoteEngine
    from playground.engines.remote.probe import try_out

    engine = RemoteEngine()
    try:
        with err.status("Asking") as status:
            for update in try_out(engine, name, lambda: False):
                if isinstance(update, Progress):
                    status.update(escape(update.stage))
                elif update.loaded:
                    out.print(escape(f"{update.loaded.id}: {update.loaded_text}"), highlight=False, soft_wrap=True)
                else:
                    out.print(escape(f"{name} ({update.host}) answers: {update.models_text}"), highlight=False)
                    for model in (update.models or ())[:20]:
                        out.print(escape(f"  @{name}/{model}"), highlight=False, soft_wrap=True)
    finally:
        engine.close()


@app.command()
def remove(name: Name) -> None:
    """Forget an endpoint and its key."""
    endpoints.remove(name)
    out.print(escape(f"{name} is removed."), highlight=False)


def generate(
    variants: Variants,
    prompt: Annotated[str, typer.Option(help="What every variant is asked.")],
    system: Annotated[str, typer.Option(help="System prompt; empty leaves it to the model's template.")] = "",
    raw: Annotated[bool, typer.Option("--raw", help="Continue the text as it is, without a chat template.")] = False,
    max_tokens: Annotated[int, typer.Option(min=1)] = 128,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(help="1 is off.")] = 1.0,
    top_k: Annotated[int, typer.Option(min=0, help="0 is off.")] = 0,
    repetition_penalty: Annotated[float, typer.Option(help="1 is off.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    stop: Annotated[list[str] | None, typer.Option(help="Ends the text; may be given several times.")] = None,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Engines overlap instead of taking turns; times are marked contended.")
    ] = False,
    divergence: Annotated[
        bool, typer.Option("--divergence", help="Force the first one's answer through the others: KLD, same top token.")
    ] = False,
    save: Annotated[bool, typer.Option(help="Keep it as a run, with a link (`runs show`).")] = True,
    as_json: AsJson = False,
    at: client.Ask = None,
) -> None:
    """Stream one prompt through several variants, side by side."""
    from playground.compare.run import generate as generate_all
    from playground.compare.spec import GenerateSpec
    from playground.store.runs import Kept, keep

    sampling = Sampling(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        repetition_penalty=repetition_penalty,
        seed=seed,
        stop=tuple(stop or ()),
    )
    spec = GenerateSpec(
        variants=tuple(variants),
        prompt=prompt,
        system=system,
        raw=raw,
        sampling=sampling,
        at_once=at_once,
        divergence=divergence,
    )
    # With --json the panes are drawn on standard error, and only on a terminal.
    console = err if as_json else out
    if server := client.asked(at, no_save=not save):
        with server:
            client.named(*variants)
            output, answers, kept = _ask(server, spec, console)
    else:
        panes = [Answer(name) for name in variants]
        with terminal.open_engines() as engine, SideBySide(panes, console) as view:
            result = generate_all(engine, spec, view.on_event, view.on_measuring)
        output, answers = result.as_json(), result.answers
        kept = keep(result.run) if save else Kept()
        output |= {"run": kept.id or None} if save else {}
    if as_json:
        print_json(output)
    else:
        for answer in answers:
            if answer.forced:
                out.print(Text(f"{answer.variant_id}: {answer.forced.sentence(answers[0].label)}"), highlight=False)
    print_kept(kept)
    failed = [pane for pane in output["panes"] if "error" in pane]
    for pane in failed if as_json else ():
        err.print(escape(f"{pane['variant']}: {pane['error']['message']} {pane['error']['hint']}"), highlight=False)
    if failed:
        raise typer.Exit(1)


def _ask(server: client.Server, spec: GenerateSpec, console: Console) -> tuple[dict[str, Any], Sequence[Answer], Kept]:
    """Return what the server generated: its JSON, the answers, which are shown too, and the run.

    The answers are read from the stored run, because the JSON has no text of single tokens. Where the server could not
    store it, only texts and errors are shown.
    """
    from playground.compare.stored import Compared
    from playground.store.runs import Kept

    with err.status("Waiting for the answers …"):
        output = server.post("/api/generate", spec.model_dump(mode="json"))
    if not output["run"]:
        for pane in output["panes"]:
            console.print(Text(pane["variant"], "bold"), highlight=False)
            console.print(Text(pane["text"] or str(from_wire(pane))), highlight=False)
        return output, (), Kept(error=StoreUnavailable("This result is not saved.", hint="See the log of the server."))
    answers = Compared.from_row(server.run(output["run"]).as_row(result=True)).answers
    with SideBySide(answers, console):
        pass
    return output, answers, Kept(output["run"])
