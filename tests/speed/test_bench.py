"""The benchmark's arithmetic on a scripted engine."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from playground.core import Finish, Generation, Loaded, Progress, Reported, Token
from playground.errors import Cancelled, ContextOverflow, EngineDied, InvalidRequest, OutOfMemory
from playground.machine import Probe
from playground.speed.bench import Pace, Prompts, Requests, bench
from playground.speed.spec import LOAD, BenchRow, Plan, Stage, as_csv
from tests.fakes.engine import FakeEngine, Script

MANY = tuple(f"w{n}" for n in range(64))
OLD_FIELDS = ["variant", "engine", "test", "tok_s_mean", "tok_s_sd", "runs", "mbu", "weight_bytes"]
PROBE = Probe("cpu", "a processor", 8 * 2**30, 4 * 2**30, "2", 1, 1e12)


def engine(**scripts: Script) -> FakeEngine:
    return FakeEngine({"fake": Script(tokens=MANY, step_s=0.002, first_s=0.004), **scripts})


class Reporting(FakeEngine):
    """An engine that tells no times per token, as vLLM: what it loads is on the client's clock."""

    reported: Reported | None = None

    def load(self, *arguments: Any, **more: Any) -> Loaded:
        return replace(super().load(*arguments, **more), clock="client")

    def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
        for item in super().generate(generation):
            yield replace(item, reported=self.reported) if isinstance(item, Finish) else item


def test_rows_have_the_documented_fields_and_the_right_arithmetic() -> None:
    stages: list[Stage] = []
    fake = engine()
    rows = list(
        bench(fake, ["fake"], Plan(prompt_tokens=32, output_tokens=17, depths=(0,), runs=3), PROBE, stages.append)
    )
    prefill, decode = (row.as_dict() for row in rows)
    assert list(prefill)[:8] == OLD_FIELDS
    assert (prefill["test"], decode["test"], prefill["runs"], decode["runs"]) == ("pp32", "tg17", 3, 3)
    assert prefill["tok_s_mean"] == pytest.approx(32 / 0.004)
    assert decode["tok_s_mean"] == pytest.approx(1 / 0.002)
    assert prefill["mbu"] is None and decode["tok_s_sd"] == pytest.approx(0, abs=1e-6)
    assert decode["bytes_per_token"] == pytest.approx(280e6 + 1024 * 9.5)
    assert decode["mbu"] == pytest.approx((280e6 + 1024 * 9.5) * 500 / 1e12)
    assert (decode["clock"], decode["bandwidth"], decode["kernel"]) == ("engine", 1e12, "fake kernel")
    assert [len(generation.prompt_ids) for generation in fake.asked] == [32] * 4 + [1] * 4, "one warm-up each"
    assert all(generation.sampling.ignore_eos and not generation.at_once for generation in fake.asked)
    assert any("warm-up" in stage.progress.stage for stage in stages)


def test_depth_is_what_the_context_holds_before_decoding() -> None:
    fake = engine()
    rows = list(bench(fake, ["fake"], Plan(prompt_tokens=0, output_tokens=8, depths=(0, 32, 32), runs=1), PROBE))
    assert [(row.test, row.depth) for row in rows] == [("tg8", 0), ("tg8 @ d32", 32)]
    assert [len(generation.prompt_ids) for generation in fake.asked] == [1, 1, 32, 32]
    assert rows[1].bytes_per_token == pytest.approx(280e6 + 1024 * 36)


def test_no_two_prompts_share_a_beginning_so_that_no_cache_can_help() -> None:
    fake = engine()
    prompts = Prompts(fake, "fake")
    taken = [prompts.take(64) for _ in range(8)]
    assert {len(ids) for ids in taken} == {64} and len({ids[:16] for ids in taken}) == 8
    assert {token for ids in taken for token in ids} <= set(fake.prompt("fake", fake.prompts[-1][1]).ids)
    assert "bridge" in str(fake.prompts[-1][1])


def test_a_test_of_length_zero_is_left_out() -> None:
    assert [row.test for row in bench(engine(), ["fake"], Plan(prompt_tokens=0, output_tokens=4, runs=1))] == ["tg4"]
    assert [row.test for row in bench(engine(), ["fake"], Plan(prompt_tokens=4, output_tokens=0, runs=1))] == ["pp4"]


def test_one_repetition_has_no_spread() -> None:
    (row,) = bench(engine(), ["fake"], Plan(prompt_tokens=4, output_tokens=0, runs=1))
    assert row.tok_s_sd is None and row.runs == 1


@pytest.mark.parametrize(
    "lengths",
    [
        {"prompt_tokens": 0, "output_tokens": 0},
        {"prompt_tokens": -1},
        {"runs": 0},
        {"prompt_tokens": 0, "output_tokens": 1},
        {"depths": ()},
        {"depths": (-1,)},
        {"concurrency": (0,)},
        {"concurrency": (2,), "output_tokens": 0},
        {"prompt_tokens": 10**9},
    ],
)
def test_plans_that_measure_nothing_are_refused(lengths: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        Plan(**lengths)


def test_what_the_engine_reports_of_itself_beats_the_clients_clock() -> None:
    fake = Reporting({"fake": Script(tokens=MANY, step_s=0.002, first_s=0.004)})
    plan = Plan(prompt_tokens=32, output_tokens=8, runs=1)
    assert [row.clock for row in bench(fake, ["fake"], plan)] == ["client", "client"]
    fake.reported = Reported("its metrics", prefill_s=0.5, decode_tok_s=77.0)
    prefill, decode = bench(fake, ["fake"], plan)
    assert (prefill.tok_s_mean, prefill.clock) == (pytest.approx(64), "engine")
    assert (decode.tok_s_mean, decode.clock) == (77.0, "engine")


@pytest.mark.parametrize(
    ("probe", "reason"),
    [(None, "not measured"), (replace(PROBE, bandwidth=None), "not measured"), (replace(PROBE, device="cuda"), "cuda")],
)
def test_without_the_bandwidth_of_that_very_device_there_is_no_mbu_but_a_reason(
    probe: Probe | None, reason: str
) -> None:
    (row,) = bench(engine(), ["fake"], Plan(prompt_tokens=0, output_tokens=4, runs=1), probe)
    assert row.mbu is None and row.bandwidth is None and reason in row.mbu_missing
    assert row.bytes_per_token


def test_what_cannot_run_is_a_row_and_the_others_go_on() -> None:
    broken = Script(load_error=OutOfMemory("It does not fit.", hint="Close something."))
    dying = Script(tokens=MANY, error=EngineDied("The engine died."), error_at=2)
    fake = engine(broken=broken, dying=dying)
    rows = list(bench(fake, ["broken", "dying", "fake"], Plan(prompt_tokens=4, output_tokens=4, runs=1)))
    found = [(row.variant, row.test, row.error, row.tok_s_mean is None) for row in rows]
    assert found == [
        ("broken", LOAD, "It does not fit.", True),
        ("dying", "pp4", "", False),
        ("dying", "tg4", "The engine died.", True),
        ("fake", "pp4", "", False),
        ("fake", "tg4", "", False),
    ]
    assert rows[0].hint == "Close something."


def test_a_depth_that_exceeds_the_context_leaves_the_other_tests() -> None:
    class Short(FakeEngine):
        def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
            if len(generation.prompt_ids) > 100:
                raise ContextOverflow("110 tokens exceed 100.")
            yield from super().generate(generation)

    fake = Short({"fake": Script(tokens=MANY, step_s=0.001)})
    rows = list(bench(fake, ["fake"], Plan(prompt_tokens=0, output_tokens=4, depths=(0, 110, 50), runs=1)))
    assert [(row.test, bool(row.error)) for row in rows] == [("tg4", False), ("tg4 @ d110", True), ("tg4 @ d50", False)]


def test_too_few_tokens_are_an_error_not_a_speed() -> None:
    (row,) = bench(engine(fake=Script(tokens=MANY[:3])), ["fake"], Plan(prompt_tokens=0, output_tokens=8, runs=1))
    assert "3 tokens instead of 8" in row.error and "ignore_eos" in row.hint


def test_stop_ends_what_runs_in_the_engine() -> None:
    fake = engine(fake=Script(tokens=MANY, hold_at=2))
    requests = Requests(fake)
    stages: list[str] = []

    def on_stage(stage: Stage) -> None:
        stages.append(stage.test)
        if stage.test == "tg8" and stage.run == 1:
            requests.stop()
        elif stage.test == "tg8":
            fake.go.set()

    with pytest.raises(Cancelled):
        list(bench(fake, ["fake"], Plan(prompt_tokens=0, output_tokens=8), None, on_stage, requests))
    assert requests.stopped and not fake.active and stages.count("tg8") == 2


def test_csv_is_one_line_a_test_and_no_formula() -> None:
    rows = [BenchRow("=cmd()", "fake", "tg4", 12.5, None, 1, error='a "quoted", sentence\nof two lines')]
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert len(read) == 1 and list(read[0])[:8] == OLD_FIELDS
    assert read[0]["variant"] == "'=cmd()" and read[0]["tok_s_mean"] == "12.5" and read[0]["tok_s_sd"] == ""
    assert read[0]["error"] == 'a "quoted", sentence\nof two lines'


def test_pace_knows_how_much_is_left() -> None:
    plan = Plan(prompt_tokens=8, output_tokens=8, depths=(0,), runs=1)  # load, 2 × pp8, 2 × tg8
    pace = Pace(["a", "b"], plan)
    assert pace.total == 10

    def see(address: str, test: str, run: int, now: float) -> None:
        pace.see(Stage(address, test, run, 2, Progress("x")), now)

    see("a", LOAD, 0, 0)
    assert pace.left_s(5) is None
    see("a", "pp8", 0, 10)
    assert pace.left_s(11) is None
    see("a", "pp8", 1, 12)
    # pp8 takes 2 s, tg8 is not known yet and is taken for the same; the next load takes 10 s as the last one did.
    assert pace.left_s(12) == pytest.approx(2 + 2 * 2 + 10 + 2 * 2 + 2 * 2)
    assert pace.left_s(13) == pytest.approx(pace.left_s(12) - 1)  # type: ignore[operator]
    see("a", "tg8", 0, 14)
    see("a", "tg8", 1, 18)
    assert pace.left_s(18) == pytest.approx(4 + 10 + 4 + 8)
    see("b", LOAD, 0, 22)  # the last step of a failed: it is behind
    assert (pace.done, pace.left_s(22)) == (5, pytest.approx(10 + 4 + 8))
