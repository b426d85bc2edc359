"""The product's entry points that the parity runs ask: the only file here that knows where they live."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from playground import models
from playground.core import ForcedTokens, LoadSpec, Progress, Sampling
from playground.engines.host import loading
from playground.engines.host.decode import Step, decode
from playground.engines.host.forced import force
from playground.engines.host.loading import DeviceMemory, Resident
from playground.methods.recipe import Recipe, variant_name
from playground.models import checkpoint, names
from playground.quantize import gguf
from playground.store import variants
from playground.store.schema import StoredVariant


def load(folder: Path) -> Resident:
    """A checkpoint folder as the product loads it. Raises PlaygroundError where the product refuses it."""
    form = checkpoint.from_folder(str(folder), folder).form
    spec = LoadSpec(str(folder), str(folder), form.dtype)
    return loading.load(spec, DeviceMemory(loading.device_of_choice()), _ignore)


def greedy(resident: Resident, prompt: Sequence[int], tokens: int) -> tuple[list[int], torch.Tensor]:
    """The greedy answer: ids, and log-probabilities [tokens, vocabulary] in nats."""
    steps = decode(
        resident.model,
        prompt,
        Sampling(max_tokens=tokens, ignore_eos=True),
        top=_rows(resident),
        cached=resident.cached,
    )
    answer = [step for step in steps if isinstance(step, Step)]
    return [step.token_id for step in answer], torch.stack([_dense(step.top) for step in answer])


def interleaved(resident: Resident, prompts: Sequence[Sequence[int]], tokens: int) -> list[list[int]]:
    """The greedy ids of several generations of one loaded model that are stepped in turn, as the host does it."""
    sampling = Sampling(max_tokens=tokens, ignore_eos=True)
    answers: list[list[int]] = [[] for _ in prompts]
    running = [decode(resident.model, prompt, sampling, cached=resident.cached) for prompt in prompts]
    while any(len(ids) < tokens for ids in answers):
        for steps, ids in zip(running, answers, strict=True):
            step = next(steps, None)
            if isinstance(step, Step):
                ids.append(step.token_id)
    return answers


def forced(resident: Resident, prompt: Sequence[int], answer: Sequence[int]) -> torch.Tensor:
    """Log-probabilities [answer, vocabulary] in nats that the forced pass finds before each token of `answer`."""
    models = [lambda: resident.model] * 2
    passes = force(models, prompt, answer, top=_rows(resident), cached=[resident.cached] * 2)
    tokens = [token for item in passes if isinstance(item, ForcedTokens) for token in item.tokens]
    return torch.stack([_dense([(entry.id, entry.logprob) for entry in token.top]) for token in tokens])


def _rows(resident: Resident) -> int:
    return int(resident.model.get_output_embeddings().weight.shape[0])


def _dense(top: Sequence[tuple[int, float]]) -> torch.Tensor:
    row = torch.empty(len(top))
    row[torch.tensor([token_id for token_id, _ in top])] = torch.tensor([logprob for _, logprob in top])
    return row


def _ignore(_progress: Progress) -> None:
    return None


def load_variant(name: str) -> Resident:
    """A variant by its name, or a `.gguf` file by its path, in the transformers engine. Raises PlaygroundError."""
    return loading.load(models.resolve(name), DeviceMemory(loading.device_of_choice()), _ignore)


def export(source: Path, folder: Path, scheme: str) -> tuple[str, Path]:
    """Make a GGUF file of a checkpoint folder and store it as a variant: name and file. Raises PlaygroundError."""
    recipe = Recipe(method="gguf", scheme=scheme)
    folder.mkdir(parents=True, exist_ok=True)
    gguf.make(source, folder, recipe, (), _ignore, lambda: False)
    model, name = names.key(str(source)), variant_name(recipe)
    row = StoredVariant(
        id=f"{model}:{name}", model=model, name=name, method="gguf", scheme=scheme, group_size=None, path=str(folder),
        bytes=1, bits_per_weight=16.0, parameters=1, content_hash="", recipe=recipe.model_dump(mode="json"),
        parent={"id": model, "content_hash": ""}, card={}, job_id=None, created_at=time.time(),
    )  # fmt: skip
    variants.add(row)
    return row.id, folder / gguf.file_name(scheme)
