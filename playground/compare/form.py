"""From the values of the page's inputs to one `Ask`, with a sentence for the first value that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playground.compare.run import check
from playground.compare.turns import Ask
from playground.core import Sampling
from playground.errors import InvalidRequest

CHAT, RAW = "Chat", "Raw completion"
TURNS, AT_ONCE = "Take turns", "All at once"
DEFAULTS = Sampling()


def ask(values: Mapping[str, Any]) -> Ask:
    """`values` by field name, as the inputs hold them. Raises InvalidRequest."""
    return Ask(
        prompt=str(values.get("prompt") or ""),
        system=str(values.get("system") or ""),
        raw=values.get("mode") == RAW,
        sampling=sampling(values),
        at_once=values.get("timing") == AT_ONCE,
    )


def sampling(values: Mapping[str, Any]) -> Sampling:
    stop = str(values.get("stop") or "")
    return check(
        Sampling(
            max_tokens=_whole(values, "max_tokens", "Max tokens"),
            temperature=_number(values, "temperature", "Temperature"),
            top_p=_number(values, "top_p", "Top-p"),
            top_k=_whole(values, "top_k", "Top-k"),
            repetition_penalty=_number(values, "repetition_penalty", "Repetition penalty"),
            seed=_whole(values, "seed", "Seed"),
            stop=tuple(line.replace("\\n", "\n") for line in stop.splitlines() if line),
        )
    )


def summary(values: Mapping[str, Any]) -> str:
    """The one line that says what the settings are now."""
    words = [str(sampling(values))]
    if values.get("mode") == RAW:
        words.append("raw completion")
    elif str(values.get("system") or "").strip():
        words.append("system prompt")
    if values.get("timing") == AT_ONCE:
        words.append("all at once")
    return " · ".join(words)


def _number(values: Mapping[str, Any], key: str, name: str) -> float:
    found = values.get(key)
    if found is None or isinstance(found, bool) or not isinstance(found, int | float):
        raise InvalidRequest(f"{name} is empty.", hint=f"The default is {getattr(DEFAULTS, key):g}.")
    return float(found)


def _whole(values: Mapping[str, Any], key: str, name: str) -> int:
    found = _number(values, key, name)
    if not found.is_integer():
        raise InvalidRequest(f"{name} is {found:g}.", hint="It has to be a whole number.")
    return int(found)
