"""A data set of the hub is streamed through the real `datasets` library, from a hub on loopback."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from playground.errors import HubUnreachable, InvalidCalibration, PlaygroundError
from playground.texts import Calibration, draw, hub
from playground.texts.hub import Dataset
from tests.fakes.dataset_hub import serve_datasets
from tests.fakes.hub import Hub

Point = Callable[[str], None]


def chats(count: int) -> bytes:
    turns = ({"role": "user", "content": f"Question {n}: is the quay empty on a Tuesday?"} for n in range(count))
    return "".join(json.dumps({"messages": [turn]}) + "\n" for turn in turns).encode()


@pytest.fixture
def point_at(home: Path, monkeypatch: pytest.MonkeyPatch) -> Point:
    """Let the hub library and `datasets` ask this address, with an empty cache and no token."""
    import datasets
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "PLAYGROUND_OFFLINE", "HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def point(url: str) -> None:
        template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setenv("HF_ENDPOINT", url)
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", url)
        monkeypatch.setattr(datasets.config, "HF_MODULES_CACHE", str(home / "modules"))
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "datasets")

    return point


@pytest.fixture
def served(point_at: Point) -> Iterator[Hub]:
    with serve_datasets() as running:
        point_at(running.url)
        running.add("someone/chats", {"train.jsonl": chats(50), "test.jsonl": chats(1)})
        yield running


def refusal(source: str) -> PlaygroundError:
    with pytest.raises(PlaygroundError) as caught:
        draw(Calibration(source=source))
    assert caught.value.hint
    return caught.value


def test_a_data_set_is_streamed_at_the_commit_that_was_named(served: Hub) -> None:
    found = draw(Calibration(source="someone/chats"))
    assert (len(found.samples), found.seen, found.note) == (32, 50, "")
    assert found.samples == draw(Calibration(source="someone/chats")).samples
    assert found.samples != draw(Calibration(source="someone/chats", seed=1)).samples
    files = [path for method, path, _ in served.requests if path.endswith("train.jsonl") and method == "GET"]
    assert files and all(served.repos["someone/chats"].commit in path for path in files)
    assert not [path for _, path, _ in served.requests if path.endswith("test.jsonl")]


def test_another_split_by_name(served: Hub) -> None:
    assert (
        draw(Calibration(source="someone/chats:test", samples=1))
        .samples[0]
        .messages[0]["content"]
        .startswith("Question 0")
    )


def test_only_the_first_rows_are_asked_for(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HUB_ROWS", 40)
    found = draw(Calibration(source="someone/chats"))
    assert found.seen == 40 and found.note == "The samples were drawn from the first 40 rows of someone/chats."


def test_what_the_hub_refuses_is_a_sentence(served: Hub) -> None:
    missing = refusal("no-one/nothing")
    assert isinstance(missing, InvalidCalibration) and "no-one/nothing" in missing.message
    assert "it has: train, test" in refusal("someone/chats:validation").hint
    assert "no configuration 'other'" in refusal("someone/chats:other").message
    assert "1 usable sample," in refusal("someone/chats:test").message


def test_a_row_of_another_form_is_named(served: Hub) -> None:
    served.add("someone/odd", {"train.jsonl": b'{"prose": "x"}\n'})
    message = refusal("someone/odd").message
    assert "Row 1 of someone/odd" in message and "prose" in message


def test_a_hub_that_fails_or_is_not_there_is_told_at_once(served: Hub, point_at: Point) -> None:
    served.status = 503
    failed = refusal("someone/chats")
    assert isinstance(failed, HubUnreachable) and "answered 503" in failed.message
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        point_at(f"http://127.0.0.1:{free.getsockname()[1]}")
        gone = refusal("someone/chats")
    assert isinstance(gone, HubUnreachable) and "cannot be reached" in gone.message and "bundled" in gone.hint


def test_offline_the_hub_is_not_asked(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_OFFLINE", "1")
    assert isinstance(refusal("someone/chats"), HubUnreachable)
    assert served.requests == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a/b", Dataset("a/b")),
        ("a/b:train_sft", Dataset("a/b", "", "train_sft")),
        ("a/b:test", Dataset("a/b", "", "test")),
        ("a/b:en", Dataset("a/b", "en", "train")),
        ("a/b:en:validation", Dataset("a/b", "en", "validation")),
        ("a/b:train:test", Dataset("a/b", "train", "test")),
        ("a", None),
        ("a/b/c", None),
        ("a/../b", None),
        ("a/b:", None),
        ("a/b:c:d:e", None),
    ],
)
def test_names(source: str, expected: Dataset | None) -> None:
    assert hub.parse(source) == expected
