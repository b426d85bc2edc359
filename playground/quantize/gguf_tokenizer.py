"""How llama.cpp cuts text before it merges: the field `tokenizer.ggml.pre`.

The converter recognises a tokenizer by the hash of one tokenized text, so a fine-tuned vocabulary is unknown to it even
when it cuts text as its parent does. What cuts is in tokenizer.json, and is compared here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playground.errors import UnsupportedModel

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LLAMA3 = _CONTRACTIONS + (r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_BY_REGEX = {_LLAMA3: "llama-bpe", _QWEN2: "qwen2"}


def _steps(found: Any) -> list[Mapping[str, Any]]:
    if not isinstance(found, dict):
        return []
    if found.get("type") == "Sequence":
        return [step for step in found.get("pretokenizers", ()) if isinstance(step, dict)]
    return [found]


def pre_tokenizer(table: Mapping[str, Any]) -> str | None:
    """llama.cpp's name for the pre-tokenizer of a tokenizer.json; None where none cuts the same way.

    Only where nothing normalizes the text first, which llama.cpp would not do.
    """
    normalizer = table.get("normalizer")
    steps = _steps(table.get("pre_tokenizer"))
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and normalizer is None:
        return "gpt-2" if steps[0].get("use_regex", True) and not steps[0].get("add_prefix_space") else None
    if kinds == ["Digits", "ByteLevel"] and normalizer is None:
        whole = steps[0].get("individual_digits") and steps[1].get("use_regex", True)
        return "smollm" if whole and not steps[1].get("add_prefix_space") else None
    if kinds == ["Split", "ByteLevel"] and not steps[1].get("use_regex", True):
        # Qwen normalizes to NFC; llama.cpp takes the text as it is, as it does for Qwen's own files.
        pattern = steps[0].get("pattern", {}).get("Regex")
        return _BY_REGEX.get(pattern) if normalizer is None or normalizer.get("type") == "NFC" else None
    return None


def patch(model: Any, source: Path) -> None:
    """Let the converter's `model` fall back on tokenizer.json for a tokenizer that it does not recognise."""
    recognise = model.get_vocab_base_pre

    def by_hash_or_by_rule(tokenizer: Any) -> str:
        try:
            return str(recognise(tokenizer))
        except NotImplementedError:
            table = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
            found = pre_tokenizer(table)
            if found is None:
                raise UnsupportedModel(
                    "llama.cpp has no pre-tokenizer that cuts text as this model's tokenizer does.",
                    hint="Choose another method; prompts would be read wrongly.",
                ) from None
            return found

    model.get_vocab_base_pre = by_hash_or_by_rule
