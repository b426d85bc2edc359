"""The documented endpoints `/models` and `/generate`, for gradio_client, plain HTTP and MCP."""

from __future__ import annotations

from typing import Any

from playground import models as catalog
from playground.compare.run import generate as run
from playground.compare.spec import GenerateSpec
from playground.engines.base import Engine
from playground.errors import PlaygroundError
from playground.store import runs
from playground.store.schema import Run
from playground.web import gradio as gr
from playground.web.owner import Rules


def endpoints(engine: Engine, rules: Rules) -> None:
    """Add both to the current Blocks."""

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
            rules.begin(request, spec.variants, spec.sampling.max_tokens, len(spec.prompt) + len(spec.system))
            with rules.running(request) as refused:
                if refused is not None:
                    raise refused
                made = run(engine, spec)

                def build() -> Run | None:
                    rules.check_room(request)
                    return made.run()

                return made.as_json() | {"run": runs.keep(build).id or None}
        except PlaygroundError as error:
            raise gr.Error(str(error), print_exception=False) from error

    gr.api(models, api_name="models")
    gr.api(generate, api_name="generate", concurrency_limit=4)
