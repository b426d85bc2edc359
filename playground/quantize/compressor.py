"""Quantize with llm-compressor: load, run the recipe, measure each layer's error, record the probe's logits, save.

The recipe is run from the YAML that is saved, with the samples in the order of the recipe, so plain
`oneshot(model=…, recipe="recipe.yaml", dataset=…)` gives the same tensors.

Smoothing (AWQ, SmoothQuant) and rotating (SpinQuant) change a weight without changing the model; a layer's error is
that of rounding afterwards. Without them it is the distance to the original weight.

llm-compressor 0.14 reports through progress bars and a log of rounded numbers; `watched` turns them into events.
Exceptions of it and of transformers become a QuantizeFailed with a hint.

Tokenizer, chat template and generation defaults are copied byte for byte, so that token ids stay the same.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from playground.core import Progress
from playground.errors import PlaygroundError, QuantizeFailed
from playground.jobs.progress import Report
from playground.methods import method
from playground.methods.llm_compressor import to_yaml
from playground.methods.recipe import Recipe
from playground.metrics.weights import ERROR_NAME, LayerError, relative_error
from playground.models.load import load_model, refuse_not_finite
from playground.quantize import probe as quantize_probe

RECIPE = "recipe.yaml"
MAX_CACHE_SCALE = 1e6  # an FP8 scale of keys or values of up to 448 million: no model has any
_KNOWN: tuple[tuple[tuple[str, ...], str, str, tuple[str, ...]], ...] = (
    # parts of the exception's text, message, hint, and the methods or schemes that it recommends, less the failed one
    (
        ("not divisible by group_size", "must be divisible by", "tensor column shape must be divisble"),
        "{title} {scheme} does not fit this model: a layer's size is not divisible by the group size.",
        "Choose a smaller group size, ignore that layer, or use {others}.",
        ("FP8_DYNAMIC", "W8A8"),
    ),
    (
        ("TraceError", "torch.fx", "symbolically traced", "could not be traced"),
        "llm-compressor cannot follow this model's layers one by one, which {title} needs.",
        "Use a method without calibration: {others}.",
        ("RTN", "FP8_DYNAMIC", "NVFP4A16"),
    ),
    (
        ("unable to find any modules to quantize", "match_modules_set", "Unable to match", "No layers to smooth"),
        "{title} does not know the layers of this architecture.",
        "Use {others}, which only need linear layers.",
        ("GPTQ", "RTN", "FP8_DYNAMIC"),
    ),
    (
        ("No finite loss", "Failed to invert hessian", "contains NaN", "NaN found"),
        "{title} met numbers that are not finite while it worked on this model.",
        "Take more or other calibration text, or use {others}.",
        ("RTN", "FP8_DYNAMIC"),
    ),
    (
        ("KeyError: 'model_type'", "does not recognize this architecture", "Unrecognized configuration class"),
        "transformers does not know this model's architecture as a language model.",
        "Update transformers, or choose another model.",
        (),
    ),
)
GENERATION = "generation_config.json"
PATTERNS = (
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "chat_template*"),
    *(GENERATION, "preprocessor_config.json", "processor_config.json", "LICENSE*"),
)
_BAR = re.compile(r"\((\d+)/(\d+)\): (Calibrating|Propagating)")
_SMOOTHING, _SEARCH = "Smoothing", "Grid search for "  # bars of AWQ: one over mappings, one in each
# Stages of a layer, as shares of its time: activations are measured, it is quantized, its output is computed again.
_MEASURED, _WORK, _AGAIN = (0.0, 0.3), (0.3, 0.8), (0.8, 1.0)
_PASSES = {
    "AWQModifier": "searching AWQ scales",
    "SmoothQuantModifier": "measuring activations for SmoothQuant",
    "GPTQModifier": "quantizing with GPTQ",
    "QuantizationModifier": "measuring activations",
    "AutoRoundModifier": "tuning with AutoRound",
}


def tokenizer(source: Path) -> Any:
    """Return the tokenizer of a checkpoint folder, from local files; no remote code."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(source, trust_remote_code=False)


def quantize(
    source: Path,
    target: Path,
    modifiers: Mapping[str, Mapping[str, Any]],
    tokens: Sequence[Sequence[int]],
    probe: Path,
    report: Report,
) -> list[LayerError]:
    """Write the quantized checkpoint to `target` and its logits to `probe`. Return the errors of its layers.

    tokens  calibration samples as token ids, [] without calibration

    Raises QuantizeFailed, BrokenCheckpoint, and what llm-compressor raises: see `explained`.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    recipe = target / RECIPE
    recipe.write_text(to_yaml(modifiers))
    report.progress(Progress("loading the model"))
    encoder = tokenizer(source)
    model = load(source)
    rehearse(model)
    refuse_not_finite(model)
    original = quantize_probe.finite_logits(model, quantize_probe.encode(encoder))
    with watched(model, report, list(modifiers)) as watch, without_pinning(), same_types(model):
        _oneshot(model, encoder, recipe, tokens)
    _refuse_nothing_done(model)
    _refuse_unset_scales(model)
    report.progress(Progress("measuring what each layer lost"))
    errors = watch.errors or _report_errors(model, report)
    report.progress(Progress("answering the fixed prompts"))
    quantize_probe.record(model, encoder, probe, original)
    report.progress(Progress("saving"))
    text = recipe.read_text()
    model.save_pretrained(target, save_compressed=True)
    recipe.write_text(text)  # llm-compressor's own copy holds what it inferred for this model, and may not load again
    copy(source, target)
    _reset_session()
    return errors


def load(source: Path) -> Any:
    """Load the original in its own dtype.

    `oneshot` splits the fused experts of a mixture afterwards. llm-compressor's `load_quantizable_moe` would save that
    copy, but patches transformers 5.17 in a way that needs torchvision.
    """
    return load_model(source, dtype="auto")


def _oneshot(model: Any, encoder: Any, recipe: Path, tokens: Sequence[Sequence[int]]) -> None:
    from datasets import Dataset
    from llmcompressor import oneshot

    data: dict[str, Any] = {}
    if tokens:
        rows = {"input_ids": [list(row) for row in tokens], "attention_mask": [[1] * len(row) for row in tokens]}
        data = {
            "dataset": Dataset.from_dict(rows),
            "num_calibration_samples": len(tokens),
            "max_seq_length": max(map(len, tokens)),
            "shuffle_calibration_samples": False,
        }
    oneshot(model=model, processor=encoder, recipe=str(recipe), **data)


@contextmanager
def same_types(model: Any) -> Iterator[None]:
    """Restore on exit the dtype of every parameter that existed on entry.

    auto-round 0.15.1 leaves its blocks in FP32 on a processor without BF16 instructions: the model then does not run
    and does not match its config. The values are on the quantization grid, so the cast is exact.
    """
    before = {name: parameter.dtype for name, parameter in model.named_parameters()}
    yield
    for name, parameter in model.named_parameters():
        if parameter.dtype != before.get(name, parameter.dtype):
            parameter.data = parameter.data.to(before[name])


def _reset_session() -> None:
    """Free the model, which llm-compressor's session holds: another process is about to load it again."""
    from llmcompressor.core import active_session

    active_session().reset()


def _refuse_nothing_done(model: Any) -> None:
    if next(quantized_modules(model), None) is None:
        raise QuantizeFailed(
            "llm-compressor found no linear layer in this model that the recipe names.",
            hint="Shorten the ignore list, or choose another model.",
        )


def _refuse_unset_scales(model: Any) -> None:
    """Raise QuantizeFailed for a KV-cache scale that was not set: uninitialised memory, often NaN, 0 or negative."""
    for name, parameter in model.named_parameters():
        if name.endswith(("k_scale", "v_scale")) and not bool(((parameter > 0) & (parameter < MAX_CACHE_SCALE)).all()):
            raise QuantizeFailed(
                f"llm-compressor measured no KV-cache scale for {name.rpartition('.')[0]}.",
                hint="Leave the attention modules out of ignore and keep, or store no KV-cache scheme.",
            )


def _report_errors(model: Any, report: Report) -> list[LayerError]:
    errors = []
    for error in rounding_errors(model):
        errors.append(error)
        report.layer(error.name, error.relative_error, ERROR_NAME)
    return errors


# Errors.


@contextmanager
def explained(recipe: Recipe) -> Iterator[None]:
    """Raise QuantizeFailed for any exception that is no PlaygroundError.

    The cause is kept, so that `jobs.ending.explain` still recognizes a full disk or memory.
    """
    try:
        yield
    except PlaygroundError:
        raise
    except Exception as error:
        raise _sentence(error, recipe) from error


def _sentence(error: Exception, recipe: Recipe) -> QuantizeFailed:
    text = f"{type(error).__module__}.{type(error).__name__}: {error}"
    title = method(recipe.method).title

    def others(alternatives: tuple[str, ...]) -> str:
        return " or ".join(name for name in alternatives if name not in (title, recipe.scheme))

    for words, sentence, hint, alternatives in _KNOWN:
        if any(word in text for word in words):
            hint = hint.format(others=others(alternatives))
            return QuantizeFailed(sentence.format(title=title, scheme=recipe.scheme), hint=hint)
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
    return QuantizeFailed(
        f"{title} {recipe.scheme} failed on this model: {first.rstrip('.')}.",
        hint=f"The log has the details. {others(('RTN', 'FP8_DYNAMIC', 'bitsandbytes'))} may still work.",
    )


# What each layer lost.


def quantized_modules(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and module of every module whose weight has a quantization scheme."""
    for name, module in model.named_modules():
        scheme = getattr(module, "quantization_scheme", None)
        if scheme is not None and scheme.weights is not None and getattr(module, "weight", None) is not None:
            yield name, module


def rounding_errors(model: Any) -> Iterator[LayerError]:
    """Yield the error of each module that still has the weight before rounding: every method's but GPTQ's."""
    import torch
    from compressed_tensors.quantization import forward_quantize

    with torch.no_grad():
        for name, module in quantized_modules(model):
            weight = module.weight
            stored = forward_quantize(module, weight, "weight", module.quantization_scheme.weights)
            yield LayerError(name, relative_error(weight, stored))


# Files beside the weights.


def rehearse(model: Any) -> None:
    """Save the config of a loaded model to a temporary folder, to fail before the work if transformers refuses it.

    The model loses its generation defaults, because transformers refuses to save sampling values without sampling;
    `copy` restores the original's file. Raises QuantizeFailed.
    """
    from huggingface_hub.errors import StrictDataclassError

    model.generation_config = type(model.generation_config)()
    with tempfile.TemporaryDirectory() as folder:
        try:
            model.config.save_pretrained(folder)
        except (ValueError, StrictDataclassError) as error:
            reason = " ".join(str(error).split())[:300].rstrip(".")
            raise QuantizeFailed(
                f"transformers loads this model's config.json and refuses to save it: {reason}.",
                hint="Correct config.json, then start again.",
            ) from error


def copy(source: Path, target: Path) -> None:
    """Copy tokenizer, chat template and generation defaults byte for byte; remove generation defaults that it lacks."""
    (target / GENERATION).unlink(missing_ok=True)
    for pattern in PATTERNS:
        for file in source.glob(pattern):
            if file.is_file():
                shutil.copyfile(file, target / file.name)


# Progress.


class Watch:
    """Turn llm-compressor's progress into events of a report.

    `errors` has one entry per layer whose weight GPTQ or AutoRound replaced.
    """

    def __init__(self, report: Report, modifiers: Sequence[str]) -> None:
        self.errors: list[LayerError] = []
        self._report = report
        self._modifiers = list(modifiers)
        self._pass = ""
        self._layer, self._layers = 1, 0

    def starts(self, modifier: str) -> None:
        """One modifier's pass over the layers begins."""
        number = (
            f" ({self._modifiers.index(modifier) + 1} of {len(self._modifiers)})" if len(self._modifiers) > 1 else ""
        )
        self._pass = _PASSES.get(modifier, modifier.removesuffix("Modifier")) + number
        self._report.progress(Progress(self._pass))

    def layer(self, number: int, layers: int) -> None:
        """Layer `number` of `layers`, counted from 1, is the current one."""
        self._layer, self._layers = number, layers

    def at(self, share: float, stage: tuple[float, float] = _WORK) -> None:
        """A stage of the current layer is `share` done; `stage` is where it begins and ends, as shares of the layer."""
        begin, end = stage
        done = self._layer - 1 + begin + (end - begin) * min(1.0, share)
        if self._layers:
            self._report.progress(Progress(self._pass, round(done, 3), self._layers, "layers"))

    def lost(self, name: str, original: Any, stored: Any) -> None:
        """Record the error of a weight that GPTQ or AutoRound has just replaced."""
        error = LayerError(name, relative_error(original, stored))
        self.errors.append(error)
        self._report.layer(name, error.relative_error, ERROR_NAME)

    def searched(self, name: str, error: float) -> None:
        """Report the error of the scales that AWQ has found for the layers after `name`."""
        self._report.layer(name, error, "AWQ output error (MSE)")

    def loss(self, name: str, value: float) -> None:
        """Report GPTQ's loss for a layer."""
        self._report.layer(name, value, "GPTQ loss")


def reporting_bar(watch: Watch, tqdm: Any) -> type[Any]:
    """Return a tqdm class that also reports, for the bars of llm-compressor's sequential pipeline and of AWQ."""

    class Bar(tqdm):  # type: ignore[misc]  # tqdm has no types
        mappings, mapping = 1, 0  # number of AWQ mappings in the current layer, and index of the current one

        def __iter__(self) -> Iterator[Any]:
            if match := _BAR.match(self.desc):
                watch.layer(int(match[1]), int(match[2]))
                return self._batches(_MEASURED if match[3] == "Calibrating" else _AGAIN)
            if self.desc.startswith(_SMOOTHING):
                return self._smoothed()
            if self.desc.startswith(_SEARCH):
                return self._searched()
            return iter(super().__iter__())

        def _batches(self, stage: tuple[float, float]) -> Iterator[Any]:
            total = int(self.total or 0)
            watch.at(0.0, stage)
            for number, item in enumerate(super().__iter__(), 1):
                yield item
                if total and number * 4 // total > (number - 1) * 4 // total:  # four times a bar
                    watch.at(number / total, stage)

        def _smoothed(self) -> Iterator[Any]:
            Bar.mappings = int(self.total or 1)
            for Bar.mapping, item in enumerate(super().__iter__()):
                yield item

        def _searched(self) -> Iterator[Any]:
            for number, item in enumerate(super().__iter__(), 1):
                yield item
                watch.at((Bar.mapping + number / int(self.total or number)) / Bar.mappings)
            watch.searched(self.desc.removeprefix(_SEARCH).rstrip(": "), self._best)

        def set_postfix(self, ordered_dict: Any = None, refresh: bool | None = True, **more: Any) -> None:
            super().set_postfix(ordered_dict, refresh, **more)
            self._best = float((ordered_dict or {}).get("best_error", "nan"))

    return Bar


@contextmanager
def replaced(place: Any, name: str, value: Any) -> Iterator[None]:
    """Set `place.name` to `value`, and restore it on exit."""
    before = vars(place)[name]
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


@contextmanager
def watched(model: Any, report: Report, modifiers: Sequence[str]) -> Iterator[Watch]:
    """Report what llm-compressor does to `model` until the context ends.

    It has no hooks for that, so names of its modules are replaced: its bars, GPTQ's log, and the functions that
    overwrite a weight with the rounded one. Each replacement calls the original.
    """
    from llmcompressor.modifiers.autoround import AutoRoundModifier
    from llmcompressor.modifiers.gptq import base as gptq
    from llmcompressor.modifiers.transform.awq import base as awq
    from llmcompressor.pipelines.registry import CalibrationPipeline
    from llmcompressor.pipelines.sequential import pipeline

    watch = Watch(report, modifiers)
    bar = reporting_bar(watch, pipeline.tqdm)
    compress, tune = gptq.GPTQModifier.compress_module_list, AutoRoundModifier.apply_autoround
    choose = CalibrationPipeline.from_modifiers.__func__
    names: dict[Any, str] = {}  # of the modules that GPTQ is rounding
    rounded = 0  # number of `names` that are done

    class Log(gptq.CompressionLogger):  # type: ignore[misc]
        """Its own lines round the loss to two digits; small layers read 0.00."""

        def set_results(self, name: str | None = None, loss: float | None = None) -> None:
            nonlocal rounded
            super().set_results(name=name, loss=loss)
            if loss is not None:
                watch.loss(names[self.module], loss)
            rounded += 1
            watch.at(rounded / len(names))

    def compress_and_report(self: Any, modules: Sequence[Any]) -> None:
        nonlocal names, rounded
        names, rounded = named(modules), 0
        before = [module.weight.detach().clone() for module in names]
        compress(self, modules)
        for (module, name), weight in zip(names.items(), before, strict=True):
            watch.lost(name, weight, module.weight.detach())

    def tune_and_report(self: Any, state: Any, modules: Sequence[Any]) -> None:
        inner = (child for module in modules for child in module.modules() if hasattr(child, "quantization_scheme"))
        inside = named(inner)
        before = [module.weight.detach().clone() for module in inside]
        tune(self, state, modules)
        for (module, name), weight in zip(inside.items(), before, strict=True):
            watch.lost(name, weight, module.weight.detach())

    def named(modules: Iterable[Any]) -> dict[Any, str]:
        module_names = {module: name for name, module in model.named_modules()}
        return {module: module_names[module] for module in modules}

    def choose_and_report(cls: Any, chosen: Sequence[Any], user: str | None = None) -> Any:
        if user is None and len(chosen) == 1:  # the independent pipeline calls this for each modifier in turn
            watch.starts(type(chosen[0]).__name__)
        return choose(cls, chosen, user)

    with ExitStack() as stack:
        for place, name, replacement in (
            (pipeline, "tqdm", bar),
            (awq, "tqdm", bar),
            (gptq, "CompressionLogger", Log),
            (gptq.GPTQModifier, "compress_module_list", compress_and_report),
            (AutoRoundModifier, "apply_autoround", tune_and_report),
            (CalibrationPipeline, "from_modifiers", classmethod(choose_and_report)),
        ):
            stack.enter_context(replaced(place, name, replacement))
        yield watch


@contextmanager
def without_pinning() -> Iterator[None]:
    """Disable the memory pinning of AWQ's cache where there is no accelerator.

    AWQ of llm-compressor 0.14.0.1 pins it for copies to an accelerator even without one, and torch 2.13 then raises.
    To be removed when upstream checks for one.
    """
    import torch
    from llmcompressor.pipelines.cache import IntermediatesCache

    if torch.accelerator.is_available():
        yield
        return
    with replaced(IntermediatesCache, "pin_memory", lambda *_: None):
        yield
