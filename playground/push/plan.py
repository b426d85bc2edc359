"""What a push would send: asked before anything is sent, and shown.

It decides which files of a variant's folder go to the hub, and which of them without what only this machine should
know.
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
_PATHS = ("_name_or_path", "name_or_path")  # where the tools write down the folder they read


@dataclass(frozen=True, slots=True)
class Files:
    """By name in the repository: files as they are, and texts that are written instead of one."""

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
    """What an engine reads, of the variant's own folder: no hidden file, link or marker. Raises BrokenCheckpoint."""
    folder = Path(variant.path)
    found = {path.name: path for path in sorted(folder.glob("*")) if _is_pushed(path)} if folder.is_dir() else {}
    if not any(name.endswith((".safetensors", ".gguf")) for name in found):
        raise BrokenCheckpoint(
            f"The files of {variant.id} are gone, or its folder holds no weights.",
            hint="Delete the variant, or quantize once more.",
        )
    screened = {name: text for name in _SCREENED if name in found and (text := _without_paths(found[name]))}
    return Files({name: path for name, path in found.items() if name not in screened}, screened)


def _is_pushed(path: Path) -> bool:
    plain = path.is_file() and not path.is_symlink() and not path.name.startswith(".")
    licence = path.name.startswith(("LICENSE", "NOTICE"))
    return plain and path.name != folders.MARKER and (licence or path.suffix in SUFFIXES)


def _without_paths(path: Path) -> str:
    """The file without the keys that name a local folder; "" when it has none, and goes as it is."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return ""
    named = [key for key in _PATHS if isinstance(found, dict) and key in found]
    return json.dumps({k: v for k, v in found.items() if k not in named}, indent=2, ensure_ascii=False) if named else ""


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
    """Read the store and the variant's folder. Raises UnknownVariant, BrokenCheckpoint, InvalidRequest."""
    if repository:
        check_repository(repository)
    model, name = names.split(variant)
    row = stored.find(model, name)
    found = files(row)
    label = stored.label(row.method, row.scheme)
    recipe = stored.recipe_yaml(row, without_paths(row.recipe))
    text = card(row, label, origin(row.model), recipe, found.names, repository, push_card.of_variant(row))
    return Plan(row.id, repository, text, found)


def check_repository(name: str) -> None:
    """Raises InvalidRequest unless it is OWNER/NAME by the hub's rules."""
    if not valid_repository(name):
        raise InvalidRequest(
            f"{name[:80]!r} is not a repository name.",
            hint="Write OWNER/NAME: letters, digits, '.', '_' and '-', 96 characters at most.",
        )
