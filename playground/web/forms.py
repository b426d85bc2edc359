"""What several forms of the page read: numbers, and names of variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playground import models
from playground.core import Variant
from playground.engines import base
from playground.errors import InvalidRequest
from playground.models import names
from playground.models.address import Address
from playground.web.values import size

MAX_VARIANTS = 16
MAX_NAME = 1200  # characters of a variant's or a task's name
MAX_FIELD = 400


def whole(value: Any, name: str) -> int:
    """A whole number as typed. Raises InvalidRequest."""
    text = str(value).strip()[:40]
    if isinstance(value, bool) or not text.isascii() or not text.isdigit():
        raise InvalidRequest(f"{name} is “{text}”.", hint="It has to be a whole number.")
    return int(text)


def variant_row(variant: Variant, stored: bool) -> dict[str, Any]:
    """One variant of a form: what it is, and why it cannot be chosen."""
    options = base.options(variant)
    why = "" if any(option.runs for option in options) else next((option.why for option in options), "")
    return {
        "id": variant.id,
        "label": variant.label,
        "size": size(variant),
        "bits": variant.bits_per_weight,
        "reference": variant.is_reference,
        "source": variant.source,
        "stored": stored,
        "why": why,
    }


def variants(data: Mapping[str, Any]) -> tuple[str, ...]:
    """The reference, then the others, each of a known model. Raises PlaygroundError."""
    return addresses(_text(data, "reference", MAX_NAME), _names(data, "variants"))


def addresses(reference: str, others: Sequence[str]) -> tuple[str, ...]:
    """The reference, then the others without it, each of a known model. Raises PlaygroundError."""
    others = [name for name in dict.fromkeys(others) if name != reference]
    if not reference:
        raise InvalidRequest("No reference is chosen.", hint="The other variants are compared with it.")
    if not others:
        raise InvalidRequest("Only the reference is chosen.", hint="Tick a variant to compare with it.")
    if len(others) >= MAX_VARIANTS:
        raise InvalidRequest(f"{len(others) + 1} variants are chosen; {MAX_VARIANTS} at once is the limit.")
    return tuple(_checked_address(name) for name in (reference, *others))


def _checked_address(name: str) -> str:
    """The variant and the engine that it names, if any; a local model by its path from the root, for the worker."""
    asked = Address.parse(name)
    known = models.variant(asked.variant).id
    return str(names.absolute(known).on(asked.engine))


def _text(data: Mapping[str, Any], key: str, longest: int = MAX_FIELD) -> str:
    found = data.get(key)
    return found.strip()[:longest] if isinstance(found, str) else ""


def _names(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Each once, in the order of the form."""
    found = data.get(key)
    listed = [one.strip()[:MAX_NAME] for one in found if isinstance(one, str)] if isinstance(found, list) else []
    return tuple(dict.fromkeys(filter(None, listed)))
