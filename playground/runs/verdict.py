"""The stored verdict of a comparison, as the strip draws it: what the page said when it was made, not what it would say
today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playground.compare.session import WORDS
from playground.core import ForcedSummary


def outcomes(row: Mapping[str, Any]) -> dict[str, Any]:
    """The strip's value."""
    result = row["result"]
    forced = result.get("forced") or []
    shown = []
    for one in result.get("verdict") or ():
        number = int(one["pane"])
        shown.append(
            {
                "headline": one["headline"],
                "detail": one["detail"],
                "explanation": one["explanation"],
                "caveats": one["caveats"],
                "size": one["size_ratio"],
                "memory": one["memory_ratio"],
                "decode": one["decode_ratio"],
                "interval": one["decode_interval"],
                "divergence": _divergence(forced[number] if number < len(forced) else None),
            }
        )
    return {"outcomes": shown, "words": WORDS["none"]}


def _divergence(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Of the reference's answer in one variant: in words and figures; None where nobody tried."""
    if found is None:
        return None
    if found.get("kld_mean") is None:
        reason = str(found.get("reason") or "It was not measured.")
        return {"words": f"No divergence: {reason[:1].lower()}{reason[1:]}", "kld": None, "agreement": None}
    seen = ForcedSummary(found["kld_mean"], found["top1_agreement"], found["tokens"])
    part = "" if seen.tokens == found.get("total", seen.tokens) else f" over the first {seen.tokens} tokens"
    words = str(seen)
    return {"words": f"{words[:1].upper()}{words[1:]}{part}", "kld": seen.kld_mean, "agreement": seen.top1_agreement}
