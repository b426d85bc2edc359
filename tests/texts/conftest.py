"""The bundled model's real tokenizer, and a word tokenizer for the pure parts."""

from __future__ import annotations

from typing import Any

import pytest

from playground.models import bundled


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """The one of the bundled model, with its chat template."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(bundled.restore(), local_files_only=True)
