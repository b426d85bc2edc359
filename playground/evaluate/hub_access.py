"""Whether the hub may be asked for data, found out before a library tries it again and again for half a minute."""

from __future__ import annotations

import os
import sys

import httpx

from playground.settings import settings

TIMEOUT_S = 5.0
ENDPOINT = "https://huggingface.co"
_TRUE = ("1", "ON", "YES", "TRUE")


def reachable() -> bool:
    """One question to the hub, answered or not. False at once where somebody has set offline."""
    if settings().offline or os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
        return False
    try:
        httpx.head(os.environ.get("HF_ENDPOINT", ENDPOINT), timeout=TIMEOUT_S)
    except httpx.HTTPError:
        return False
    return True


def stay_offline() -> None:
    """The hub's libraries use what is cached in this process and its children, also those that are imported already."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    for module, name in (("huggingface_hub.constants", "HF_HUB_OFFLINE"), ("datasets.config", "HF_HUB_OFFLINE")):
        if module in sys.modules:
            setattr(sys.modules[module], name, True)
