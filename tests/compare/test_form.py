"""From input values to an `Ask`."""

from __future__ import annotations

from typing import Any

import pytest

from playground.compare import page
from playground.compare.turns import Ask
from playground.core import Sampling
from playground.errors import InvalidRequest

FINE: dict[str, Any] = {
    "prompt": "Hi", "system": "", "mode": page.CHAT, "max_tokens": 128, "temperature": 0, "top_p": 1, "top_k": 0,
    "repetition_penalty": 1, "seed": 0, "stop": "",
}  # fmt: skip


def test_the_defaults_are_those_of_core() -> None:
    assert page.ask_of(FINE) == Ask("Hi", "", False, Sampling())


def test_stop_strings_are_lines() -> None:
    assert page.ask_of(FINE | {"stop": "END\n\\n\\n\n"}).sampling.stop == ("END", "\n\n")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"max_tokens": None}, "Max tokens is empty. The default is 128."),
        ({"max_tokens": 1.5}, "Max tokens is 1.5. It has to be a whole number."),
        ({"max_tokens": 0}, "Max tokens is 0. Allowed: 1 to 4096."),
        ({"temperature": -1}, "Temperature is -1. Allowed: 0 (greedy) to 5."),
        ({"temperature": "hot"}, "Temperature is empty."),
        ({"top_p": 0}, "Top-p is 0. Allowed: above 0, up to 1 (off)."),
        ({"top_k": -2}, "Top-k is -2. Allowed: 0 (off) or more."),
        ({"repetition_penalty": 0}, "Repetition penalty is 0."),
        ({"seed": 2**32}, "Seed is 4294967296."),
        ({"stop": "x" * 201}, "A stop string has 1 to 200 characters."),
        ({"stop": "\n".join("abcdefghijklmnopq")}, "Stop strings is 17. Allowed: up to 16."),
    ],
)
def test_a_wrong_value_gets_a_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        page.ask_of(FINE | change)
    assert str(caught.value).startswith(sentence)


def test_the_summary_says_what_the_settings_are_now() -> None:
    assert page.summary(FINE) == "greedy · 128 tokens · seed 0"
    assert page.summary(FINE | {"mode": page.RAW, "temperature": 0.7, "top_p": 0.9, "seed": 3}) == (
        "temperature 0.7 · top-p 0.9 · 128 tokens · seed 3 · raw completion"
    )
    assert page.summary(FINE | {"system": "Be brief."}).endswith(" · system prompt")
