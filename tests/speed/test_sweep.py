"""The concurrency sweep: its definitions against closed forms, and how many requests are really at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from playground.core import Finish, Generation, Progress, Token
from playground.errors import EngineDied, EngineError
from playground.speed import bench as speed_bench
from playground.speed.bench import Answer, Prompts, Requests, bench
from playground.speed.spec import BenchTest, Plan
from tests.fakes.engine import FakeEngine, Script

MANY = tuple(f"w{n}" for n in range(16))


def answer(sent: float, *arrived: float, prompt: int = 10) -> Answer:
    return Answer(prompt, sent, arrived, (), 0.1, False, None, False)


def test_definitions_in_closed_form() -> None:
    answers = [answer(1.0, 2.0, 2.5, 3.0), answer(1.5, 4.0, 4.2, 4.4, 4.6, prompt=30), answer(2.0, 2.1, 6.0, prompt=5)]
    found = speed_bench.level(answers)
    assert found.requests == 3
    assert found.output_tok_s == pytest.approx(9 / 5.0), "9 tokens from the first sending (1.0) to the last token (6.0)"
    assert found.total_tok_s == pytest.approx((9 + 45) / 5.0)
    ttft, tpot = [1.0, 2.5, 0.1], [0.5, 0.2, 3.9]
    assert (found.ttft_p50_s, found.tpot_p50_s) == (pytest.approx(1.0), pytest.approx(0.5))
    assert found.ttft_p99_s == pytest.approx(np.percentile(ttft, 99)) == pytest.approx(1.0 + 0.98 * 1.5)
    assert found.tpot_p99_s == pytest.approx(np.percentile(tpot, 99)) == pytest.approx(0.5 + 0.98 * 3.4)


def test_a_clock_that_stands_still_measures_nothing() -> None:
    with pytest.raises(ValueError, match="clock"):
        speed_bench.level([answer(1.0, 1.0, 1.0)])


class Crowd(FakeEngine):
    """Lets every request wait until as many are there as one level has; `most` were there at once."""

    def __init__(self, expected: int) -> None:
        super().__init__({"fake": Script(tokens=MANY, step_s=0.0, first_s=0.0)})
        self.together = threading.Barrier(expected, timeout=10)
        self.inside, self.most = 0, 0

    def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            self.together.wait()
            yield from super().generate(generation)
        finally:
            with self._lock:
                self.inside -= 1


def test_a_level_has_exactly_its_number_of_requests_at_once() -> None:
    crowd = Crowd(4)
    plan = Plan(prompt_tokens=8, output_tokens=4, runs=1, concurrency=(4,))
    (test,) = [test for test in plan.tests() if test.concurrency]
    crowd.loaded.add("fake")
    done: list[int] = []
    found = speed_bench.measure(Requests(crowd), "fake", Prompts(crowd, "fake"), test, done.append)
    assert crowd.most == 4 and found.requests == 8
    assert len(crowd.asked) == 12 == test.steps and done == list(range(1, 13)), "four are the warm-up"
    assert all(request.at_once and request.group and len(request.prompt_ids) == 8 for request in crowd.asked)
    assert len({request.group for request in crowd.asked}) == 2, "the warm-up is over before the level begins"


class Serial(FakeEngine):
    """Serves one at a time, from when two are there, on a clock of its own that moves one second a token."""

    now = 0.0
    both = threading.Barrier(2, timeout=10)

    def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
        self.both.wait()
        with self._lock:
            for index in range(generation.sampling.max_tokens):
                self.now += 1.0
                yield Token(1, "x", "x", index + 1.0, 1.0)
            yield Finish("length", len(generation.prompt_ids), generation.sampling.max_tokens)


def test_waiting_in_the_servers_queue_is_in_the_time_to_the_first_token() -> None:
    serial = Serial({"fake": Script()})
    requests = Requests(serial, clock=lambda: serial.now)
    found = speed_bench.measure(
        requests, "fake", Prompts(serial, "fake"), BenchTest("load", 2, 3, 4, concurrency=2), lambda _: None
    )
    assert found.output_tok_s == pytest.approx(1.0) and found.total_tok_s == pytest.approx((12 + 8) / 12)
    assert found.tpot_p50_s == found.tpot_p99_s == pytest.approx(1.0)
    assert found.ttft_p99_s > 3.0, "the second waited for the three tokens of the first"


def test_rows_of_the_sweep() -> None:
    fake = FakeEngine({"fake": Script(tokens=MANY, step_s=0.001, first_s=0.001)})
    rows = list(bench(fake, ["fake"], Plan(prompt_tokens=8, output_tokens=4, runs=1, concurrency=(1, 2))))
    one, two = rows[2:]
    assert [(row.test, row.concurrency, row.runs) for row in (one, two)] == [
        ("pp8+tg4 @ c1", 1, 4),
        ("pp8+tg4 @ c2", 2, 4),
    ]
    for row in (one, two):
        assert row.clock == "client" and row.tok_s_sd is None and row.mbu is None
        assert row.tok_s_mean and row.total_tok_s == pytest.approx(row.tok_s_mean * 3)
        assert row.ttft_p50_s and row.ttft_p99_s and row.ttft_p50_s <= row.ttft_p99_s
        assert row.tpot_p50_s and row.tpot_p99_s and row.tpot_p50_s <= row.tpot_p99_s


def test_one_failed_request_ends_its_level_and_the_other_requests() -> None:
    fake = FakeEngine({"fake": Script(tokens=MANY, error=EngineDied("It died."), error_at=2)})
    fake.loaded.add("fake")
    requests = Requests(fake)
    with pytest.raises(EngineError, match="It died"):
        speed_bench.measure(
            requests, "fake", Prompts(fake, "fake"), BenchTest("load", 2, 4, 6, concurrency=3), lambda _: None
        )
    assert not fake.active and not requests.stopped, "the measurement itself goes on with the next address"
