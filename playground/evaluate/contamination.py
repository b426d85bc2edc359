"""Whether a variant was calibrated on the text that it is measured on: its divergence would be flattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playground import texts
from playground.core import Variant
from playground.engines.subjects import Subject
from playground.errors import HubUnreachable, InvalidCalibration, InvalidRequest
from playground.evaluate.items import Warned
from playground.models import names
from playground.store import database, variants
from playground.texts import Calibration
from playground.texts.prose import Text, shared_documents

FIELDS = tuple(Calibration.__dataclass_fields__)


def warnings(text: Text, measured: Sequence[Subject]) -> list[Warned]:
    """A warning for each variant that was made here and whose calibration shares text, or cannot be read any more.

    It bears the name that the variant has in the run, "smollm2:awq@vllm", which rows and pages look for.
    """
    found = []
    for subject in measured:
        recipe = _calibration(subject.variant)
        if recipe and (said := _said(text, Calibration.from_dict({name: recipe[name] for name in FIELDS}))):
            found.append(Warned("calibration", f"{subject.id} {said}", (subject.id,)))
    return found


def _calibration(variant: Variant) -> Mapping[str, Any]:
    """What a variant that was made here was calibrated on, however its model's path was written; {} without any."""
    if variant.is_reference or not database.exists():
        return {}
    row = variants.get(f"{names.key(variant.model)}:{variant.name}")
    return (row.recipe.get("calibration") if row else None) or {}


def _said(text: Text, asked: Calibration) -> str:
    try:
        samples = texts.samples(asked)
    except (InvalidCalibration, InvalidRequest, HubUnreachable) as error:
        return f"was calibrated on text that cannot be compared with this one: {error.message}"
    shared = shared_documents(text.documents, (sample.plain for sample in samples))
    if not shared:
        return ""
    return (
        f"was calibrated on text that {shared:,} of the {len(text.documents):,} documents share: "
        "it diverges less here than on text that is new to it."
    )
