"""The routes of `/api/quantize`, and the documented function `/quantize` for gradio_client, plain HTTP and MCP."""

from __future__ import annotations

import threading
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from pydantic import Discriminator, Tag
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from playground.errors import InvalidCalibration, InvalidRequest, PlaygroundError
from playground.jobs import kinds
from playground.methods.recipe import without_paths
from playground.models import stored
from playground.push.pushes import Pushes
from playground.quantize.board import Board
from playground.quantize.estimate import facts
from playground.quantize.files import PIECE_BYTES, Uploads, archive
from playground.quantize.form import as_spec, estimated, offer
from playground.quantize.spec import Draft, DraftCalibration, EstimateRequest, QuantizeSpec
from playground.spec import Spec
from playground.store.schema import Job
from playground.texts import Calibration
from playground.texts.calibration import BUNDLED
from playground.web import gradio as gr
from playground.web.jobs import Queue
from playground.web.owner import Owner, Rules

DEFAULT = Calibration()
MAX_LISTED = 16  # logs or cards in one answer


class Removed(Spec):
    id: str


def _kind(body: Any) -> str:
    return "spec" if isinstance(body, QuantizeSpec) or (isinstance(body, dict) and "recipe" in body) else "draft"


Asked = Annotated[Annotated[Draft, Tag("draft")] | Annotated[QuantizeSpec, Tag("spec")], Discriminator(_kind), Body()]


def router(rules: Rules, queue: Queue, pushes: Pushes) -> APIRouter:
    """Return the routes of the Quantize page."""
    routes = APIRouter(prefix="/api/quantize", tags=["quantize"])
    owner, board, uploads, probing = rules.owner, Board(queue, pushes), Uploads(), threading.Lock()

    @routes.get("/form")
    def form(request: Request, model: str = "") -> dict[str, Any]:
        """Methods with their schemes and options, the recommended first, and whether this model can be quantized."""
        name = model.strip() or rules.opens_with(request)
        rules.check_model(request, name)
        return offer(name, rules.models(request))

    @routes.post("/estimate")
    def estimate(draft: EstimateRequest, request: Request) -> dict[str, Any]:
        """What a draft would make: size, memory, disk, time, and whether it fits.

        Patterns and `measure` are the owner's. Of pasted text it only matters that there is some.
        """
        rules.check_model(request, draft.model)
        if draft.measure or draft.ignore or draft.keep:  # a pattern can take hours to match
            owner.check(request)
        if not draft.measure:
            return estimated(draft, facts(measure=False))
        with probing:
            return estimated(draft, facts(measure=True))

    @routes.post("/start")
    def start(asked: Asked, request: Request) -> dict[str, Any]:
        """Queue the job that makes a variant; returns its row, as `/api/jobs` lists it. For the owner.

        The body is a draft, or with `recipe` the spec of a job.
        """
        owner.check(request)
        return begin(without_files(asked) if isinstance(asked, QuantizeSpec) else as_spec(asked), queue)

    @routes.post("/upload")
    async def upload(request: Request, name: str, upload: str, number: int = 0, last: bool = True) -> dict[str, Any]:
        """One piece of a calibration file: the body is its bytes. After the last, returns the token for a draft.

        name    of the file; only its suffix counts
        upload  an id that the caller chooses for this upload
        number  of the piece, from 0
        """
        await run_in_threadpool(owner.check, request)
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > PIECE_BYTES:
                raise InvalidCalibration(
                    f"A piece has more than {PIECE_BYTES:,} bytes.", hint="Send the file in several pieces."
                )
        stored_file = await run_in_threadpool(uploads.piece, upload[:64], name, number, last, bytes(data))
        if stored_file is None:
            return {"number": number}
        return {"token": stored_file.token, "rows": stored_file.rows, "skipped": stored_file.skipped}

    @routes.get("/board")
    def look(
        request: Request,
        log: Annotated[tuple[str, ...], Query()] = (),
        card: Annotated[tuple[str, ...], Query()] = (),
    ) -> dict[str, Any]:
        """Jobs and stored variants. `log`: ids of jobs whose log is included; `card`: ids of variants with details.

        A visitor gets no log, no path of the server and no push.
        """
        return board.state(log[:MAX_LISTED], card[:MAX_LISTED], owner=owner.refusal(request) is None)

    @routes.post("/remove")
    def remove(variant: Removed, request: Request) -> dict[str, Any]:
        """Delete a stored variant with its files. For the owner."""
        owner.check(request)
        stored.delete(variant.id)
        return {"id": variant.id}

    @routes.get("/files")
    def download(request: Request, variant: str) -> Response:
        """The files of a stored variant as one .tar. For the owner."""
        owner.check(request)
        return archive(variant)

    return routes


def begin(spec: QuantizeSpec, queue: Queue) -> dict[str, Any]:
    """Queue the job and return its row. Raises PlaygroundError."""
    return row(queue.get(kinds.start(spec, queue.submit)))


def without_files(spec: QuantizeSpec) -> QuantizeSpec:
    """Return the spec, unless it names a file or folder: who asks may be on another machine. Raises InvalidRequest."""
    if spec.out:
        raise InvalidRequest("out is a folder of the server.", hint="Leave it out.", field="out")
    if spec.recipe.calibration and Calibration.from_stored(spec.recipe.calibration).path is not None:
        raise InvalidRequest(
            "The calibration text is a file of the server.",
            hint="Upload the file, or name a data set of the hub.",
            field="recipe",
        )
    return spec


def endpoints(app: gr.Server, owner: Owner, queue: Queue) -> None:
    """Add the function to the server."""

    def quantize(
        model: str,
        method: str,
        request: gr.Request,
        scheme: str = "",
        group_size: int = 0,
        kv_cache: str = "",
        ignore: list[str] | None = None,
        keep: list[str] | None = None,
        name: str = "",
        calibration: str = BUNDLED,
        samples: int = DEFAULT.samples,
        max_length: int = DEFAULT.max_length,
        seed: int = DEFAULT.seed,
    ) -> dict[str, Any]:
        """Queue a job that makes a quantized variant. For the owner: on this machine, or logged in.

        Parameters:
            model: as in /models.
            method: rtn, gptq, awq, smoothquant, fp8 …
            scheme: W4A16, FP8_DYNAMIC, Q4_K_M …; empty: the method's first.
            group_size: weights that share a scale; 0: the largest of 128, 64, 32 that fits.
            kv_cache: FP8 or INT8 stores scales of the KV cache too.
            ignore: layers that stay as they are: names, or re: and a pattern.
            keep: layers that get another scheme than the rest: PATTERN=SCHEME.
            name: of the variant, after the model's colon; empty: from method and scheme.
            calibration: bundled, or a data set of the hub as owner/name[:config][:split].
            samples: calibration sequences.
            max_length: tokens of one at most.
            seed: which samples.

        Returns:
            The job as `/jobs` lists it: poll that until its state is over.
        """
        try:
            owner.check(request)
            draft = Draft.model_validate(
                {
                    "model": model,
                    "method": method,
                    "scheme": scheme,
                    "group_size": group_size or None,
                    "kv_cache": kv_cache,
                    "ignore": ignore or (),
                    "keep": keep or (),
                    "name": name,
                    "calibration": DraftCalibration.model_validate(
                        {
                            "source": BUNDLED if calibration == BUNDLED else "hub",
                            "hub": "" if calibration == BUNDLED else calibration,
                            "samples": samples,
                            "max_length": max_length,
                            "seed": seed,
                        }
                    ),
                }
            )
            return begin(as_spec(draft), queue)
        except PlaygroundError as error:
            raise gr.Error(str(error), print_exception=False) from error

    app.api(quantize, name="quantize")


def row(job: Job) -> dict[str, Any]:
    """Return a job's row without the server's paths and without pasted text."""
    fields = job.as_row()
    fields["spec"] = fields["spec"] | {"recipe": without_paths(fields["spec"].get("recipe") or {}), "out": ""}
    if fields["result"] is not None:
        fields["result"] = fields["result"] | {"path": None, "recipe_path": None}
    return fields
