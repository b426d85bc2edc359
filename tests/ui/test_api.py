"""The documented endpoints through gradio_client, and what stays private."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests.fakes import catalog
from tests.fakes.engine import GRAVITY, FakeEngine
from tests.fakes.site import serving


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def client(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    catalog.install(monkeypatch)
    with serving(engine) as url:
        yield Client(url, verbose=False)
    assert engine.closed


def test_models_lists_variants_as_documented(client: Client) -> None:
    rows: list[dict[str, Any]] = client.predict(api_name="/models")
    assert [row["id"] for row in rows] == ["fake", "fake:nf4", "fake:int8", "fake:fp4"]
    assert set(rows[0]) == {"id", "model", "method", "scheme", "path", "bytes", "bits_per_weight", "engines"}
    assert {row["path"] for row in rows} == {None}, "gradio_client takes a row with a path for a file to download"
    assert client.predict("fake", api_name="/models") == rows
    with pytest.raises(AppError, match=r"There is no model .nope.\. Known: fake\."):
        client.predict("nope", api_name="/models")


def test_generate_returns_the_documented_json(client: Client, engine: FakeEngine) -> None:
    made = client.predict(["fake", "fake:nf4"], "Hi", max_tokens=4, temperature=0.5, stop=["x"], api_name="/generate")
    assert set(made) == {"prompt_ids", "panes"}
    assert [pane["text"] for pane in made["panes"]] == ["".join(GRAVITY[:4])] * 2
    assert {pane["finish_reason"] for pane in made["panes"]} == {"length"}
    sampling = engine.asked[0].sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.stop) == (4, 0.5, ("x",))


def test_a_wrong_request_is_a_sentence(client: Client) -> None:
    with pytest.raises(AppError, match=r"Max tokens is 0\. Allowed: 1 to 4096\."):
        client.predict(["fake"], "Hi", max_tokens=0, api_name="/generate")
    with pytest.raises(AppError, match=r"The prompt is empty\."):
        client.predict(["fake"], " ", api_name="/generate")


def test_only_these_two_are_public_and_both_are_documented(client: Client) -> None:
    api = client.view_api(return_format="dict", print_info=False)
    assert set(api["named_endpoints"]) == {"/models", "/generate"} and not api["unnamed_endpoints"]
    names = [parameter["parameter_name"] for parameter in api["named_endpoints"]["/generate"]["parameters"]]
    assert names == [
        "variants", "prompt", "system", "max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed",
        "stop", "raw", "at_once",
    ]  # fmt: skip
