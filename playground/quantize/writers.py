"""Methods that write a variant's files themselves. All others have modifiers, which llm-compressor runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from playground.core import Progress
from playground.methods.recipe import Recipe
from playground.metrics.weights import LayerError

WRITERS = {"bitsandbytes": "playground.quantize.bitsandbytes", "gguf": "playground.quantize.gguf"}


class Writer(Protocol):
    """The module of a method that writes its own files."""

    def check(self, recipe: Recipe) -> None:
        """Raise InvalidRecipe for a recipe that the method cannot run. Called before any work."""
        ...

    def make(
        self,
        source: Path,
        target: Path,
        recipe: Recipe,
        tokens: Sequence[Sequence[int]],
        report: Callable[[Progress], None],
        is_cancelled: Callable[[], bool],
        lost: Callable[[LayerError], None],
    ) -> Any:
        """Write the files of `target` from the checkpoint folder `source`. Return the model in memory, or None.

        tokens  calibration samples as token ids
        lost    called with the error of each layer as it is stored

        Raises PlaygroundError.
        """
        ...

    def notes(self, folder: Path, recipe: Recipe) -> tuple[str, ...]:
        """Return sentences about the files, for the card."""
        ...


def writer(name: str) -> Writer:
    """Return the module of a method by name. Raises KeyError if the method is no writer."""
    return cast(Writer, importlib.import_module(WRITERS[name]))
