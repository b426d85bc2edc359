"""The benchmark's arithmetic on a scripted engine."""

from __future__ import annotations

import pytest

from playground.bench import bench, prompt_ids
from playground.core import Progress
from playground.errors import InvalidRequest
from tests.fakes.engine import FakeEngine, Script

MANY = tuple(f"w{n}" for n in range(64))


def engine() -> FakeEngine:
    return FakeEngine({"fake": Script(tokens=MANY, step_s=0.002, first_s=0.004)})


def test_rows_have_the_documented_fields_and_the_right_arithmetic() -> None:
    stages: list[Progress] = []
    fake = engine()
    bandwidth = 1e12
    rows = list(bench(fake, ["fake"], 32, 17, 3, bandwidth, lambda _v, progress: stages.append(progress)))
    prefill, decode = (row.as_dict() for row in rows)
    assert set(prefill) == {"variant", "engine", "test", "tok_s_mean", "tok_s_sd", "runs", "mbu", "weight_bytes"}
    assert (prefill["test"], decode["test"], prefill["runs"], decode["runs"]) == ("pp32", "tg17", 3, 3)
    assert prefill["tok_s_mean"] == pytest.approx(32 / 0.004)
    assert decode["tok_s_mean"] == pytest.approx(1 / 0.002)
    assert prefill["mbu"] is None and decode["tok_s_sd"] == pytest.approx(0, abs=1e-6)
    assert decode["mbu"] == pytest.approx((280e6 + 1024 * 9.5) * 500 / bandwidth)
    assert [len(generation.prompt_ids) for generation in fake.asked] == [32] * 4 + [1] * 4, "one warm-up each"
    assert all(generation.sampling.ignore_eos for generation in fake.asked)
    assert any("warm-up" in progress.stage for progress in stages)


def test_a_test_of_length_zero_is_left_out() -> None:
    assert [row.test for row in bench(engine(), ["fake"], 0, 4, 1)] == ["tg4"]
    assert [row.test for row in bench(engine(), ["fake"], 4, 0, 1)] == ["pp4"]


@pytest.mark.parametrize(("p", "n", "r"), [(0, 0, 1), (-1, 4, 1), (4, 4, 0), (0, 1, 1)])
def test_lengths_that_measure_nothing_are_refused(p: int, n: int, r: int) -> None:
    with pytest.raises(InvalidRequest):
        list(bench(engine(), ["fake"], p, n, r))


def test_prompts_are_prose_cut_to_length() -> None:
    fake = engine()
    assert len(prompt_ids(fake, "fake", 300)) == 300
    assert "bridge" in str(fake.prompts[-1][1])
