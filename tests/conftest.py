"""Fixtures that more than one package needs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# As in the engine's process: OpenMP reads it when torch is loaded, and spinning threads starve a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder: nothing of the user's is read or written."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("PLAYGROUND_HOME", str(folder))
    return folder
