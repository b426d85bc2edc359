"""The bundled tasks through lm-eval itself: found, offline, wherever they lie, and scored as their form is scored."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from playground.evaluate.bundled import GROUP, TASKS, include_path
from playground.evaluate.spec import Conditions
from tests.evaluate.conftest import Ask
from tests.fakes.model import make_tiny

pytestmark = pytest.mark.filterwarnings("ignore")  # lm-eval's, transformers' and datasets' own
FILTERS = ("strict-match", "flexible-extract")  # as GSM8K's
Scores = dict[str, dict[str, Any]]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a bundled task asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def evaluate(model: Any, folder: Path, limit: int | None = None, **more: Any) -> dict[str, Any]:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    found: dict[str, Any] = simple_evaluate(
        model=model,
        tasks=[GROUP],
        task_manager=TaskManager(include_defaults=False, include_path=str(folder)),
        limit=limit,
        bootstrap_iters=0,
        **more,
    )
    return found


def oracle(right: bool) -> Any:
    """A language model that has seen every answer, and says it or anything but it."""
    from lm_eval.api.model import LM

    class Oracle(LM):
        def generate_until(self, requests: list[Any]) -> list[str]:
            return [self.said(request) for request in requests]

        def said(self, request: Any) -> str:
            if not right:
                return " I cannot tell.\n\n"
            return (
                f" {request.doc['answer'] if 'template' in request.doc else request.doc['answers']['input_text'][-1]}"
            )

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            return [(-1.0, True) if self.gold(one) == right else (-9.0, False) for one in requests]

        def gold(self, request: Any) -> bool:
            doc, said = request.doc, request.args[1].strip()
            return bool(said == (doc["choices"][doc["answer"]] if "choices" in doc else doc["text"].split(" ")[-1]))

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            raise NotImplementedError

    return Oracle()


@pytest.fixture(scope="module")
def known() -> Scores:
    found: Scores = evaluate(oracle(right=True), include_path())["results"]
    return found


def test_who_knows_everything_has_full_marks(known: Scores) -> None:
    assert set(known) == {GROUP, *TASKS}
    assert (
        known["bundled_math"]["exact_match,strict-match"] == known["bundled_math"]["exact_match,flexible-extract"] == 1
    )
    assert known["bundled_facts"]["acc,none"] == known["bundled_cloze"]["acc,none"] == 1
    assert known["bundled_cloze"]["perplexity,none"] == pytest.approx(2.71828, rel=1e-4)


def test_reading_leaves_one_accepted_answer_out_as_coqa_does(known: Scores) -> None:
    """So the first accepted answer has full marks only where it is the only one."""
    score = known["bundled_reading"]
    assert 0.6 < score["em,none"] < score["f1,none"] < 1


def test_who_knows_nothing_has_none() -> None:
    found = evaluate(oracle(right=False), include_path(), limit=24)["results"]
    assert (
        found["bundled_math"]["exact_match,strict-match"] == found["bundled_math"]["exact_match,flexible-extract"] == 0
    )
    assert found["bundled_facts"]["acc,none"] == found["bundled_cloze"]["acc,none"] == 0
    assert found["bundled_reading"]["em,none"] == 0 and found["bundled_reading"]["f1,none"] < 0.02


def test_a_tiny_model_answers_from_a_copy_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "site packages/elsewhere"
    shutil.copytree(include_path(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    tiny = make_tiny(tmp_path / "tiny", context=4096)
    found = evaluate("hf", folder, 2, model_args={"pretrained": str(tiny)}, device="cpu", batch_size=2)
    assert set(found["samples"]) == set(TASKS)
    assert {name: n["effective"] for name, n in found["n-samples"].items()} == dict.fromkeys(TASKS, 2)
    math = found["samples"]["bundled_math"][0]["arguments"][0][0]
    assert math.count("Question:") == 4 and math.count("####") == 3 and math.endswith("\nAnswer:")


def test_documents_carry_what_they_share() -> None:
    from lm_eval.tasks import TaskManager

    loaded = TaskManager(include_defaults=False, include_path=str(include_path())).load([GROUP])
    documents = {name: list(task.test_docs()) for name, task in loaded["tasks"].items()}
    ids = [doc["id"] for docs in documents.values() for doc in docs]
    assert len(set(ids)) == len(ids)
    assert len({doc["cluster"] for doc in documents["bundled_reading"]}) >= 25
    assert len({doc["cluster"] for doc in documents["bundled_math"]}) >= 50
    for doc in documents["bundled_reading"]:
        assert doc["id"] == f"{doc['cluster']}-{len(doc['questions']['input_text'])}"
        assert len(doc["answers"]["input_text"]) == len(doc["questions"]["input_text"])


def test_problems_of_one_template_are_one_cluster(ask: Ask) -> None:
    conditions = Conditions(tasks=("bundled_math",), limit=2, few_shot=0, generation={"max_gen_toks": 4})
    first, second = ask(conditions)["bundled_math"].items
    assert first.cluster and second.cluster and first.cluster != second.cluster


def test_every_title_says_bundled() -> None:
    import yaml

    for file in include_path().glob("*.yaml"):
        titles = [line for line in file.read_text().splitlines() if line.startswith(("task_alias", "group_alias"))]
        assert len(titles) == 1 and "bundled" in titles[0].lower(), file.name
    assert yaml.safe_load((include_path() / "bundled.yaml").read_text())["task"] == list(TASKS)


def test_importing_them_loads_neither_lm_eval_nor_datasets() -> None:
    code = (
        "import sys, playground.evaluate.bundled; sys.exit(', '.join({'lm_eval', 'datasets'} & set(sys.modules)) or 0)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert child.returncode == 0, child.stderr
