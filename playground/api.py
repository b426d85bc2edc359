"""The documented endpoints `/models`, `/generate`, `/quantize`, `/jobs`, for gradio_client and plain HTTP."""

from __future__ import annotations

from typing import Any

from playground import models as catalog
from playground.compare.generate import generate as run
from playground.core import Sampling
from playground.engines.base import Engine
from playground.errors import InvalidRequest, PlaygroundError
from playground.methods.recipe import without_paths
from playground.quantize.form import spec
from playground.quantize.page import start
from playground.quantize.upload import Uploads
from playground.store import runs
from playground.store.schema import Job, Run
from playground.texts import Calibration
from playground.web import gradio as gr
from playground.web import outsiders
from playground.web.jobs import Queue
from playground.web.owner import Rules

DEFAULT = Calibration()


def endpoints(engine: Engine, rules: Rules, queue: Queue) -> None:
    """Add all to the current Blocks."""

    def models(request: gr.Request, model: str = "") -> list[dict[str, Any]]:
        """Variants of a model, the reference first.

        Parameters:
            model: "smollm2", a hub repository, or the path of a local folder; empty: the model the page opens with.

        Returns:
            One row per variant: id, model, method, scheme, path, bytes, bits_per_weight, engines. `path` is null here:
            where files lie on the server is its own business (and gradio_client would try to download it).
        """
        try:
            wanted = model or rules.opens_with(request)
            rules.check_model(request, wanted)
            return [variant.as_row() | {"path": None} for variant in catalog.variants(wanted)]
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
            "error". "run" is the id of the stored run, whose link is /?run=ID; null where it could not be stored.
            With divergence, every entry but the first has "divergence": {"kld_mean" in nats, "top1_agreement",
            "tokens"}, of this prompt only; where it could not be measured these are null, and "reason" says why.
        """
        sampling = Sampling(
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            repetition_penalty=repetition_penalty,
            seed=seed,
            stop=tuple(stop or ()),
        )
        try:
            _texts(variants, prompt, system)
            rules.begin(request, variants, max_tokens, len(prompt) + len(system))
            with rules.running(request) as refused:
                if refused is not None:
                    raise refused
                made = run(engine, variants, prompt, system, raw, sampling, at_once=at_once, divergence=divergence)

                def build() -> Run | None:
                    rules.check_room(request)
                    return made.run()

                return made.as_json() | {"run": runs.keep(build).id or None}
        except PlaygroundError as error:
            raise gr.Error(str(error), print_exception=False) from error

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
        calibration: str = "bundled",
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
        asked = {
            "model": model,
            "method": method,
            "scheme": scheme,
            "group_size": str(group_size) if group_size else "",
            "kv_cache": kv_cache,
            "ignore": "\n".join(ignore or ()),
            "keep": "\n".join(keep or ()),
            "name": name,
            "calibration": {
                "source": calibration if calibration == "bundled" else "hub",
                "hub": calibration,
                "samples": samples,
                "max_length": max_length,
                "seed": seed,
            },
        }
        try:
            rules.owner.check(request)
            return _job(queue.get(start(queue, spec(asked, Uploads()))))
        except PlaygroundError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def jobs(request: gr.Request) -> list[dict[str, Any]]:
        """All jobs, the newest first. For the owner, because they name the runs that they left.

        Returns:
            One row per job: id, kind, title, device, state (queued, running, done, failed, cancelled, interrupted),
            created_at, started_at, ended_at, spec, error, result. Paths are null here, as in /models.
        """
        try:
            rules.owner.check(request)
            return [_job(job) for job in queue.list()]
        except PlaygroundError as error:
            raise gr.Error(str(error), print_exception=False) from error

    gr.api(models, api_name="models")
    gr.api(generate, api_name="generate", concurrency_limit=4)
    gr.api(quantize, api_name="quantize")
    gr.api(jobs, api_name="jobs")


def _texts(variants: object, prompt: object, system: object) -> None:
    """Gradio checks no types. Raises InvalidRequest."""
    names = variants if isinstance(variants, list) else [None]
    if not all(isinstance(text, str) for text in (*names, prompt, system)):
        raise InvalidRequest("`variants` is a list of names; `prompt` and `system` are text.")


def _job(job: Job) -> dict[str, Any]:
    """Its row without the server's paths, and without pasted text."""
    if job.kind in ("evaluate", "divergence"):
        return outsiders.measuring_job(job, job.as_row())
    row = job.as_row()
    row["spec"] = row["spec"] | {"recipe": without_paths(row["spec"].get("recipe") or {}), "out": ""}
    if row["result"] is not None:
        row["result"] = row["result"] | {"path": None, "recipe_path": None}
    return row
