"""Read fields that several forms have: numbers, texts, names of variants."""

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
    """Return a typed whole number. Raises InvalidRequest; `name` is the field's name in the message."""
    text = str(value).strip()[:40]
    if isinstance(value, bool) or not text.isascii() or not text.isdigit():
        raise InvalidRequest(f"{name} is “{text}”.", hint="It has to be a whole number.")
    return int(text)


def variant_row(variant: Variant, stored: bool) -> dict[str, Any]:
    """Return a variant's row in a form; "why" says why it cannot be chosen, "" if it can."""
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
    """Return the addresses of the reference, then of the other variants. Raises PlaygroundError."""
    return addresses(field_text(data, "reference", MAX_NAME), field_names(data, "variants"))


def addresses(reference: str, others: Sequence[str]) -> tuple[str, ...]:
    """Return the checked addresses of the reference, then of the others without duplicates.

    Raises InvalidRequest if no reference, no other variant or too many are chosen, CatalogError for an unknown one.
    """
    others = [name for name in dict.fromkeys(others) if name != reference]
    if not reference:
        raise InvalidRequest("No reference is chosen.", hint="The other variants are compared with it.")
    if not others:
        raise InvalidRequest("Only the reference is chosen.", hint="Tick a variant to compare with it.")
    if len(others) >= MAX_VARIANTS:
        raise InvalidRequest(f"{len(others) + 1} variants are chosen; {MAX_VARIANTS} at once is the limit.")
    return tuple(_checked_address(name) for name in (reference, *others))


def _checked_address(name: str) -> str:
    """Return the address with its engine, if any. A local model gets its absolute path, for the worker."""
    address = Address.parse(name)
    variant_id = models.variant(address.variant).id
    return str(names.absolute(variant_id).on(address.engine))


def field_text(data: Mapping[str, Any], key: str, limit: int = MAX_FIELD) -> str:
    value = data.get(key)
    return value.strip()[:limit] if isinstance(value, str) else ""


def field_names(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the distinct texts of a list field, in its order; () if it is no list."""
    value = data.get(key)
    names = [name.strip()[:MAX_NAME] for name in value if isinstance(name, str)] if isinstance(value, list) else []
    return tuple(dict.fromkeys(filter(None, names)))
