"""The documented endpoints `/models` and `/generate`, and the routes that the page calls."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from playground import models as catalog
from playground.compare.choose import Compare
from playground.compare.endpoints import Endpoints
from playground.compare.run import generate as run_all
from playground.compare.session import Session
from playground.compare.spec import (
    AgainSpec,
    ChooseSpec,
    EngineSpec,
    GenerateSpec,
    LeaveSpec,
    ModelSpec,
    OpenSpec,
    RunSpec,
    SessionSpec,
    SlotSpec,
    StopSpec,
    UseSpec,
)
from playground.engines.base import Engine
from playground.errors import InvalidRequest, PlaygroundError
from playground.store import runs
from playground.store.schema import Run
from playground.web import gradio as gr
from playground.web.owner import Rules
from playground.web.visitor import Asked

log = logging.getLogger(__name__)


def endpoints(app: gr.Server, engine: Engine, rules: Rules) -> None:
    """Add both to the server."""

    def models(request: gr.Request, model: str = "") -> list[dict[str, Any]]:
        """Variants of a model, the reference first.

        Parameters:
            model: "smollm2", a hub repository, or the path of a local folder; empty: the model the page opens with.

        Returns:
            One row per variant: id, model, method, scheme, path, bytes, bits_per_weight, engines. `path` is null here:
            where files lie on the server is its own business (and gradio_client would try to download it).
        """
        try:
            return variants_of(model, request, rules)
        except PlaygroundError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def generate(
        variants: list[str],
        prompt: str,
        request: gr.Request,
        system: str = "",
        max_tokens: int = 128,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        repetition_penalty: float = 1.0,
        seed: int = 0,
        stop: list[str] | None = None,
        raw: bool = False,
        at_once: bool = False,
        divergence: bool = False,
    ) -> dict[str, Any]:
        """One prompt through several variants at once, with every token's time.

        Parameters:
            variants: variant ids; the first is the reference, whose tokenizer makes the prompt.
            prompt: the user's turn, or with raw the text to continue.
            system: system prompt; empty leaves it to the model's template.
            max_tokens: where an answer ends at the latest.
            temperature: 0 is greedy.
            top_p: 1 is off.
            top_k: 0 is off.
            repetition_penalty: 1 is off.
            seed: same seed, same text.
            stop: strings that end an answer.
            raw: continue the prompt as it is, without a chat template.
            at_once: panes on free-running engines overlap instead of taking turns; their times are marked contended.
            divergence: force the first variant's answer through the others and say how far they are from it.

        Returns:
            {"prompt_ids": [...], "panes": [...], "run"} with one entry per variant, in order; a failed one carries
            "error". "run" is the id of the stored run, whose link is /run/ID; null where it could not be stored.
            With divergence, every entry but the first has "divergence": {"kld_mean" in nats, "top1_agreement",
            "tokens"}, of this prompt only; where it could not be measured these are null, and "reason" says why.
        """
        try:
            spec = GenerateSpec.model_validate(
                {
                    "variants": variants,
                    "prompt": prompt,
                    "system": system,
                    "raw": raw,
                    "sampling": {
                        "max_tokens": max_tokens,
                        "temperature": temperature,
                        "top_p": top_p,
                        "top_k": top_k,
                        "repetition_penalty": repetition_penalty,
                        "seed": seed,
                        "stop": stop or (),
                    },
                    "at_once": at_once,
                    "divergence": divergence,
                }
            )
            return generated(spec, request, engine, rules)
        except PlaygroundError as error:
            raise gr.Error(str(error), print_exception=False) from error

    app.api(models, name="models")
    # No limit of gradio's, which is one queue for all: `Rules` refuse visitors, and the owner never waits behind them.
    app.api(generate, name="generate", concurrency_limit=None)


def variants_of(model: str, request: Asked, rules: Rules) -> list[dict[str, Any]]:
    """Return a row for each variant of a model, "" for the one that the page opens with. Raises PlaygroundError."""
    wanted = model or rules.opens_with(request)
    rules.check_model(request, wanted)
    return [variant.as_row() | {"path": None} for variant in catalog.variants(wanted)]


def generated(spec: GenerateSpec, request: Asked, engine: Engine, rules: Rules) -> dict[str, Any]:
    """Generate, store the run, and return the documented JSON. Raises PlaygroundError."""
    rules.begin(request, spec.variants, spec.sampling.max_tokens, len(spec.prompt) + len(spec.system))
    with rules.running(request) as refused:
        if refused is not None:
            raise refused
        made = run_all(engine, spec)

        def build() -> Run | None:
            rules.check_room(request)
            return made.run()

        return made.as_json() | {"run": runs.keep(build).id or None}


# What scripts and the page ask (docs/api.md).


def script_router(engine: Engine, rules: Rules) -> APIRouter:
    """Return the routes that do the same as the functions."""
    routes = APIRouter(prefix="/api", tags=["generate"])

    @routes.get("/models")
    def models(request: Request, model: str = "", every: bool = False) -> list[dict[str, Any]]:
        """Variants of a model, the reference first; with `every`, of each model that the caller is offered."""
        if not every:
            return variants_of(model, request, rules)
        rows = []
        for name in rules.models(request):
            try:
                rows += variants_of(name, request, rules)
            except PlaygroundError as error:  # one that cannot be opened must not hide the others
                log.info("%s is left out: %s", name, error)
        return rows

    @routes.post("/generate")
    def generate(spec: GenerateSpec, request: Request) -> dict[str, Any]:
        """One prompt through several variants at once, with every token's time."""
        return generated(spec, request, engine, rules)

    return routes


def router(compare: Compare, panel: Endpoints) -> APIRouter:
    """The routes of the page."""
    routes = APIRouter()

    def changed(act: Callable[[Session], object], id: str, request: Request) -> dict[str, Any]:
        """Call `act` with the session of whoever asks, and return the state."""
        session = compare.find(id, request)
        act(session)
        return compare.state(session, request)

    @routes.post("/api/compare/open")
    def open_(spec: OpenSpec, request: Request) -> dict[str, Any]:
        """Take a session up again; open one if the id is empty, unknown or another's."""
        return compare.open(spec.session, request)

    @routes.get("/api/compare/state")
    def state(session: str, request: Request) -> dict[str, Any]:
        """The state of a session, as every other route returns it."""
        return compare.state(compare.find(session, request), request)

    @routes.post("/api/compare/model")
    def model(spec: ModelSpec, request: Request) -> dict[str, Any]:
        """Show a model with its first variants, or a variant beside its reference."""
        return changed(lambda session: compare.show(session, spec.model, request), spec.session, request)

    @routes.post("/api/compare/choose")
    def choose(spec: ChooseSpec, request: Request) -> dict[str, Any]:
        """Show another variant in a pane: an id, a label or a path, with or without an engine."""
        return changed(lambda session: compare.choose(session, spec.slot, spec.variant, request), spec.session, request)

    @routes.post("/api/compare/engine")
    def engine(spec: EngineSpec, request: Request) -> dict[str, Any]:
        """Run a pane's variant on another engine."""
        return changed(lambda session: compare.choose_engine(session, spec.slot, spec.engine), spec.session, request)

    @routes.post("/api/compare/add")
    def add(spec: SessionSpec, request: Request) -> dict[str, Any]:
        """Show one pane more."""
        return changed(compare.add, spec.session, request)

    @routes.post("/api/compare/remove")
    def remove(spec: SlotSpec, request: Request) -> dict[str, Any]:
        """Show one pane less; the reference stays."""
        return changed(lambda session: compare.remove(session, spec.slot), spec.session, request)

    @routes.post("/api/compare/use")
    def use(spec: UseSpec, request: Request) -> dict[str, Any]:
        """Show a model of an endpoint, as the model or in a pane beside the reference."""
        return changed(lambda session: compare.use(session, spec.model, spec.where, request), spec.session, request)

    @routes.post("/api/compare/clear")
    def clear(spec: SessionSpec, request: Request) -> dict[str, Any]:
        """Stop, and empty every pane."""
        return changed(Session.clear, spec.session, request)

    @routes.post("/api/compare/run")
    def run(spec: RunSpec, request: Request) -> dict[str, Any]:
        """Ask one prompt in every pane. Read the answers from the stream."""
        return changed(lambda session: compare.run(session, spec, request), spec.session, request)

    @routes.post("/api/compare/again")
    def again(spec: AgainSpec, request: Request) -> dict[str, Any]:
        """Ask the last prompt again in one pane, or there the prompt of another pane's turn."""
        return changed(lambda session: compare.again(session, spec, request), spec.session, request)

    @routes.post("/api/compare/measure")
    def measure(spec: SessionSpec, request: Request) -> dict[str, Any]:
        """Measure the divergence that was left open."""
        return changed(lambda session: compare.measure(session, request), spec.session, request)

    @routes.post("/api/compare/stop")
    def stop(spec: StopSpec, request: Request) -> dict[str, Any]:
        """End one pane, or without a slot everything."""
        return changed(lambda session: session.stop(spec.slot), spec.session, request)

    @routes.post("/api/compare/leave")
    def leave(spec: LeaveSpec, request: Request) -> dict[str, Any]:
        """A page closes: what runs ends within 2 s unless a page reads on."""
        return changed(lambda session: session.readers.leave(spec.page), spec.session, request)

    @routes.get("/api/compare/token")
    def token(session: str, turn: str, index: int, request: Request) -> dict[str, Any]:
        """The alternatives of one token, and the reference's at the same position."""
        found = compare.find(session, request).token(turn, index)
        if found is None:
            raise InvalidRequest("There is no such token.", hint="The pane shows another answer by now.")
        return found

    routes.include_router(panel.router())
    return routes
