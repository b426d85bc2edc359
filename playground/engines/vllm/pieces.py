"""Token ids as readable text, one at a time, for the tooltip: with the checkpoint's own tokenizer.json."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tokenizers import Tokenizer

from playground.engines.vllm.stream import Piece


def pieces(folder: Path) -> Piece | None:
    """A function from id to text that remembers its answers; None for a checkpoint without tokenizer.json."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    tokenizer = Tokenizer.from_file(str(path))

    @cache
    def piece(token_id: int) -> str:
        return str(tokenizer.decode([token_id], skip_special_tokens=False))

    return piece
