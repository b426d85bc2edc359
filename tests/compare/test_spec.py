"""From a form's JSON to what is asked."""

from __future__ import annotations

from typing import Any

import pytest

from playground.compare.spec import AgainSpec, AskSpec, RunSpec, StopSpec
from playground.core import Sampling
from playground.errors import InvalidRequest

FINE: dict[str, Any] = {
    "max_tokens": 128, "temperature": 0, "top_p": 1, "top_k": 0, "repetition_penalty": 1, "seed": 0, "stop": "",
}  # fmt: skip


def ask_of(**sampling: Any) -> AskSpec:
    return AskSpec.model_validate({"prompt": "Hi", "sampling": FINE | sampling})


def test_the_defaults_are_those_of_core() -> None:
    assert ask_of() == AskSpec(prompt="Hi") and ask_of().sampling == Sampling()
    assert isinstance(ask_of(temperature=1).sampling.temperature, float)
    assert AskSpec.model_validate({"prompt": "Hi", "sampling": {"seed": 3}}).sampling == Sampling(seed=3)


def test_stop_strings_are_a_list_or_lines() -> None:
    assert ask_of(stop="END\n\\n\\n\n").sampling.stop == ("END", "\n\n")
    assert ask_of(stop=["END", "\\n"]).sampling.stop == ("END", "\\n")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"max_tokens": None}, "Max tokens is empty. The default is 128."),
        ({"max_tokens": 1.5}, "Max tokens is 1.5. It has to be a whole number."),
        ({"max_tokens": float("nan")}, "Max tokens is nan. It has to be a whole number."),
        ({"max_tokens": 0}, "Max tokens is 0. Allowed: 1 to 4096."),
        ({"max_tokens": True}, "Max tokens is empty."),
        ({"temperature": -1}, "Temperature is -1. Allowed: 0 (greedy) to 5."),
        ({"temperature": float("nan")}, "Temperature is nan."),
        ({"temperature": "hot"}, "Temperature is empty."),
        ({"top_p": 0}, "Top-p is 0. Allowed: above 0, up to 1 (off)."),
        ({"top_k": -2}, "Top-k is -2. Allowed: 0 (off) or more."),
        ({"repetition_penalty": 0}, "Repetition penalty is 0."),
        ({"seed": 2**32}, "Seed is 4294967296."),
        ({"stop": "x" * 201}, "A stop string has 1 to 200 characters."),
        ({"stop": "\n".join("abcdefghijklmnopq")}, "Stop strings is 17. Allowed: up to 16."),
        ({"stop": [1]}, "Stop strings are no list of texts."),
        ({"ignore_eos": True}, "There is no field 'ignore_eos' in sampling."),
    ],
)
def test_a_wrong_value_gets_a_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask_of(**change)
    assert str(caught.value).startswith(sentence)
    assert caught.value.field in (*change, "") and (caught.value.field or "ignore_eos" in change)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({"prompt": " "}, "The prompt is empty."),
        ({"prompt": "x" * 200_001}, "The prompt has 200,001 characters."),
        ({}, "prompt is missing."),
        ({"prompt": "Hi", "raw": "perhaps"}, "raw is 'perhaps'. Allowed: true or false."),
        ({"prompt": "Hi", "sampling": 3}, "sampling cannot be read."),
        ({"prompt": "Hi", "variants": []}, "There is no field 'variants'."),
    ],
)
def test_what_cannot_be_asked_gets_a_sentence(raw: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        AskSpec.model_validate(raw)
    assert str(caught.value).startswith(sentence)


def test_a_run_is_what_is_asked_in_a_session_and_again_keeps_the_prompt() -> None:
    run = RunSpec.model_validate({"session": "a", "prompt": "Hi", "raw": True, "sampling": {"seed": 1}})
    assert run.ask == AskSpec(prompt="Hi", raw=True, sampling=Sampling(seed=1))
    again = AgainSpec.model_validate({"session": "a", "slot": 1, "sampling": {"seed": 2}, "system": "Be brief."})
    assert again.ask(run.ask) == AskSpec(prompt="Hi", raw=True, system="Be brief.", sampling=Sampling(seed=2))
    for slot in (4, -1, "1", True):
        with pytest.raises(InvalidRequest, match="Allowed: a whole number from 0 to 3"):
            StopSpec.model_validate({"session": "a", "slot": slot})
