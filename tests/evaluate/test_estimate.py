"""How long an evaluation takes: the arithmetic, what is known of tasks, what earlier runs teach, what is not known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from playground import machine, models
from playground.core import LoadSpec
from playground.estimate import Range, span
from playground.evaluate import estimate, passes
from playground.evaluate.estimate import Expected, expected
from playground.evaluate.passes import Pass
from playground.evaluate.spec import Conditions, DivergenceSpec, EvaluateSpec
from playground.models import bundled
from tests.fakes.evaluation_run import TASKS, VARIANTS
from tests.fakes.evaluation_run import evaluation as stored_run
from tests.fakes.model import make_tiny

PACE = Pass(imports_s=8.0, load_s=2.0, token_s=0.002, step_s=0.05, row_s=0.004)
BOTH = ("smollm2", "smollm2:nf4")
FACTS, MATH = Conditions(tasks=("bundled_facts",), limit=40), Conditions(tasks=("bundled_math",), limit=40)


@pytest.fixture(autouse=True)
def _here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variant has one pace, measured before; nothing is restored or loaded."""
    monkeypatch.setattr(
        models, "resolve", lambda name, *_: LoadSpec(name, f"/models/{name}", "bfloat16", None, 269_000_000)
    )
    monkeypatch.setattr(bundled, "record", lambda _: {})
    monkeypatch.setattr(passes, "cached", lambda _: PACE)
    monkeypatch.setattr(passes, "cached_or_measured", lambda specs: [PACE for _ in specs])


def seconds(found: Expected) -> tuple[float, float]:
    assert found.seconds is not None
    return found.seconds


def of(conditions: Conditions, n: int, variants: Sequence[str] = BOTH, **more: Any) -> Expected:
    spec = EvaluateSpec(variants=tuple(variants), conditions=conditions, **more)
    return expected(spec, [(conditions.tasks[0], n)], measure=False)


def test_more_of_anything_takes_longer() -> None:
    base = of(FACTS, 40)
    longer = [
        of(FACTS, 80), of(FACTS, 40, [*BOTH, "smollm2:int8"]), of(MATH, 40), of(FACTS, 40, speed=True),
        of(FACTS, 40, divergence={"text": "bundled", "tokens": 2048}),
    ]  # fmt: skip
    for other in longer:
        assert other.middle > base.middle and seconds(other)[1] > seconds(base)[1]
    low, high = seconds(base)
    assert low < base.middle < high
    busy = expected(EvaluateSpec(variants=BOTH, conditions=FACTS), [("bundled_facts", 40)], measure=False, busy=1.0)
    assert seconds(busy)[1] == pytest.approx(2 * high) and seconds(busy)[0] == low


def test_the_parts_add_up() -> None:
    """A divergence: starting, two models that load, and each token read by both and by reference and noise floor."""
    found = expected(DivergenceSpec(variants=BOTH, tokens=1000), (), measure=False)
    reading = 2 * 1000 * 2 * PACE.token_s + 3 * PACE.load_s
    middle = estimate.STARTUP_FACTOR * PACE.imports_s + reading * (1 + estimate.COMPARISON_FACTOR) / 2
    assert found.middle == pytest.approx(middle)


def test_an_answer_lies_between_a_short_one_and_its_budget() -> None:
    size = estimate.size("bundled_math", MATH)
    assert size and size.answer == (pytest.approx(0.4 * 96), 96) and not size.seen
    assert estimate.budget("bundled_math", MATH.changed(generation={"max_gen_toks": 20})) == 20
    fewer = estimate.size("bundled_math", MATH.changed(few_shot=0))
    assert fewer and fewer.prompt * 3.5 < size.prompt, "three examples stand before each question"
    facts = estimate.size("bundled_facts", FACTS)
    assert facts and facts.answer == (0.0, 0.0)
    said = "is not known before"
    assert any(said in one for one in of(MATH, 40).rests_on) and not any(said in one for one in of(FACTS, 40).rests_on)


def test_a_task_of_a_local_folder_is_known_and_one_of_the_hub_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conditions = Conditions(tasks=("gsm8k",), limit=10)
    unknown = of(conditions, 10)
    assert "gsm8k" in unknown.missing[0] and seconds(unknown)[0] > 0
    folder = tmp_path / "gsm8k"
    folder.mkdir()
    (folder / "test.jsonl").write_text(json.dumps({"question": "q" * 200, "answer": "a" * 100}) + "\n")
    monkeypatch.setenv("PLAYGROUND_DATASETS", str(tmp_path))
    size = estimate.size("gsm8k", conditions)
    assert size and size.prompt == 300 * 6, "the question and five examples"
    assert of(conditions, 10).missing == ()


def test_earlier_runs_correct_it_and_say_how_much_a_task_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"cores": machine.cores(), "memory": machine.memory().total}
    before = of(FACTS, 40)
    run = stored_run(VARIANTS[:2], TASKS[2:3], files=False, settings={"limit": 40}, device=here)
    run.result |= {
        "estimate": {"seconds": [1, 2], "middle": before.middle, "missing": [], "resumed": False},
        "seconds": {"total": 3 * before.middle},
        "sizes": {"bundled_facts": {"prompt": 4000.0, "answer": [0.0, 0.0]}},
    }
    monkeypatch.setattr(estimate, "_read", lambda _: run)
    after = of(FACTS, 40)
    assert "Corrected by what 1 earlier evaluation took here." in after.rests_on
    low, high = seconds(after)
    assert low < 3 * after.middle < high and low > after.middle
    assert after.middle > before.middle, "its prompts were longer than the file says"
    run.result["estimate"]["resumed"] = True
    assert not any("Corrected" in one for one in of(FACTS, 40).rests_on), "a part says nothing of the whole"
    run.device = here | {"cores": 999}
    monkeypatch.undo()


def test_what_cannot_be_known_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert of(FACTS, 40, ["smollm2@vllm", "smollm2:nf4@vllm"]).seconds is None
    some = of(FACTS, 40, ["smollm2", "smollm2@vllm"])
    assert some.seconds and "smollm2@vllm" in some.missing[0]
    monkeypatch.setattr(passes, "cached", lambda _: None)
    assert of(FACTS, 40) == Expected(None, measures=True)
    monkeypatch.setattr(passes, "cached_or_measured", lambda specs: [PACE, None])
    half = expected(EvaluateSpec(variants=BOTH, conditions=FACTS), [("bundled_facts", 40)], measure=True)
    assert half.seconds and "smollm2:nf4 could not be measured" in half.missing[0]
    monkeypatch.setattr(bundled, "record", lambda _: None)
    assert of(FACTS, 40).measures, "the bundled model is restored when somebody measures, not while typing"


@pytest.mark.filterwarnings("ignore")
def test_slices_are_measured_in_a_child_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = make_tiny(tmp_path / "tiny", context=1024)
    spec = LoadSpec("tiny", str(folder), "bfloat16", None, 1000)
    broken = replace(spec, id="broken", path=str(tmp_path / "home"))
    found, none = passes.cached_or_measured([spec, broken])
    assert none is None and found is not None
    assert min(found.imports_s, found.load_s, found.token_s, found.step_s) > 0 and found.row_s >= 0
    assert found.step(8) >= found.step(1) == found.step_s
    monkeypatch.setattr(passes, "_measure_in_child", lambda _: pytest.fail("it was measured before"))
    assert passes.cached_or_measured([spec]) == [found]
    assert passes.cached(replace(spec, quantize="nf4")) is None, "another form has another pace"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ((0.2, 0.9), "0.2 to 0.9 s"),
        ((4.2, 4.4), "4 s"),
        ((20, 95), "20 to 95 s"),
        ((95, 130), "1.6 to 2.2 min"),
        ((3000, 5399), "50 to 90 min"),
        ((3600, 9000), "1 to 2.5 h"),
    ],
)
def test_a_range_is_said_as_precisely_as_it_is(seconds: Range, said: str) -> None:
    assert span(seconds) == said
