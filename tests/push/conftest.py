"""A stored variant of two files that go and some that must not, and a hub that takes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from playground.store.schema import StoredVariant
from tests.fakes.hub import Hub
from tests.fakes.variants import made

TOKEN = "hf_secretSecretSecretSecret"


@pytest.fixture
def variant(home: Path) -> StoredVariant:
    """Beside the weights: a config that names a local folder, a link to a secret, a hidden file, code."""
    row = made()
    folder = Path(row.path)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "_name_or_path": "/home/me/secret-place"}))
    (folder / "tokenizer.json").write_text("{}")
    (home / "secret.txt").write_text("a secret")
    (folder / "link.txt").symlink_to(home / "secret.txt")
    (folder / ".hidden.json").write_text("{}")
    (folder / "run.py").write_text("boom")
    return row


@pytest.fixture
def hub(hub: Hub) -> Hub:
    """TOKEN may write to "me"."""
    hub.writes.tokens = {TOKEN: ("me",), "hf_other": ("somebody",)}
    return hub
