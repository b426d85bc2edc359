"""The small files of a checkpoint that say how to read its text: copied as they are, so that the token ids stay so."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from playground.errors import QuantizeFailed

GENERATION = "generation_config.json"
PATTERNS = (
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "chat_template*"),
    *(GENERATION, "preprocessor_config.json", "processor_config.json", "LICENSE*"),
)


def rehearse(model: Any) -> None:
    """Save the configuration of a loaded model into a folder that is thrown away: what transformers refuses to save is
    refused before the work is done. The model loses its generation defaults, since transformers refuses to save
    sampling values without sampling; `copy` brings the original's file. Raises QuantizeFailed.
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
    """Tokenizer, chat template and generation defaults of a folder, byte for byte; none where the folder has none."""
    (target / GENERATION).unlink(missing_ok=True)
    for pattern in PATTERNS:
        for file in source.glob(pattern):
            if file.is_file():
                shutil.copyfile(file, target / file.name)
