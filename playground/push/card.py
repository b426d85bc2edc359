"""The model card of a quantized variant: its README.md on the hub.

A pure function of what is stored. Numbers come from the store only, and nothing of this machine goes into it: no path,
no text that was pasted, no name of a local file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml

from playground.methods import method
from playground.methods.base import Method
from playground.methods.recipe import Recipe, command, variant_name, without_paths
from playground.methods.table import calibration_words, scheme_words
from playground.metrics.weights import where_it_hurt
from playground.push import results
from playground.push.origin import Origin
from playground.report import card as report_card
from playground.report.card import code, fence, plain, table
from playground.store.schema import Run, StoredVariant

WORST = 5  # layers in the table
HASH = "content_hash"  # of the calibration's token ids, in a stored recipe
PLACE = "OWNER/NAME"  # in a preview without a name yet
_PACKAGE = {"bitsandbytes": "bitsandbytes", "gguf": "gguf"}  # what transformers needs beside itself, by method


def card(
    variant: StoredVariant, label: str, base: Origin, recipe_yaml: str, files: Sequence[str], repository: str,
    found: Sequence[Run] = (),
) -> str:  # fmt: skip
    """README.md with its front matter.

    label        what the method and the scheme are called together: "AWQ W4A16_ASYM"
    recipe_yaml  the recipe as `oneshot` takes it, without paths
    files        the names that are pushed
    repository   where they go: OWNER/NAME
    found        runs that measured these weights
    """
    row = method(variant.method)
    parts = [
        _front_matter(variant, row, base, repository, found),
        f"# {plain(base.title)}, {plain(label)}",
        _what(variant, row, base),
        f"## Size\n\n{_size(variant)}",
        f"## Measured\n\n{results.tables(variant, found)}",
        *_layers(variant),
        *_reloaded(variant),
        f"## How to load it\n\n{loading(variant, row, files, repository)}",
        f"## How it was made\n\n{_made(variant, base, recipe_yaml)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(variant: StoredVariant, row: Method, base: Origin, repository: str, found: Sequence[Run]) -> str:
    gguf = row.name == "gguf"
    tags = ["gguf" if gguf else "bitsandbytes" if row.name == "bitsandbytes" else "compressed-tensors"]
    tags += [row.name, variant.scheme.lower(), "quantized", "quantization-playground"]
    front: dict[str, Any] = {
        "base_model": base.repository,
        "base_model_relation": "quantized" if base.repository else "",
        "library_name": "gguf" if gguf else "transformers",
        "pipeline_tag": "text-generation",
        "license": base.license,
        "tags": list(dict.fromkeys(tags)),
        "model-index": report_card.entry(repository.rpartition("/")[2] or variant.name, results.index(variant, found)),
    }
    said = {key: value for key, value in front.items() if value}
    return f"---\n{yaml.safe_dump(said, sort_keys=False, allow_unicode=True)}---"


def _what(variant: StoredVariant, row: Method, base: Origin) -> str:
    link = f"[{plain(base.repository)}](https://huggingface.co/{base.repository})"
    name = link if base.repository else plain(base.title)
    group = f", in groups of {variant.group_size}" if variant.group_size else ""
    words = scheme_words(variant.scheme)
    scheme = f"{plain(variant.scheme)}: {words}{group}" if words else f"{plain(variant.scheme)}{group}"
    said = f"{name}, quantized with {row.title} ([method]({row.paper})) to {scheme}."
    more = [base.note, *(variant.card.get("reasons") or ()), *(variant.card.get("notes") or ())]
    return "\n\n".join([said, "\n".join(f"- {plain(sentence)}" for sentence in more if sentence)]).strip()


def _size(variant: StoredVariant) -> str:
    before = variant.card.get("bytes_before")
    bits_before = 8 * before / variant.parameters if before and variant.parameters else None
    rows = [
        ("weights on disk", _megabytes(before), _megabytes(variant.bytes)),
        ("bits per weight", "–" if bits_before is None else f"{bits_before:.2f}", f"{variant.bits_per_weight:.2f}"),
    ]
    said = table(("", "base", "quantized"), rows)
    return f"{said}\n\n{before / variant.bytes:.2f} times smaller; all tensors count." if before else said


def _megabytes(count: int | None) -> str:
    return "–" if not count else f"{count / 1e6:,.1f} MB"


def _layers(variant: StoredVariant) -> Iterator[str]:
    layers = [
        (str(layer["name"]), float(layer["relative_error"]), layer.get("snr_db"))
        for layer in variant.card.get("layers") or ()
    ]
    if not layers:
        return
    worst = sorted(layers, key=lambda layer: -layer[1])[:WORST]
    rows = [(code(name), f"{error:.2%}", "–" if snr is None else f"{snr:.1f} dB") for name, error, snr in worst]
    shown = table(("layer", "relative weight error", "SNR"), rows)
    yield f"## Where rounding lost most\n\n{plain(where_it_hurt(layers))}\n\n{shown}"


def _reloaded(variant: StoredVariant) -> Iterator[str]:
    found = variant.card.get("reload")
    if isinstance(found, dict) and "kld_mean" in found:
        yield (
            "## Checked after saving\n\nThe saved files were loaded in a fresh process and compared with the model "
            f"that was in memory, on fixed prompts: mean KLD {found['kld_mean']:.3g} nats, the same top token in "
            f"{found['top1_agreement']:.1%}."
        )


def _made(variant: StoredVariant, base: Origin, recipe_yaml: str) -> str:
    recipe = without_paths(variant.recipe)
    parts = []
    if words := calibration_words(recipe):
        parts.append(f"Calibrated on {plain(words)}.{_digest('Token ids', _calibration(variant.recipe).get(HASH))}")
    name = "" if variant.name == variant_name(Recipe.from_dict(variant.recipe)) else variant.name
    model = base.title if PurePosixPath(variant.model).is_absolute() else variant.model
    parts.append("The command that repeats it, in Quantization Playground:")
    parts.append(fence(command(model, Recipe.from_dict(recipe), name=name), "bash"))
    parts.append(f"The recipe:\n\n{fence(recipe_yaml, 'yaml')}")
    parts.append(_digest("Weights", variant.content_hash).strip())
    parts.append(_digest("Base weights", variant.parent.get("content_hash")).strip())
    return "\n\n".join(filter(None, parts))


def _calibration(recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    return recipe.get("calibration") or {}


def _digest(what: str, value: object) -> str:
    return f" {what}: SHA-256 {code(value)}." if value else ""


# How a pushed variant is loaded: one block of code for each engine that the methods table names for it.


def loading(variant: StoredVariant, row: Method, files: Sequence[str], repository: str) -> str:
    """Markdown; engines in the order of the methods table."""
    place = repository or PLACE
    gguf = next((name for name in files if name.endswith(".gguf")), "")
    blocks = {
        "transformers": f"### transformers\n\n{_transformers(row, place, gguf)}",
        "vllm": f"### vLLM\n\n{fence(f'vllm serve {place}', 'bash')}\n\n"
        f"Whether vLLM has a kernel for {code(variant.scheme)} depends on the device; it says so when it starts.",
        "llamacpp": f"### llama.cpp\n\n{fence(f'llama-server --hf-repo {place} --hf-file {gguf}', 'bash')}",
    }
    return "\n\n".join([*(blocks[engine] for engine in row.engines), row.hardware])


def _transformers(row: Method, place: str, gguf: str) -> str:
    package = _PACKAGE.get(row.name, "compressed-tensors")
    more = f", gguf_file={gguf!r}" if gguf else ""
    return fence(
        f"# pip install transformers accelerate {package}\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'tokenizer = AutoTokenizer.from_pretrained("{place}"{more})\n'
        f'model = AutoModelForCausalLM.from_pretrained("{place}"{more}, dtype="auto")\n'
        'messages = [{"role": "user", "content": "What is gravity?"}]\n'
        "inputs = tokenizer.apply_chat_template(\n"
        '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True\n'
        ").to(model.device)\n"
        "print(tokenizer.decode(model.generate(**inputs, max_new_tokens=128)[0]))",
        "python",
    )
