"""What a push would send: asked before anything is sent, and shown."""

from __future__ import annotations

from dataclasses import dataclass

from playground.errors import InvalidRequest
from playground.methods.recipe import without_paths
from playground.models import names, stored
from playground.push import results
from playground.push.card import card
from playground.push.files import Files, files
from playground.push.origin import origin


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
    text = card(row, label, origin(row.model), recipe, found.names, repository, results.of_variant(row))
    return Plan(row.id, repository, text, found)


def check_repository(name: str) -> None:
    """Raises InvalidRequest unless it is OWNER/NAME by the hub's rules."""
    if not names.valid_repository(name):
        raise InvalidRequest(
            f"{name[:80]!r} is not a repository name.",
            hint="Write OWNER/NAME: letters, digits, '.', '_' and '-', 96 characters at most.",
        )
