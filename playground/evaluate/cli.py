"""`python -m playground eval` and `kld`, as tables with uncertainties or as JSON.

`eval` scores variants on tasks; `kld` measures their divergence from the reference on a text.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from playground import client
from playground.console import absolute, err, follow, out, print_notes, show, source
from playground.errors import InvalidRequest
from playground.evaluate.tables import divergence_table, tables

if TYPE_CHECKING:
    from playground.evaluate.spec import DivergenceSpec, EvaluateSpec
    from playground.store.schema import Run

MAX_LISTED = 60  # tasks that a search prints
log = logging.getLogger(__name__)


def evaluate(
    variants: Annotated[
        list[str] | None,
        typer.Argument(help="smollm2, smollm2:nf4, a folder, smollm2@vllm … The first is the reference."),
    ] = None,
    tasks: Annotated[str, typer.Option(help="Names of tasks and groups with commas between: gsm8k,coqa.")] = "bundled",
    limit: Annotated[int | None, typer.Option(help="The first so many items of each task: a sample of it.")] = None,
    few_shot: Annotated[int | None, typer.Option(help="Examples before each question; default: the task's.")] = None,
    chat_template: Annotated[bool, typer.Option("--chat-template", help="Render prompts with it.")] = False,
    multiturn: Annotated[
        bool | None, typer.Option(help="With the template: examples as turns of a conversation; default: yes.")
    ] = None,
    generation: Annotated[
        list[str] | None, typer.Option("--gen", help="NAME=VALUE: max_gen_toks=512, temperature=0.6 …; several times.")
    ] = None,
    strip_thinking: Annotated[
        bool, typer.Option("--strip-thinking", help="Score only what follows the last </think>.")
    ] = False,
    batch_size: Annotated[int | None, typer.Option(help="Prompts computed at once, the same for all variants.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of sampling and examples; default: lm-eval's own seeds.")] = None,
    engine: Annotated[str, typer.Option(help="For variants that name none: transformers or vllm.")] = "",
    kld: Annotated[bool, typer.Option("--kld", help="Also measure how far each distribution moved.")] = False,
    text: Annotated[str, typer.Option(help="With --kld: bundled, a file, or a data set of the hub.")] = "bundled",
    tokens: Annotated[int, typer.Option(min=1, help="With --kld: tokens of text.")] = 8192,
    speed: Annotated[bool, typer.Option("--speed", help="Also measure prefill and decode tok/s.")] = False,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Let tasks run the code that a model writes, on this machine.")
    ] = False,
    search: Annotated[str, typer.Option(help="List the tasks whose name holds these words, and stop.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")] = False,
    at: client.Ask = None,
) -> None:
    """Evaluate variants on tasks, paired with the first. Ctrl+C stops it; the same command goes on from there."""
    server = client.asked(at, search=search)
    if search:
        _print_tasks(search, as_json)
        return
    from playground.evaluate.report import unread_settings, with_labels
    from playground.evaluate.spec import BATCH_SIZE, Conditions, EvaluateSpec, Passage
    from playground.evaluate.tasks import resolve

    conditions = Conditions(
        tasks=tuple(name.strip() for name in tasks.split(",") if name.strip()),
        limit=limit,
        few_shot=few_shot,
        chat_template=chat_template,
        multiturn=chat_template if multiturn is None else multiturn,
        generation=dict(_generation_argument(pair) for pair in generation or ()),
        strip_thinking=strip_thinking,
        batch_size=BATCH_SIZE if batch_size is None else batch_size,
        seed=seed,
        allow_code=allow_code,
    )
    spec = EvaluateSpec(
        variants=_names(server, variants or ()),
        conditions=conditions,
        engine=engine,
        divergence=Passage(text=_text(server, text), tokens=tokens) if kld else None,
        speed=speed,
    )
    if server is None:
        resolve(
            conditions.tasks, allow_code=allow_code, on_progress=lambda progress: print_notes([f"{progress.stage} …"])
        )
    run = _measured(server, spec)
    if as_json:
        sys.stdout.write(json.dumps(run.result["rows"], indent=2, ensure_ascii=False) + "\n")
        return
    show(tables(run))
    for warning in run.result["warnings"]:
        err.print(Text.assemble(("Warning: ", "bold yellow"), warning["text"]))
    if settings := unread_settings(with_labels(run.variants)):
        out.print(Text(settings, style="dim"))
    out.print(Text(f"Run {run.id}", style="dim"))


def _names(server: client.Server | None, variants: Sequence[str]) -> tuple[str, ...]:
    """Return the names of variants for a job; of local models with an absolute path."""
    return tuple(client.named(*variants) if server else map(absolute, variants))


def _text(server: client.Server | None, text: str) -> str:
    return client.named(text)[0] if server else source(text)


def _measured(server: client.Server | None, spec: EvaluateSpec | DivergenceSpec) -> Run:
    """Queue the job here or at a server, follow it, and return its run."""
    if server is not None:
        asked = {"kind": spec.kind, "spec": spec.model_dump(mode="json")}
        with server:
            time = server.post("/api/evaluate/plan", asked)["time"]
            _print_time(time["seconds"], time["missing"])
            job = server.follow(server.post("/api/evaluate/start", asked))
            return server.run(str((job.result or {})["run"])).run
    from playground.jobs import kinds
    from playground.jobs.queue import submit
    from playground.store import runs

    print_estimate(spec)
    job = follow(kinds.start(spec, submit))
    return runs.get(str((job.result or {})["run"]))


def _print_tasks(words: str, as_json: bool) -> None:
    from dataclasses import asdict

    from playground.evaluate.tasks import search

    matches = search(words, lambda progress: print_notes([f"{progress.stage} …"]))
    if as_json:
        sys.stdout.write(json.dumps([asdict(task) for task in matches], indent=2, ensure_ascii=False) + "\n")
        return
    for task in matches[:MAX_LISTED]:
        kind = [*(["group"] if task.group else []), *(["runs the model's code"] if task.unsafe else [])]
        out.print(Text.assemble(task.name, (f"  {', '.join(kind)}" if kind else "", "dim")))
    if len(matches) > MAX_LISTED or not matches:
        print_notes(
            [f"{len(matches):,} tasks hold {words!r}" + (f"; the first {MAX_LISTED} are shown." if matches else ".")]
        )


def _generation_argument(pair: str) -> tuple[str, Any]:
    """Return name and value of NAME=VALUE; the value is parsed as JSON, or else text. Raises InvalidRequest."""
    name, equals, value = pair.partition("=")
    if not equals or not name.isidentifier():
        raise InvalidRequest(f"--gen {pair[:80]!r} is not NAME=VALUE.", hint="For instance --gen max_gen_toks=512")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def print_estimate(spec: EvaluateSpec | DivergenceSpec) -> None:
    """Print the estimated time if it is known without a measurement. A failed estimate is only logged."""
    from sqlalchemy.exc import SQLAlchemyError

    from playground.errors import PlaygroundError
    from playground.evaluate import estimate

    try:
        expected = estimate.expected(spec, estimate.tasks_of(spec), measure=False)
    except (PlaygroundError, OSError, SQLAlchemyError) as error:
        log.info("No estimate: %s", error)
        return
    _print_time(expected.seconds, expected.missing)


def _print_time(seconds: tuple[float, float] | None, missing: Sequence[str]) -> None:
    from playground.estimate import span

    if seconds is not None:
        err.print(f"Expected: {' '.join([f'{span(seconds)}.', *missing])}", markup=False)


def kld(
    reference: Annotated[str, typer.Argument(help="What the variants are compared with: smollm2, a folder …")],
    variants: Annotated[list[str], typer.Argument(help="smollm2:nf4, smollm2:int8 …")],
    text: Annotated[
        str, typer.Option(help="bundled, a .txt or .jsonl file, or a hub data set: owner/name[:config][:split].")
    ] = "bundled",
    tokens: Annotated[int | None, typer.Option(min=0, help="Tokens to predict at most; 0: all of the text.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens that are read at once.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")] = False,
    at: client.Ask = None,
) -> None:
    """Measure divergence from a reference. Ctrl+C stops it; the same command goes on from there."""
    from playground.evaluate.divergence import MAX_LENGTH, TOKENS
    from playground.evaluate.spec import DivergenceSpec

    server = client.asked(at)
    spec = DivergenceSpec(
        variants=_names(server, (reference, *variants)),
        text=_text(server, text),
        tokens=TOKENS if tokens is None else tokens,
        max_length=MAX_LENGTH if max_length is None else max_length,
    )
    run = _measured(server, spec)
    if as_json:
        sys.stdout.write(json.dumps(run.result["rows"], indent=2, ensure_ascii=False) + "\n")
        return
    show([divergence_table(run)])
    for sentence in noise_sentences(run):
        err.print(Text(sentence))
    out.print(Text(f"Run {run.id}", style="dim"))


def noise_sentences(run: Run) -> list[str]:
    """Return sentences on the noise floor of a run, and on each variant inside it."""
    from playground.core import NOISE_FLOOR
    from playground.evaluate.divergence import floor_dtype

    _, floor, *rows = run.result["rows"]
    reference = run.variants[0]
    sentences = [
        f"{NOISE_FLOOR}: {reference['id']} in {floor_dtype(reference['dtype'])} against itself in {reference['dtype']}."
    ]
    for row in rows:
        if row["kld_mean"] <= floor["kld_mean"]:
            sentences.append(f"{row['variant']} is inside it: two ways to compute the reference differ as much.")
    return sentences
