"""What was measured of each document, in a folder: whoever is killed loses the document at hand and no other."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np

from playground.core import Loaded
from playground.metrics.divergence import DocumentDivergence

LOADED = "loaded.json"
_FIELDS = tuple(field.name for field in fields(DocumentDivergence))


class DocumentFiles:
    """One variant's documents by number, each one .npz; written aside and renamed, so that a file is whole or absent.

    The folder's name must say everything that could change a number: nothing is checked here.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, number: int) -> DocumentDivergence | None:
        """None where it has yet to be measured, or its file is damaged."""
        try:
            with self._file(number).open("rb") as opened, np.load(opened) as arrays:
                return DocumentDivergence(**{name: arrays[name] for name in _FIELDS})
        except (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def write(self, number: int, document: DocumentDivergence) -> None:
        file = self._file(number)
        aside = file.with_suffix(".partial")
        with aside.open("wb") as opened:
            np.savez(opened, **{name: getattr(document, name) for name in _FIELDS})
            opened.flush()
            os.fsync(opened.fileno())
        aside.replace(file)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:05d}.npz"

    @property
    def loaded(self) -> Loaded | None:
        """What is known of the model that measured; None before it was loaded for the first time."""
        try:
            return Loaded.from_dict(json.loads((self._folder / LOADED).read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    @loaded.setter
    def loaded(self, facts: Loaded) -> None:
        aside = (self._folder / LOADED).with_suffix(".partial")
        aside.write_text(json.dumps(facts.as_dict()))
        aside.replace(self._folder / LOADED)
