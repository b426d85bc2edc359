"""What those see who are not the owner: names and numbers, and no path of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playground.report.paths import run, without_paths
from playground.store.schema import Job

__all__ = ["measuring_job", "run", "without_paths"]


def measuring_job(job: Job, shown: Mapping[str, Any]) -> dict[str, Any]:
    """The card or row of an evaluate or divergence job, its errors included."""
    return dict(without_paths(dict(shown), [*(job.spec.get("variants") or ()), *_texts(job.spec)]))


def _texts(asked: Mapping[str, Any]) -> list[str]:
    """Where the text of a divergence comes from, beside tasks or alone."""
    beside = asked.get("divergence")
    return [str(beside.get("text", "")) if isinstance(beside, Mapping) else "", str(asked.get("text") or "")]
