"""The shared assembly of the documented JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from playground.compare.run import Event, generate
from playground.compare.spec import GenerateSpec
from playground.core import Sampling
from playground.engines.router import Engines
from playground.errors import InvalidRequest
from playground.models import names
from tests.cases import checkpoints
from tests.fakes import catalog, variants
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
    made = generate(
        FakeEngine(), GenerateSpec(variants=["fake", "fake:nf4"], prompt="What is gravity?"), on_event=seen.append
    ).as_json()
    assert set(made) == {"prompt_ids", "panes"} and len(made["prompt_ids"]) == 3
    assert [pane["variant"] for pane in made["panes"]] == ["fake", "fake:nf4"]
    for pane in made["panes"]:
        assert set(pane) >= PANE and set(pane["metrics"]) == METRICS
        assert pane["text"] == "".join(GRAVITY) and pane["finish_reason"] == "stop"
        assert len(pane["token_ids"]) == len(pane["times_s"]) == len(pane["steps_s"]) == len(GRAVITY)
    assert {event.pane for event in seen} == {0, 1}


def test_the_system_prompt_and_raw_text_reach_the_engine() -> None:
    engine = FakeEngine()
    generate(engine, GenerateSpec(variants=["fake"], prompt="Hi", system="Be brief."))
    generate(engine, GenerateSpec(variants=["fake"], prompt="Once upon", raw=True))
    chat = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"})
    assert engine.prompts == [("fake", chat), ("fake", "Once upon")]


def test_a_failed_variant_is_an_error_in_its_pane() -> None:
    made = generate(FakeEngine(), GenerateSpec(variants=["fake", "fake:nope"], prompt="Hi")).as_json()
    assert made["panes"][0]["finish_reason"] == "stop"
    assert made["panes"][1]["finish_reason"] == "error" and made["panes"][1]["error"]["code"] == "unknown_variant"


def test_a_limit_ends_an_answer() -> None:
    made = generate(
        FakeEngine({"fake": Script()}), GenerateSpec(variants=["fake"], prompt="Hi", sampling=Sampling(max_tokens=3))
    )
    pane = made.as_json()["panes"][0]
    assert pane["finish_reason"] == "length" and pane["metrics"]["output_tokens"] == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"variants": []}, "Allowed: 1 to 16"),
        ({"prompt": " "}, "prompt is empty"),
        ({"prompt": "x" * 200_001}, "Allowed: 200,000"),
        ({"prompt": "x" * 150_000, "system": "x" * 50_001}, "200,001 characters"),
        ({"sampling": Sampling(max_tokens=4097)}, "Allowed: 1 to 4096"),
        ({"sampling": Sampling(temperature=float("nan"))}, "Temperature is nan"),
    ],
)
def test_a_request_that_cannot_be_run(arguments: dict[str, object], sentence: str) -> None:
    engine = FakeEngine()
    with pytest.raises(InvalidRequest) as caught:
        generate(engine, GenerateSpec(**({"variants": ["fake"], "prompt": "Hi"} | arguments)))
    assert sentence in str(caught.value)
    assert not engine.prompts


def _ending(folder: Path, place: str) -> int:
    """A tiny model whose answer to "hi" ends at a token that `place` alone names; the id of that token.

    No near ties, and no halves of characters, whose ids llama.cpp does not tell.
    """
    from playground.methods.recipe import Recipe
    from playground.quantize import gguf

    end = checkpoints.with_two_ends(folder, place)
    files = folder.with_name(f"{folder.name}-gguf")
    files.mkdir()
    gguf.make(folder, files, Recipe(method="gguf", scheme="F16"), (), lambda _: None, lambda: False)
    variants.made("gguf-f16", names.key(str(folder)), path=str(files), method="gguf", scheme="F16")
    return end


@pytest.mark.filterwarnings("ignore")  # transformers' and gguf's own
def test_an_answer_ends_at_the_same_tokens_in_every_form_and_engine(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the real models
    monkeypatch.setenv("PLAYGROUND_HOME", str(home))
    monkeypatch.setenv("PLAYGROUND_OFFLINE", "1")
    engines = Engines()
    try:
        for place in ("generation_config.json", "config.json", "tokenizer"):
            folder = tmp_path / place.partition(".")[0]
            end = _ending(folder, place)
            panes = [str(folder), f"{folder}:gguf-f16@transformers", f"{folder}:gguf-f16@llamacpp"]
            found = generate(
                engines, GenerateSpec(variants=panes, prompt="hi", sampling=Sampling(max_tokens=12))
            ).as_json()["panes"]
            assert [pane["finish_reason"] for pane in found] == ["stop"] * 3, (
                place,
                end,
                [p["token_ids"] for p in found],
            )
            assert {tuple(pane["token_ids"]) for pane in found} == {(*found[0]["token_ids"][:-1], end)}, place
            assert len({pane["text"] for pane in found}) == 1, place
            assert [pane["metrics"]["output_tokens"] for pane in found] == [len(found[0]["token_ids"])] * 3
            held = Sampling(max_tokens=12, stop=(f"{found[0]['text'][-1]}~",))  # begins as the answer ends
            texts = {
                pane["text"]
                for pane in generate(engines, GenerateSpec(variants=panes, prompt="hi", sampling=held)).as_json()[
                    "panes"
                ]
            }
            assert texts == {found[0]["text"]}, "what may have become a stop string is not lost"
            on = generate(
                engines, GenerateSpec(variants=panes, prompt="hi", sampling=Sampling(max_tokens=12, ignore_eos=True))
            ).as_json()["panes"]
            assert [pane["metrics"]["output_tokens"] for pane in on] == [12] * 3
    finally:
        engines.close()
