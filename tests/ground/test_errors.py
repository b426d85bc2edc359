"""Errors keep their type, their words and their hint on the way through HTTP."""

from __future__ import annotations

import pytest

from playground import errors
from playground.engines.remote import errors as remote_errors


def codes(root: type[errors.PlaygroundError]) -> list[type[errors.PlaygroundError]]:
    found = [root] if "code" in vars(root) else []
    return found + [kind for child in root.__subclasses__() for kind in codes(child)]


@pytest.mark.parametrize("kind", [kind for kind in codes(errors.PlaygroundError) if kind.__module__ == errors.__name__])
def test_there_and_back(kind: type[errors.PlaygroundError]) -> None:
    found = errors.from_wire(errors.to_wire(kind("It failed.", hint="Do this.")))
    assert type(found) is kind and (found.message, found.hint) == ("It failed.", "Do this.")


def test_a_subclass_without_a_code_of_its_own_does_not_take_its_parents_place() -> None:
    assert remote_errors.Rejected.code == errors.InvalidRequest.code
    assert type(errors.from_wire({"error": {"code": "invalid_request", "message": "x"}})) is errors.InvalidRequest
