"""Read the JSON that a page sends with an event. It may have any shape; a wrong type reads as an empty value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

MAX_TEXT = 2000
MAX_OPEN = 12  # logs or cards that a page may have open


def values(data: gr.EventData) -> Mapping[str, Any]:
    """Return what the page sent, {} if it is no object. gradio has no public name for all of it."""
    return data._data if isinstance(data._data, dict) else {}


def whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def serial(data: gr.EventData | Mapping[str, Any]) -> int:
    """Return the event's number, which the response repeats so that the page can match it to its request; 0 if none."""
    return whole((data if isinstance(data, Mapping) else values(data)).get("serial"))


def text(data: gr.EventData, key: str, limit: int = MAX_TEXT) -> str:
    """Return the stripped text of a field, at most `limit` characters; "" if it is no text."""
    value = values(data).get(key)
    return value.strip()[:limit] if isinstance(value, str) else ""


def ids(data: gr.EventData, key: str) -> list[str]:
    value = values(data).get(key)
    return [entry for entry in value if isinstance(entry, str)][:MAX_OPEN] if isinstance(value, list) else []
