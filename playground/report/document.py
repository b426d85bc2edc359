"""A run as JSON, and the schema that says what stands where (JSON Schema, draft 2020-12)."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

from playground import __version__
from playground.store.schema import Run

FORMAT = "quantization-playground/run"
VERSION = 1
SCHEMA = Path(__file__).parent / "run.schema.json"


def as_json(run: Run) -> dict[str, Any]:
    """Everything that is stored of it, as `schema()` says. `run` is one without paths of this machine."""
    row = run.as_row()
    row.pop("job_id", None)  # means nothing elsewhere
    found = {"format": FORMAT, "version": VERSION, "playground": __version__, **row}
    return dict(_finite(found))


@cache
def schema() -> dict[str, Any]:
    """What `as_json` gives, as a JSON schema."""
    return dict(json.loads(SCHEMA.read_text(encoding="utf-8")))


def _finite(value: Any) -> Any:
    """JSON knows neither infinity nor what is no number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value
