"""The documented endpoints: `/models` and `/generate`, for gradio_client and plain HTTP."""

from __future__ import annotations

from typing import Any

import gradio as gr

from playground import catalog
from playground.core import Sampling
from playground.engines.engine import Engine
from playground.errors import PlaygroundError
from playground.generate import generate as run
from playground.settings import settings


def endpoints(engine: Engine) -> None:
    """Add both to the current Blocks."""

    def models(model: str = "") -> list[dict[str, Any]]:
        """Variants of a model, the reference first.

        Parameters:
            model: "smollm2", a hub repository, or the path of a local folder; empty: the model the page opens with.

        Returns:
            One row per variant: id, model, method, scheme, path, bytes, bits_per_weight, engines. `path` is null here:
            where files lie on the server is its own business (and gradio_client would try to download it).
        """
        try:
            return [variant.as_row() | {"path": None} for variant in catalog.variants(model or settings().model)]
        except PlaygroundError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def generate(
        variants: list[str],
        prompt: str,
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

        Returns:
            {"prompt_ids": [...], "panes": [...]} with one entry per variant, in order; a failed one carries "error".
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
            return run(engine, variants, prompt, system, raw, sampling, at_once=at_once)
        except PlaygroundError as error:
            raise gr.Error(str(error), print_exception=False) from error

    gr.api(models, api_name="models")
    gr.api(generate, api_name="generate", concurrency_limit=4)
