"""Each token is predicted once, whatever the window and whatever the tokenizer puts in front."""

from __future__ import annotations

from typing import Any

import pytest

from playground.errors import EvaluationError
from playground.evaluate.divergence import plan_windows, prefix_ids, windows
from playground.texts.prose import Text


class Letters:
    """A token for each letter; `prefix` is what it puts before every text."""

    def __init__(self, prefix: tuple[int, ...] = ()) -> None:
        self._prefix = prefix

    def __call__(self, text: str, add_special_tokens: bool = True, verbose: bool = True) -> dict[str, Any]:
        ids = [ord(letter) for letter in text]
        return {"input_ids": [*self._prefix, *ids] if add_special_tokens else ids}


def text(*documents: str) -> Text:
    return Text("a text", "hash", list(documents))


@pytest.mark.parametrize("length", [2, 3, 5, 8, 100])
@pytest.mark.parametrize("count", [2, 3, 9, 24])
def test_without_a_prefix_all_but_the_first_are_predicted_once(length: int, count: int) -> None:
    found = windows(range(count), (), length)
    predicted = [token for window in found for token in window.ids[-window.predicted :]]
    assert predicted == list(range(1, count))
    assert all(len(window.ids) <= length and window.predicted == len(window.ids) - 1 for window in found)


@pytest.mark.parametrize("length", [2, 3, 5, 100])
def test_with_a_prefix_all_are_predicted_and_every_window_begins_with_it(length: int) -> None:
    found = windows(range(9), (77,), length)
    assert [token for window in found for token in window.ids[-window.predicted :]] == list(range(9))
    assert {window.ids[0] for window in found} == {77} and max(len(window.ids) for window in found) <= length


def test_what_a_tokenizer_puts_in_front() -> None:
    assert prefix_ids(Letters()) == () and prefix_ids(Letters((7, 8))) == (7, 8)


@pytest.mark.parametrize("prefix", [(), (7,)])
@pytest.mark.parametrize("tokens", [1, 6, 7, 13])
def test_the_budget_is_met_exactly(prefix: tuple[int, ...], tokens: int) -> None:
    found = plan_windows(text("abcdef", "ghijkl", "mnopqr"), Letters(prefix), tokens, 4)
    assert found.tokens == tokens
    assert found.longest <= 4


def test_all_of_a_text() -> None:
    found = plan_windows(text("abcdef", "x", "gh"), Letters(), 0, 512)
    assert found.tokens == 6 and len(found.documents) == 2, "a document of one token has nothing to predict"


def test_nothing_to_predict() -> None:
    with pytest.raises(EvaluationError, match="a text has 1 token: there is no next token"):
        plan_windows(text("x"), Letters(), 0, 512)
    with pytest.raises(EvaluationError, match="a text has 0 tokens"):
        plan_windows(text(""), Letters(), 0, 512)
    with pytest.raises(EvaluationError, match="A window of 1 tokens has nothing to predict"):
        plan_windows(text("abc"), Letters(), 0, 1)
