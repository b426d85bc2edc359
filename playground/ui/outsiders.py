"""What those see who are not the owner: names and numbers, and no path of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playground.export.paths import run, without_paths
from playground.store.schema import Job

__all__ = ["evaluate_job", "run", "without_paths"]


def evaluate_job(job: Job, shown: Mapping[str, Any]) -> dict[str, Any]:
    """The card or row of an evaluate job, its errors included."""
    names = job.spec.get("variants")
    divergence = job.spec.get("divergence") or {}
    return dict(without_paths(dict(shown), [*(names or ()), divergence.get("text", "")]))
