"""Settings from the environment."""

from __future__ import annotations

import pytest

from playground.errors import InvalidSettings
from playground.settings import settings


def test_a_wrong_value_is_one_sentence_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_PORT", "abc")
    with pytest.raises(InvalidSettings, match=r"^PLAYGROUND_PORT is 'abc': Input should be a valid integer"):
        settings()


def test_a_space_sets_the_address_and_the_user_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")  # noqa: S104 - what a Space sets
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7861")
    assert (settings().host, settings().port) == ("0.0.0.0", 7861)  # noqa: S104
    monkeypatch.setenv("PLAYGROUND_PORT", "9000")
    monkeypatch.setenv("PLAYGROUND_HOST", "127.0.0.1")
    assert (settings().host, settings().port) == ("127.0.0.1", 9000)
