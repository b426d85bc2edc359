"""The stored verdict of a comparison, as the strip draws it: what the page said when it was made, not what it would say
today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WORDS = "No verdict: it needs an answer of the reference and of at least one variant."


def outcomes(row: Mapping[str, Any]) -> dict[str, Any]:
    """The strip's value."""
    found = row["result"].get("verdict") or {}
    listed = found.get("outcomes") if isinstance(found, Mapping) else found
    return {"outcomes": [_outcome(one) for one in listed or ()], "words": WORDS}


def _outcome(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "headline": str(found.get("headline") or ""),
        "detail": str(found.get("detail") or ""),
        "explanation": str(found.get("explanation") or ""),
        "caveats": [str(one) for one in found.get("caveats") or ()],
        "size": found.get("size"),
        "memory": found.get("memory"),
        "decode": found.get("decode"),
        "interval": found.get("interval"),
        "divergence": found.get("divergence"),
    }
