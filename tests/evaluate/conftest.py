"""A tiny model, and tasks of lm-eval over a few local documents: nothing here asks the hub."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from playground.core import Progress
from playground.engines import subjects
from playground.evaluate import prepare, tasks
from playground.evaluate.harness import Answers, answer
from playground.evaluate.prepare import Prepared
from playground.evaluate.spec import Conditions
from tests.fakes.model import make_tiny

NAMES = ("Ann", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ida", "Jan", "Kim", "Leo", "Mia", "Ned")


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def problem(n: int) -> dict[str, Any]:
    """One of GSM8K's form, each of another length."""
    name, more = NAMES[n % len(NAMES)], "and then some more " * (n % 5)
    return {"question": f"{name} has {n} apples {more}and buys {n + 2}. How many?", "answer": f"Sum.\n#### {2 * n + 2}"}


def choice(n: int) -> dict[str, Any]:
    """One of ARC's form."""
    texts = [f"the bridge {n}", "the river", f"gravity of the {'long ' * (n % 3)}river", "it"]
    choices = {"text": texts[: 3 + n % 2], "label": list("ABCD")[: 3 + n % 2]}
    return {"id": str(n), "question": f"What is {n} near?", "choices": choices, "answerKey": "ABC"[n % 3]}


def conversation(n: int) -> dict[str, Any]:
    """One of CoQA's form, as in EleutherAI/coqa."""

    def turns(*texts: str) -> dict[str, Any]:
        return {"input_text": list(texts), "turn_id": [1, 2]}

    name = NAMES[n % len(NAMES)]
    return {
        "id": str(n),
        "story": f"{name} stood on the bridge.",
        "questions": turns("Who stood?", "Where?"),
        "answers": turns(name, "on the bridge"),
        "additional_answers": {"0": turns(name, "the bridge"), "1": turns(f"It was {name}", "bridge")},
    }


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("tiny"), context=1024)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documented layout."""
    folder = tmp_path_factory.mktemp("datasets")
    write(folder / "gsm8k/test.jsonl", [problem(n) for n in range(14)])
    write(folder / "gsm8k/train.jsonl", [problem(n) for n in range(100, 108)])
    write(folder / "arc_easy/test.jsonl", [choice(n) for n in range(13)])
    write(folder / "coqa/validation.jsonl", [conversation(n) for n in range(6)])
    write(folder / "lambada_openai/test.jsonl", [{"text": f"the {name} near the river"} for name in NAMES[:5]])
    return folder


@pytest.fixture
def offline(home: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with local data and the beginning of an index, and no way to the hub."""
    monkeypatch.setenv("PLAYGROUND_OFFLINE", "1")
    monkeypatch.setenv("PLAYGROUND_DATASETS", str(data))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for module in ("huggingface_hub.constants", "datasets.config"):
        monkeypatch.setattr(f"{module}.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(home / "datasets"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", home / "datasets")
    index(
        home,
        arc_easy="arc/arc_easy.yaml",
        arc_challenge="arc/arc_challenge.yaml",
        lambada_openai="lambada/lambada_openai.yaml",
        wikitext="wikitext/wikitext.yaml",
        humaneval="humaneval/humaneval.yaml",
    )
    return home


def index(home: Path, **places: str) -> None:
    """An index of these tasks alone, where the real one takes ten seconds to build."""
    rows = {
        name: {"yaml": place, "members": [], "group": False, "unsafe": name == "humaneval"}
        for name, place in places.items()
    }
    rows["ai2_arc"] = {"yaml": None, "members": ["arc_challenge", "arc_easy"], "group": True, "unsafe": False}
    file = home / "cache" / f"lm-eval-tasks-{importlib.metadata.version('lm-eval')}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"root": str(tasks.package()), "rows": rows}))


@pytest.fixture(scope="session")
def loaded(tiny: Path) -> Callable[[Conditions], Any]:
    """The tiny model as a language model of lm-eval, under any conditions, loaded once."""
    from torch import device

    from playground.engines.host.loading import DeviceMemory, load
    from playground.evaluate.local_model import LocalModel

    (subject,) = subjects.find([str(tiny)])
    assert subject.spec is not None
    resident = load(subject.spec, DeviceMemory(device("cpu")), lambda _: None)
    return lambda conditions: LocalModel(resident, conditions.batch_size, conditions.strip_thinking)


Ask = Callable[..., dict[str, Answers]]


@pytest.fixture
def ask(offline: Path, loaded: Callable[[Conditions], Any], tmp_path: Path) -> Ask:
    """Answers of the tiny model; `folder` keeps them, a new one unless it is given."""

    def asked(conditions: Conditions, folder: Path | None = None, lm: Any = None) -> dict[str, Answers]:
        place = folder or tmp_path / f"answers-{len(list(tmp_path.glob('answers-*')))}"
        place.mkdir(exist_ok=True)
        return answer(lm or loaded(conditions), ready(conditions, tmp_path), place, "tiny", lambda _: None)

    return asked


def ready(conditions: Conditions, tmp_path: Path, told: list[Progress] | None = None) -> Prepared:
    return prepare.prepare(conditions, tmp_path / "tasks", (told if told is not None else []).append)
