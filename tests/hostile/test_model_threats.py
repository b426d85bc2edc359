"""A model is somebody else's bytes: what it asks to run never runs, whichever way it came in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from playground import models
from playground.cli import app
from playground.compare.run import generate
from playground.compare.spec import GenerateSpec
from playground.core import Message, Sampling
from playground.engines import base, subjects
from playground.engines.llamacpp.engine import LlamaCppEngine
from playground.engines.router import Engines
from playground.errors import PlaygroundError, UnsafeModel, UnsupportedModel
from playground.evaluate.form import checked
from playground.evaluate.spec import Conditions, EvaluateSpec
from playground.methods.recipe import Recipe
from playground.models.gguf import read_header
from playground.quantize import job as quantize_job
from playground.quantize.spec import QuantizeSpec
from tests.cases import checkpoints
from tests.engines.calls import never, quiet
from tests.fakes.queue import FakeQueue
from tests.models.conftest import make_folder

ASK: list[Message] = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def repository(tmp_path: Path, canary: Path) -> Path:
    """A model that brings Python code: whoever imports it leaves a file."""
    folder = checkpoints.with_remote_code(make_folder(tmp_path / "repository"))
    (folder / "evil.py").write_text(f"import pathlib\npathlib.Path({str(canary)!r}).touch()\nclass Canary: pass\n")
    return folder


def _generate(model: str) -> None:
    for engine in (row.name for row in base.TABLE if row.name != "remote"):
        with pytest.raises(UnsafeModel, match="auto_map"):
            Engines().load(f"{model}@{engine}", quiet, never)
    (pane,) = generate(
        Engines(), GenerateSpec(variants=[model], prompt="Hi", sampling=Sampling(max_tokens=1))
    ).as_json()["panes"]
    assert pane["error"]["code"] == "unsafe_model"
    raise UnsafeModel(pane["error"]["message"])


def _evaluate(model: str) -> None:
    with pytest.raises(UnsafeModel, match="auto_map"):
        subjects.find([model])
    checked(EvaluateSpec(variants=(model, f"{model}:nf4"), conditions=Conditions(tasks=("gsm8k",))))


def _command_line(model: str) -> None:
    quantize = ["quantize", model, "--method", "rtn", "--scheme", "W4A16"]
    for words in (quantize, ["kld", model, f"{model}:nf4"], ["models", model]):
        found = CliRunner().invoke(app, words)
        assert found.exit_code and "auto_map" in str(found.exception), (words, found.output, found.exception)
    raise UnsafeModel("auto_map, each time")


PATHS: dict[str, Callable[[str], Any]] = {
    "describe": models.variants,
    "resolve": models.resolve,
    "generate on every engine": _generate,
    "quantize": lambda model: quantize_job.start(
        QuantizeSpec(model=model, recipe=Recipe(method="rtn", scheme="W4A16")), FakeQueue().submit
    ),
    "evaluate": _evaluate,
    "command line": _command_line,
}


@pytest.mark.parametrize("path", PATHS)
def test_code_of_a_repository_is_refused_on_every_path(path: str, repository: Path, canary: Path, home: Path) -> None:
    with pytest.raises(UnsafeModel, match="auto_map"):
        PATHS[path](str(repository))
    assert not canary.exists() and not list(home.glob("running/*")), "and nothing was started for it"


# ---- templates


@pytest.fixture
def hostile_gguf(tmp_path: Path, canary: Path) -> Path:
    """A GGUF file with a template that reaches for Python."""
    from playground.quantize import gguf
    from tests.fakes.model import make_tiny

    folder = make_tiny(tmp_path / "tiny", chat=False)
    template = "{{ lipsum.__globals__['os'].popen('touch " + str(canary) + "').read() }}{{ messages[0].content }}"
    (folder / "chat_template.jinja").write_text(template)
    made = tmp_path / "made"
    made.mkdir()
    gguf.make(folder, made, Recipe(method="gguf", scheme="Q8_0"), (), lambda _: None, lambda: False)
    (file,) = made.iterdir()
    assert "lipsum" in read_header(file).fields["tokenizer.chat_template"]
    return file


def test_a_template_in_a_gguf_file_runs_nothing_in_transformers(hostile_gguf: Path, canary: Path) -> None:
    from transformers import AutoTokenizer

    from playground.engines.host.loading import render

    tokenizer = AutoTokenizer.from_pretrained(hostile_gguf.parent, gguf_file=hostile_gguf.name)
    assert "lipsum" in tokenizer.chat_template
    with pytest.raises(UnsupportedModel, match="chat template refused"):
        render(tokenizer, [dict(turn) for turn in ASK], None)
    assert not canary.exists()


def test_a_template_in_a_gguf_file_runs_nothing_in_llamacpp(hostile_gguf: Path, canary: Path, home: Path) -> None:
    def nobody(*_: object) -> Any:
        raise AssertionError("the file's own tokenizer is asked")

    engine = LlamaCppEngine(nobody)
    try:
        with contextlib.suppress(PlaygroundError):  # refused at the load, or rendered without any Python
            engine.load(str(hostile_gguf), quiet, never)
            engine.prompt(str(hostile_gguf), ASK)
    finally:
        engine.close()
    assert not canary.exists()
