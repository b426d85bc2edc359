"""The documented endpoint `/quantize`, for gradio_client, plain HTTP and MCP."""

from __future__ import annotations

from typing import Any

from playground.errors import PlaygroundError
from playground.jobs import kinds
from playground.methods import method as row_of
from playground.methods.recipe import Recipe, without_paths
from playground.quantize.recipes import needs_text
from playground.quantize.spec import QuantizeSpec
from playground.store.schema import Job
from playground.texts import Calibration, hub
from playground.texts.calibration import BUNDLED
from playground.web import gradio as gr
from playground.web.jobs import Queue
from playground.web.owner import Owner

DEFAULT = Calibration()


def endpoints(owner: Owner, queue: Queue) -> None:
    """Add the endpoint to the current Blocks."""

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
            recipe = Recipe.model_validate(
                {
                    "method": method,
                    "scheme": scheme or row_of(method).schemes[0],
                    "group_size": group_size or None,
                    "ignore": ignore or (),
                    "keep": keep or (),
                    "kv_cache": kv_cache,
                }
            )
            if needs_text(recipe):
                if calibration != BUNDLED:  # no path: a caller may be on another machine
                    hub.check(calibration, "and after a colon the configuration or split")
                text = Calibration(source=calibration, samples=samples, max_length=max_length, seed=seed)
                recipe = recipe.changed(calibration=text.model_dump(mode="json"))
            spec = QuantizeSpec(model=model, recipe=recipe, name=name)
            return row(queue.get(kinds.start(spec, queue.submit)))
        except PlaygroundError as error:
            raise gr.Error(str(error), print_exception=False) from error

    gr.api(quantize, api_name="quantize")


def row(job: Job) -> dict[str, Any]:
    """Return a job's row without the server's paths and without pasted text."""
    fields = job.as_row()
    fields["spec"] = fields["spec"] | {"recipe": without_paths(fields["spec"].get("recipe") or {}), "out": ""}
    if fields["result"] is not None:
        fields["result"] = fields["result"] | {"path": None, "recipe_path": None}
    return fields
