"""What a page sends with an event: JSON of whatever shape, read as what it should be, or as nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

MAX_TEXT = 2000
MAX_OPEN = 12  # logs or cards that one page may have open


def values(data: gr.EventData) -> Mapping[str, Any]:
    return data._data if isinstance(data._data, dict) else {}


def whole(found: Any) -> int:
    return found if isinstance(found, int) else 0


def serial(data: gr.EventData | Mapping[str, Any]) -> int:
    """Comes back with the answer, so that the page knows which of its questions it is to."""
    return whole((data if isinstance(data, Mapping) else values(data)).get("serial"))


def text(data: gr.EventData, key: str, most: int = MAX_TEXT) -> str:
    """`most` characters at most, without the space around them."""
    found = values(data).get(key)
    return found.strip()[:most] if isinstance(found, str) else ""


def ids(data: gr.EventData, key: str) -> list[str]:
    found = values(data).get(key)
    return [one for one in found if isinstance(one, str)][:MAX_OPEN] if isinstance(found, list) else []
