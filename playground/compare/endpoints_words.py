"""What the endpoints panel shows, as inert JSON. Of a key it says whether there is one, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playground.compare.endpoints_trials import Asked
from playground.errors import CatalogError, InvalidRequest, OwnerOnly, PlaygroundError
from playground.models import endpoints
from playground.models.endpoints import Endpoint
from playground.web.values import inert

SHOWN = 20  # models of one endpoint
MAX_FIELD = 8192  # characters; the catalog's own limits are below it


@dataclass(frozen=True, slots=True)
class Said:
    """The answer to what was last entered. `number` counts the answers, so that the page knows a new one."""

    number: int
    words: str
    hint: str = ""
    good: bool = True


def panel(asked: Mapping[str, Asked], said: Said | None, refused: OwnerOnly | None) -> str:
    """The value: the list, what was tried, and whether the one who looks may change it. Visitors learn no address."""
    trouble: list[str] | None = None
    rows: list[dict[str, Any]] = []
    try:
        known = [] if refused else endpoints.endpoints()
        rows = [_row(endpoint, asked.get(endpoint.name)) for endpoint in known]
    except CatalogError as error:
        trouble = [error.message, error.hint]
    return inert(
        {
            "rows": rows,
            "trouble": trouble,
            "refused": [refused.message, refused.hint] if refused else None,
            "said": said and [said.number, said.good, said.words, said.hint],
        }
    )


def _row(endpoint: Endpoint, asked: Asked | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": endpoint.name,
        "url": endpoint.url,
        "host": endpoint.host,
        "model": endpoint.model,
        "key": endpoint.has_key,
        "caution": endpoint.caution,
    }
    if asked is None:
        return row
    now = asked.now()
    if now.trial:
        ids = [f"@{endpoint.name}/{model}" for model in now.trial.models or ()]
        if not ids and endpoint.model:
            ids = [f"@{endpoint.name}/{endpoint.model}"]
        row |= {"said": now.trial.said, "learned": now.trial.learned, "models": ids[:SHOWN], "more": len(ids[SHOWN:])}
    row["stage"] = [now.stage, round(now.seconds)] if now.running else None
    row["error"] = [now.error.message, now.error.hint] if now.error else None
    return row


def entered(data: Mapping[str, Any]) -> Endpoint:
    """The endpoint of the form, unchecked; the catalog checks. Raises InvalidRequest for what no form sends."""
    fields = {}
    for name in ("name", "url", "model", "key", "key_env"):
        value = data.get(name, "")
        if not isinstance(value, str) or len(value) > MAX_FIELD:
            raise InvalidRequest(f"The field {name} is no text or too long.", hint="Shorten it.")
        fields[name] = value.strip()
    return Endpoint(**fields)


def added(made: Endpoint, replaced: bool, number: int) -> Said:
    """What was stored, as the command line says it."""
    words = (
        f"{made.name} is {'replaced' if replaced else 'added'}: {made.url}, key: {'set' if made.has_key else 'none'}."
    )
    return Said(number, words, made.caution or "Test it to see what it serves.")


def failed(error: PlaygroundError, number: int) -> Said:
    return Said(number, error.message, error.hint, good=False)
