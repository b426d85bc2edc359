"""What a variant was made from, as the hub names it, and under which licence that is."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import yaml

from playground.errors import CatalogError
from playground.models import bundled, hub, names

log = logging.getLogger(__name__)
MAX_README = 1 << 20
BUNDLED_LICENSE = "apache-2.0"
_RESTORED = (
    f"Made from weights that were restored from a {bundled.WEIGHT_TYPE} GGUF of the base model, not its original ones."
)


@dataclass(frozen=True, slots=True)
class Origin:
    """The base model.

    title       what a card calls it; never a path of this machine
    repository  its hub name, "" for a model that only this machine has
    license     the hub's identifier of its licence, "" when nobody says
    note        a caveat about the weights that were quantized, "" without one
    """

    title: str
    repository: str = ""
    license: str = ""
    note: str = ""


def origin(model: str) -> Origin:
    """Asks the hub for nothing but the licence, and goes without when it does not answer. Raises UnknownModel."""
    parsed = names.parse(model)
    if parsed.kind == "bundled":
        note = _RESTORED if bundled.gguf() is not None else ""
        return Origin(_last(names.BUNDLED_REPO), names.BUNDLED_REPO, BUNDLED_LICENSE, note)
    if parsed.kind == "hub":
        return Origin(_last(parsed.repo), parsed.repo, _license(parsed))
    path = parsed.path or Path(model)
    return Origin(path.stem if path.suffix == ".gguf" else path.name, license=_declared(path))


def _last(repository: str) -> str:
    return repository.rpartition("/")[2]


def _license(model: names.Model) -> str:
    try:
        return hub.listing(model).license
    except CatalogError as error:
        log.info("The licence of %s is not known: %s", model.repo, error.message)
        return ""


def _declared(path: Path) -> str:
    """What the README beside the weights says in its front matter."""
    readme = (path if path.is_dir() else path.parent) / "README.md"
    try:
        text = readme.read_text(encoding="utf-8") if readme.stat().st_size <= MAX_README else ""
        _, front, _ = text.split("---\n", 2)
        found = yaml.safe_load(front)
    except (OSError, ValueError, yaml.YAMLError):
        return ""
    said = found.get("license") if isinstance(found, dict) else None
    return said if isinstance(said, str) else ""
