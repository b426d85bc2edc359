"""Methods that write a variant's files themselves. The rows of all others have modifiers, which llm-compressor runs."""

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
    """Such a method's module."""

    def check(self, recipe: Recipe) -> None:
        """Refuse what the method cannot do before anything runs. Raises InvalidRecipe."""
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
        """Fill the folder `target` from the checkpoint folder `source`; the model in memory, None where there is none.

        tokens  calibration samples as token ids
        lost    hears the error of each layer as it is stored

        Raises PlaygroundError.
        """
        ...

    def notes(self, folder: Path, recipe: Recipe) -> tuple[str, ...]:
        """Sentences about the files, for the card."""
        ...


def writer(name: str) -> Writer:
    """The module of the method called `name`; KeyError where it is no writer."""
    return cast(Writer, importlib.import_module(WRITERS[name]))
