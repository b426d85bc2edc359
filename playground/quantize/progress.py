"""What llm-compressor is doing, as it does it: which layer, how far, and what each layer lost.

llm-compressor 0.14 tells people through progress bars and a log of rounded numbers, and programs not at all. Some of
its names are replaced while it runs; each replacement calls the original and only looks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from playground.core import Progress
from playground.jobs.progress import Report
from playground.metrics.weights import WHAT, LayerError, relative_error

_BAR = re.compile(r"\((\d+)/(\d+)\): (Calibrating|Propagating)")
_WORK, _AGAIN = 0.3, 0.8  # of a layer: measuring ends and quantizing begins; its output is computed again
NEARLY = 0.8  # of the layers of the last pass
_PASSES = {
    "AWQModifier": "searching AWQ scales",
    "SmoothQuantModifier": "measuring activations for SmoothQuant",
    "GPTQModifier": "quantizing with GPTQ",
    "QuantizationModifier": "measuring activations",
    "AutoRoundModifier": "tuning with AutoRound",
}


class Watch:
    """Turns llm-compressor's progress into a report's. `soon` is called while the last layers are quantized.

    `errors` gets one entry per layer whose weight GPTQ or AutoRound replaced.
    """

    def __init__(self, report: Report, modifiers: Sequence[str], soon: Callable[[], None]) -> None:
        self.errors: list[LayerError] = []
        self._report, self._soon = report, soon
        self._modifiers = list(modifiers)
        self._pass = ""
        # The rounding after a search (AWQ, SpinQuant) needs no pass over the layers, or a short one.
        searches = [name for name in modifiers if name != "QuantizationModifier"]
        self._late = {modifiers[-1], *searches[-1:]}
        self._last = len(modifiers) == 1
        self._layer, self._layers = 1, 0
        self._done = self._steps = 0

    def starts(self, modifier: str) -> None:
        """One modifier's pass over the layers begins."""
        number = (
            f" ({self._modifiers.index(modifier) + 1} of {len(self._modifiers)})" if len(self._modifiers) > 1 else ""
        )
        self._last = modifier in self._late
        self._pass = _PASSES.get(modifier, modifier.removesuffix("Modifier")) + number
        self._report.progress(Progress(self._pass))

    def work(self, steps: int) -> None:
        """Quantizing the layer that was just measured takes so many steps."""
        self._done, self._steps = 0, steps

    def step(self) -> None:
        """One of them: a scale that AWQ tried, a matrix that GPTQ rounded."""
        self._done += 1
        if self._layers and self._steps:
            self._at(_WORK + (_AGAIN - _WORK) * min(1.0, self._done / self._steps))

    def _at(self, share: float) -> None:
        """The current layer is `share` done."""
        done = self._layer - 1 + share
        self._report.progress(Progress(self._pass, round(done, 3), self._layers, "layers"))
        if self._last and done >= NEARLY * self._layers:
            self._soon()

    def lost(self, name: str, original: Any, stored: Any) -> None:
        """GPTQ or AutoRound has just replaced a weight."""
        error = LayerError(name, relative_error(original, stored))
        self.errors.append(error)
        self._report.layer(name, error.relative_error, WHAT)

    def searched(self, name: str, error: float) -> None:
        """AWQ has found its scales for the layers that follow `name`."""
        self._report.layer(name, error, "AWQ output error (MSE)")

    def loss(self, name: str, value: float) -> None:
        """GPTQ's own objective."""
        self._report.layer(name, value, "GPTQ loss")

    def bar(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """A tqdm that also reports. Each layer is measured, then, once it is quantized, its output computed again."""

        def told(items: Iterable[Any], **arguments: Any) -> Iterable[Any]:
            found = _BAR.match(str(arguments.get("desc") or ""))
            shown = original(items, **arguments)
            if found is None:
                return shown  # type: ignore[no-any-return]
            self._layer, self._layers = int(found[1]), int(found[2])
            span = (0.0, _WORK) if found[3] == "Calibrating" else (_AGAIN, 1.0)
            return self._each(shown, *span, int(arguments.get("total") or 0))

        return told

    def _each(self, items: Iterable[Any], begin: float, end: float, total: int) -> Iterator[Any]:
        self._at(begin)
        for number, item in enumerate(items, 1):
            yield item
            if total and number * 4 // total > (number - 1) * 4 // total:  # four times a bar
                self._at(begin + (end - begin) * number / total)


@contextmanager
def replaced(place: Any, name: str, value: Any) -> Iterator[None]:
    """`place.name` is `value` for a while."""
    before = vars(place)[name]
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


@contextmanager
def watched(report: Report, modifiers: Sequence[str], soon: Callable[[], None]) -> Iterator[Watch]:
    """While it is open, llm-compressor reports, and `soon` is called when it is nearly through."""
    from llmcompressor.modifiers.autoround import AutoRoundModifier
    from llmcompressor.modifiers.gptq import base as gptq
    from llmcompressor.modifiers.transform.awq import AWQModifier
    from llmcompressor.pipelines.registry import CalibrationPipeline
    from llmcompressor.pipelines.sequential import pipeline

    watch = Watch(report, modifiers, soon)
    compress, search = gptq.GPTQModifier.compress_module_list, AWQModifier._compute_best_scale
    smooth, measure = AWQModifier._apply_smoothing, AWQModifier._compute_loss
    tune, choose = AutoRoundModifier.apply_autoround, CalibrationPipeline.from_modifiers.__func__

    class Told(gptq.CompressionLogger):  # type: ignore[misc]
        """Its log rounds the loss to two digits; small layers read 0.00."""

        def set_results(self, name: str | None = None, loss: float | None = None) -> None:
            super().set_results(name=name, loss=loss)
            if loss is not None and self.module in names:
                watch.loss(names[self.module], loss)
            watch.step()

    names: dict[Any, str] = {}

    def compress_and_tell(self: Any, modules: Sequence[Any]) -> None:
        names.update(self._module_names)
        before = {module: module.weight.detach().clone() for module in modules}
        watch.work(len(modules))
        compress(self, modules)
        for module, weight in before.items():
            watch.lost(names[module], weight, module.weight.detach())

    def smooth_and_tell(self: Any, model: Any) -> None:
        here = sum(mapping.smooth_name in self._smooth_activation_stats for mapping in self._resolved_mappings)
        watch.work(here * len(self._get_grid_search_params()))
        smooth(self, model)

    def measure_and_tell(self: Any, *arguments: Any) -> Any:
        watch.step()
        return measure(self, *arguments)

    def search_and_tell(self: Any, mapping: Any, *arguments: Any) -> Any:
        scales = search(self, mapping, *arguments)
        watch.searched(mapping.smooth_name, float(self._error_metrics[-1]["best_error"]))
        return scales

    def tune_and_tell(self: Any, state: Any, modules: Sequence[Any]) -> None:
        inside = dict.fromkeys(inner for module in modules for inner in module.modules())
        before = {one: one.weight.detach().clone() for one in inside if hasattr(one, "quantization_scheme")}
        tune(self, state, modules)
        for module, weight in before.items():
            watch.lost(module._tmp_name, weight, module.weight.detach())

    def choose_and_tell(cls: Any, chosen: Sequence[Any], user: str | None = None) -> Any:
        if user is None and len(chosen) == 1:  # the independent pipeline asks for each modifier in turn
            watch.starts(type(chosen[0]).__name__)
        return choose(cls, chosen, user)

    with ExitStack() as stack:
        for place, name, replacement in (
            (pipeline, "tqdm", watch.bar(pipeline.tqdm)),
            (gptq, "CompressionLogger", Told),
            (gptq.GPTQModifier, "compress_module_list", compress_and_tell),
            (AWQModifier, "_apply_smoothing", smooth_and_tell),
            (AWQModifier, "_compute_loss", measure_and_tell),
            (AWQModifier, "_compute_best_scale", search_and_tell),
            (AutoRoundModifier, "apply_autoround", tune_and_tell),
            (CalibrationPipeline, "from_modifiers", classmethod(choose_and_tell)),
        ):
            stack.enter_context(replaced(place, name, replacement))
        yield watch


@contextmanager
def without_pinning() -> Iterator[None]:
    """AWQ of llm-compressor 0.14.0.1 pins its cache for copies to an accelerator even where there is none, and torch
    2.13 then raises. Nothing is copied there, so nothing needs pinning. Goes when upstream asks first."""
    import torch
    from llmcompressor.pipelines.cache import IntermediatesCache

    if torch.accelerator.is_available():
        yield
        return
    with replaced(IntermediatesCache, "pin_memory", lambda *_: None):
        yield
