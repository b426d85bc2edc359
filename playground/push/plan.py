"""The plan of a push, shown before anything is sent: the card, and the files of the variant's folder.

Configuration files are sent without paths of this machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from playground.errors import BrokenCheckpoint, InvalidRequest
from playground.methods.recipe import without_paths
from playground.models import names, stored
from playground.models.address import valid_repository
from playground.push import card as push_card
from playground.push.card import card, origin
from playground.store import folders
from playground.store.schema import StoredVariant

SUFFIXES = (".safetensors", ".gguf", ".json", ".jinja", ".model", ".txt", ".tiktoken", ".yaml")
README = "README.md"
_SCREENED = ("config.json", "tokenizer_config.json", "generation_config.json")
_PATHS = ("_name_or_path", "name_or_path")  # keys under which libraries store the local folder


@dataclass(frozen=True, slots=True)
class Files:
    """The files to push, by name in the repository: unchanged ones by path, changed ones as text."""

    paths: Mapping[str, Path]
    texts: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        return sorted({*self.paths, *self.texts, README})

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.paths.values()) + sum(
            len(t.encode()) for t in self.texts.values()
        )


def files(variant: StoredVariant) -> Files:
    """The files of the variant's folder that engines read: no hidden file, link or marker. Raises BrokenCheckpoint."""
    folder = Path(variant.path)
    paths = {path.name: path for path in sorted(folder.glob("*")) if _is_pushed(path)} if folder.is_dir() else {}
    if not any(name.endswith((".safetensors", ".gguf")) for name in paths):
        raise BrokenCheckpoint(
            f"The files of {variant.id} are gone, or its folder holds no weights.",
            hint="Delete the variant, or quantize once more.",
        )
    screened = {name: text for name in _SCREENED if name in paths and (text := _without_paths(paths[name]))}
    return Files({name: path for name, path in paths.items() if name not in screened}, screened)


def _is_pushed(path: Path) -> bool:
    regular = path.is_file() and not path.is_symlink() and not path.name.startswith(".")
    licence = path.name.startswith(("LICENSE", "NOTICE"))
    return regular and path.name != folders.MARKER and (licence or path.suffix in SUFFIXES)


def _without_paths(path: Path) -> str:
    """A JSON file's text without the keys for a local folder; "" if it has none and is sent unchanged."""
    try:
        config = json.loads(path.read_bytes())
    except ValueError:
        return ""
    local = [key for key in _PATHS if isinstance(config, dict) and key in config]
    return (
        json.dumps({k: v for k, v in config.items() if k not in local}, indent=2, ensure_ascii=False) if local else ""
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """The card and the files for one repository.

    repository  OWNER/NAME; "" in a preview
    bytes       of all files, the card included
    """

    variant: str
    repository: str
    card: str
    files: Files

    @property
    def bytes(self) -> int:
        return self.files.bytes + len(self.card.encode())


def plan(variant: str, repository: str = "") -> Plan:
    """Plan a push from the store and the variant's folder. Raises UnknownVariant, BrokenCheckpoint, InvalidRequest."""
    if repository:
        check_repository(repository)
    model, name = names.split(variant)
    row = stored.find(model, name)
    sent = files(row)
    label = stored.label(row.method, row.scheme)
    recipe = stored.recipe_yaml(row, without_paths(row.recipe))
    text = card(row, label, origin(row.model), recipe, sent.names, repository, push_card.of_variant(row))
    return Plan(row.id, repository, text, sent)


def check_repository(name: str) -> None:
    """Raises InvalidRequest unless it is OWNER/NAME by the hub's rules."""
    if not valid_repository(name):
        raise InvalidRequest(
            f"{name[:80]!r} is not a repository name.",
            hint="Write OWNER/NAME: letters, digits, '.', '_' and '-', 96 characters at most.",
        )
