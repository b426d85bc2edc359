"""Everything wrong with a request is a sentence before a model is loaded, and at once."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from playground.errors import EvaluationError, InvalidRequest, MissingData, UnsafeTask
from playground.evaluate import prepare
from playground.evaluate.spec import Conditions
from tests.evaluate.conftest import conversation, index, ready, write

pytestmark = pytest.mark.filterwarnings("ignore")  # lm-eval's and datasets' own


@pytest.mark.usefixtures("offline")
def test_a_task_without_data_fails_at_once_and_says_which_file(tmp_path: Path) -> None:
    ready(Conditions(tasks=("gsm8k",), few_shot=0), tmp_path)  # what only has to be imported once
    began = time.monotonic()
    with pytest.raises(MissingData, match=r"arc_challenge.*allenai/ai2_arc.*cannot be had") as caught:
        ready(Conditions(tasks=("gsm8k", "arc_challenge")), tmp_path)
    assert time.monotonic() - began < 5
    assert "PLAYGROUND_DATASETS" in caught.value.hint
    assert "arc_challenge/test.jsonl" in caught.value.hint


def test_a_hub_that_does_not_answer_is_asked_once(
    offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_OFFLINE", "0")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    for module in ("huggingface_hub.constants", "datasets.config"):
        monkeypatch.setattr(f"{module}.HF_HUB_OFFLINE", False)
    asked = []

    def head(url: str, **_: Any) -> None:
        asked.append(url)
        raise httpx.ConnectError("no route")

    monkeypatch.setattr(httpx, "head", head)
    monkeypatch.setenv("HF_HUB_OFFLINE", "")  # what stay_offline sets is put back after the test
    with pytest.raises(MissingData):
        ready(Conditions(tasks=("arc_challenge",)), tmp_path)
    assert len(asked) == 1
    ready(Conditions(tasks=("gsm8k",), few_shot=0), tmp_path)
    assert len(asked) == 1, "local data needs no hub"


@pytest.mark.usefixtures("offline")
def test_what_offline_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpx, "head", lambda *_, **__: pytest.fail("the hub was asked"))
    assert not prepare.reachable()


@pytest.mark.usefixtures("offline")
def test_a_task_scored_as_a_whole_is_refused(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "data/wikitext/test.jsonl", [{"page": "the river"}])
    monkeypatch.setenv("PLAYGROUND_DATASETS", str(tmp_path / "data"))
    with pytest.raises(EvaluationError, match="scored as a whole") as caught:
        ready(Conditions(tasks=("wikitext",)), tmp_path)
    assert "playground kld" in caught.value.hint


@pytest.mark.usefixtures("offline")
def test_code_is_refused_before_its_data_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UnsafeTask):
        ready(Conditions(tasks=("humaneval",)), tmp_path)


@pytest.mark.usefixtures("offline")
def test_a_tag_over_several_folders_holds_all_its_tasks(home: Path, tmp_path: Path) -> None:
    index(home, arc_easy="arc/arc_easy.yaml")
    file = next(home.glob("cache/*.json"))
    content = json.loads(file.read_text())
    members = ["gsm8k", "arc_easy"]
    content["rows"]["math_word_problems"] = {"yaml": None, "members": members, "group": True, "unsafe": False}
    file.write_text(json.dumps(content))
    assert set(ready(Conditions(tasks=("math_word_problems",), few_shot=0), tmp_path).metrics) == {"gsm8k", "arc_easy"}


@pytest.mark.usefixtures("offline")
def test_a_task_named_alone_and_in_its_group_is_one_too_many(tmp_path: Path) -> None:
    prepared = ready(Conditions(tasks=("gsm8k", "gsm8k"), few_shot=0), tmp_path)
    assert list(prepared.metrics) == ["gsm8k"]


def test_missing_splits(offline: Path, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    shutil.copytree(data / "gsm8k", folder / "gsm8k")
    (folder / "gsm8k/train.jsonl").unlink()
    monkeypatch.setenv("PLAYGROUND_DATASETS", str(folder))
    ready(Conditions(tasks=("gsm8k",), few_shot=0), tmp_path)
    with pytest.raises(MissingData, match=r"train.jsonl, from which the 5 examples"):
        ready(Conditions(tasks=("gsm8k",)), tmp_path)
    (folder / "gsm8k/test.jsonl").rename(folder / "gsm8k/train.jsonl")
    with pytest.raises(MissingData, match=r"test.jsonl, which holds the questions"):
        ready(Conditions(tasks=("gsm8k",)), tmp_path)


@pytest.mark.parametrize("line", ['{"question": "broken', '{"other": "fields"}'])
def test_broken_local_data_is_a_sentence(
    offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    folder = tmp_path / "data"
    write(folder / "gsm8k/train.jsonl", [{"question": "a", "answer": "b"}])
    (folder / "gsm8k/test.jsonl").write_text(line + "\n")
    monkeypatch.setenv("PLAYGROUND_DATASETS", str(folder))
    with pytest.raises(MissingData, match="local data of gsm8k cannot be used"):
        ready(Conditions(tasks=("gsm8k",), few_shot=0), tmp_path)


def test_other_data_has_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_DATASETS", str(tmp_path))
    config = {"validation_split": "validation", "training_split": "train"}
    digests = set()
    for number in (1, 2, 1):
        write(tmp_path / "coqa/validation.jsonl", [conversation(number)])
        found = prepare.find("coqa", config, 0)
        assert found is not None and found.without == ("training_split",)
        digests.add(found.digest())
    assert len(digests) == 2
    assert prepare.find("other", config, 0) is None


@pytest.mark.parametrize(
    "wrong", [{"tasks": ()}, {"limit": 0}, {"few_shot": -1}, {"batch_size": 0}, {"multiturn": True}]
)
def test_conditions_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        Conditions(**{"tasks": ("gsm8k",), **wrong})


def test_conditions_as_json() -> None:
    asked = Conditions(tasks=("gsm8k",), limit=5, generation={"temperature": 0.6}, chat_template=True, multiturn=True)
    assert Conditions.from_stored(asked.model_dump(mode="json") | {"of": "another version"}) == asked
    assert asked.generation_arguments() == {"temperature": 0.6, "do_sample": True}


GSM8K = Path(__file__).parents[3] / "shared/data/gsm8k"


@pytest.mark.skipif(not GSM8K.is_dir(), reason="GSM8K is not at ../shared/data/gsm8k")
def test_the_real_gsm8k_by_the_local_route(offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_DATASETS", str(GSM8K.parent))
    prepared = ready(Conditions(tasks=("gsm8k",)), tmp_path)
    (task,) = prepared.load()["tasks"].values()
    assert (len(task.eval_docs), task.get_config("num_fewshot")) == (1319, 5)
    assert task.eval_docs[0]["question"].startswith("Janet")
