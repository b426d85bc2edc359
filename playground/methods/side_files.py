"""The small files of a checkpoint that say how to read its text: copied as they are, so that the token ids stay so."""

from __future__ import annotations

import shutil
from pathlib import Path

PATTERNS = (
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "chat_template*"),
    *("generation_config.json", "preprocessor_config.json", "processor_config.json", "LICENSE*"),
)


def copy(source: Path, target: Path) -> None:
    """Tokenizer, chat template and generation defaults of a folder, byte for byte."""
    for pattern in PATTERNS:
        for file in source.glob(pattern):
            if file.is_file():
                shutil.copyfile(file, target / file.name)
