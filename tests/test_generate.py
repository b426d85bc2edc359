"""The shared assembly of the documented JSON."""

from __future__ import annotations

import pytest

from playground.compare import Event
from playground.core import Sampling
from playground.errors import InvalidRequest
from playground.generate import generate
from tests.fakes import catalog
from tests.fakes.engine import GRAVITY, FakeEngine, Script

METRICS = {
    "ttft_s", "prefill_tok_s", "itl_p50_s", "itl_p99_s", "tpot_s", "decode_tok_s", "e2e_s", "prompt_tokens",
    "output_tokens", "peak_memory_bytes",
}  # fmt: skip
PANE = {"variant", "engine", "text", "token_ids", "times_s", "steps_s", "finish_reason", "metrics"}


@pytest.fixture(autouse=True)
def _fake_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.install(monkeypatch)


def test_the_documented_json() -> None:
    seen: list[Event] = []
    made = generate(FakeEngine(), ["fake", "fake:nf4"], "What is gravity?", on_event=seen.append).as_json()
    assert set(made) == {"prompt_ids", "panes"} and len(made["prompt_ids"]) == 3
    assert [pane["variant"] for pane in made["panes"]] == ["fake", "fake:nf4"]
    for pane in made["panes"]:
        assert set(pane) >= PANE and set(pane["metrics"]) == METRICS
        assert pane["text"] == "".join(GRAVITY) and pane["finish_reason"] == "stop"
        assert len(pane["token_ids"]) == len(pane["times_s"]) == len(pane["steps_s"]) == len(GRAVITY)
    assert {event.pane for event in seen} == {0, 1}


def test_the_system_prompt_and_raw_text_reach_the_engine() -> None:
    engine = FakeEngine()
    generate(engine, ["fake"], "Hi", system="Be brief.")
    generate(engine, ["fake"], "Once upon", raw=True)
    chat = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"})
    assert engine.prompts == [("fake", chat), ("fake", "Once upon")]


def test_a_failed_variant_is_an_error_in_its_pane() -> None:
    made = generate(FakeEngine(), ["fake", "fake:nope"], "Hi").as_json()
    assert made["panes"][0]["finish_reason"] == "stop"
    assert made["panes"][1]["finish_reason"] == "error" and made["panes"][1]["error"]["code"] == "unknown_variant"


def test_a_limit_ends_an_answer() -> None:
    made = generate(FakeEngine({"fake": Script()}), ["fake"], "Hi", sampling=Sampling(max_tokens=3))
    pane = made.as_json()["panes"][0]
    assert pane["finish_reason"] == "length" and pane["metrics"]["output_tokens"] == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"variants": []}, "0 variants were asked for. Allowed: 1 to 16."),
        ({"prompt": " "}, "The prompt is empty."),
        ({"prompt": "x" * 200_001}, "The prompt has 200,001 characters. Allowed: 200,000."),
        ({"prompt": "x" * 150_000, "system": "x" * 50_001}, "The prompt has 200,001 characters."),
        ({"sampling": Sampling(max_tokens=4097)}, "Max tokens is 4097. Allowed: 1 to 4096."),
        ({"sampling": Sampling(temperature=float("nan"))}, "Temperature is nan."),
    ],
)
def test_a_request_that_cannot_be_run(arguments: dict[str, object], sentence: str) -> None:
    engine = FakeEngine()
    with pytest.raises(InvalidRequest) as caught:
        generate(engine, **({"variants": ["fake"], "prompt": "Hi"} | arguments))  # type: ignore[arg-type]
    assert str(caught.value).startswith(sentence)
    assert not engine.prompts
