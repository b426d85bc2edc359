"""The engine of a ZeroGPU Space: the host's numbers without the host's process, one lent GPU per call."""

from __future__ import annotations

import sys
import threading
from contextvars import copy_context
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from playground.compare.answer import Answer
from playground.compare.run import Comparison, PaneRequest
from playground.core import Finish, ForcedTokens, Forcing, Generation, Message, Progress, Sampling, Token
from playground.engines import base
from playground.engines.router import Engines
from playground.engines.transformers import TransformersEngine
from playground.engines.zerogpu.engine import ZeroGpuEngine
from playground.errors import Cancelled, ContextOverflow, EngineUnavailable, OutOfMemory, UnknownVariant
from playground.jobs.room import before_start
from playground.store.schema import Job
from tests.engines.calls import eventually, load, never, quiet, run
from tests.fakes import spaces
from tests.fakes.catalog import fake_variant
from tests.fakes.engine import FakeEngine
from tests.fakes.model import make_tiny
from tests.fakes.spaces import FakeSpaces, PlatformError

CHAT: tuple[Message, ...] = ({"role": "user", "content": "What is the bridge?"},)
DRAWN = Sampling(max_tokens=24, temperature=0.9, top_k=40, top_p=0.95, repetition_penalty=1.1, seed=7, ignore_eos=True)


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> FakeSpaces:
    from playground.engines.zerogpu import work as zerogpu_work

    monkeypatch.setattr(zerogpu_work, "_residents", {})
    return spaces.install(monkeypatch)


@pytest.fixture
def engine(platform: FakeSpaces) -> ZeroGpuEngine:
    return ZeroGpuEngine()


def tokens_of(engine: Any, request: Generation) -> list[Token]:
    return run(engine, request)[0]


@pytest.mark.parametrize("suffix", ["fp32", "nf4"])
def test_ids_texts_and_probabilities_are_the_hosts(
    host: TransformersEngine, engine: ZeroGpuEngine, platform: FakeSpaces, tiny: Path, suffix: str
) -> None:
    name = load(host, f"{tiny}:{suffix}")
    assert load(engine, name) == name  # type: ignore[arg-type]
    prompt = engine.prompt(name, CHAT)
    assert prompt == host.prompt(name, CHAT) and engine.prompt(name, "river") == host.prompt(name, "river")
    for sampling in (DRAWN, replace(DRAWN, temperature=0.0)):
        request = Generation(name, prompt.ids, sampling, request_id="one")
        (here, finish), (there, expected) = run(engine, request), run(host, request)  # type: ignore[arg-type]
        assert [(t.id, t.text, t.piece, t.top) for t in here] == [(t.id, t.text, t.piece, t.top) for t in there]
        assert (finish.reason, finish.output_tokens, finish.text) == (
            expected.reason, expected.output_tokens, expected.text,
        )  # fmt: skip
        assert all(a.time_s < b.time_s for a, b in pairwise(here))
    assert len(platform.wrapped) == 1, "one function: the platform gives each wrapped one a process of its own"
    assert len(platform.calls) == 3 and all(call.over.is_set() for call in platform.calls)


def test_what_was_forced_is_what_the_host_says(
    host: TransformersEngine, engine: ZeroGpuEngine, tiny: Path, tmp_path: Path
) -> None:
    names = [f"{tiny}:fp32", f"{make_tiny(tmp_path / 'other', seed=1)}:fp32"]
    for name in names:
        assert load(engine, name) == load(host, name)  # type: ignore[arg-type]
    request = Forcing(names[0], (names[1],), tuple(range(10, 31)), tuple(range(40, 100)), request_id="forced")
    found = [[item for item in one.force(request) if isinstance(item, ForcedTokens)] for one in (engine, host)]
    here, there = ([token for item in items for token in item.tokens] for items in found)
    assert len(here) == 60 and [t.top for t in here] == [t.top for t in there]
    np.testing.assert_allclose([t.kld for t in here], [t.kld for t in there])


def test_a_fresh_process_loads_again_what_a_call_needs(
    engine: ZeroGpuEngine, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from playground.engines.zerogpu import work as zerogpu_work

    name = load(engine, f"{tiny}:fp32")  # type: ignore[arg-type]
    request = Generation(name, (5, 6, 7), replace(DRAWN, temperature=0.0))
    before = tokens_of(engine, request)
    monkeypatch.setattr(zerogpu_work, "_residents", {})
    items = list(engine.generate(request))
    assert items[0] == zerogpu_work.LOADING, "said, so that nobody takes it for a slow first token"
    after = [item for item in items if isinstance(item, Token)]
    assert [token.id for token in after] == [token.id for token in before]
    assert after[0].time_s < 5 and items[-1] == replace(items[-1], reason="length")  # type: ignore[arg-type]


def test_the_clock_stands_still_while_the_reader_takes_his_time(engine: ZeroGpuEngine, tiny: Path) -> None:
    from playground.engines.zerogpu.work import work

    load(engine, f"{tiny}:fp32")  # type: ignore[arg-type]
    spec = engine._held[f"{tiny}:fp32"].spec
    seen: list[Token] = []
    for item in work((spec,), Generation(spec.id, (5, 6, 7), replace(DRAWN, max_tokens=6))):
        if isinstance(item, Token):
            seen.append(item)
            threading.Event().wait(0.2)
        elif isinstance(item, Finish):
            assert item.waited_s >= 0.2 * 5
    steps = sum(token.step_s for token in seen)
    assert seen[-1].time_s < steps + 0.5, "a second of the reader's is not in it"


def test_abort_ends_it_within_a_step_and_the_gpu_is_given_back(
    engine: ZeroGpuEngine, platform: FakeSpaces, tiny: Path
) -> None:
    name = load(engine, f"{tiny}:fp32")  # type: ignore[arg-type]
    seen: list[Any] = []
    for item in engine.generate(Generation(name, (5, 6, 7), Sampling(max_tokens=400, ignore_eos=True), request_id="a")):
        seen.append(item)
        if len(seen) == 3:
            engine.abort("a")
    assert seen[-1] == Finish("abort", 3, 3) and len(seen) == 4
    assert platform.calls[-1].closed and platform.calls[-1].over.is_set()
    assert engine.health()["active"] == 0


def test_one_gpu_at_a_time_and_the_second_says_that_it_waits(
    engine: ZeroGpuEngine, platform: FakeSpaces, tiny: Path
) -> None:
    name = load(engine, f"{tiny}:fp32")  # type: ignore[arg-type]
    first = iter(engine.generate(Generation(name, (5, 6), replace(DRAWN, max_tokens=300), request_id="1")))
    assert isinstance(next(first), Token)
    second: list[Any] = []
    request = Generation(name, (5, 6), DRAWN, request_id="2")
    waiting = threading.Thread(target=lambda: second.extend(engine.generate(request)), daemon=True)
    waiting.start()
    eventually(lambda: engine.health()["active"] == 2, 30, "the second is there")
    third = iter(engine.generate(replace(request, request_id="3")))
    assert next(third) == Progress("Waiting for the GPU")
    engine.abort("3")
    with pytest.raises(Cancelled):
        next(third)
    first.close()  # type: ignore[attr-defined]
    waiting.join(60)
    assert isinstance(second[-1], Finish) and second[-1].reason == "length"
    assert platform.most == 1


def test_errors_keep_their_type_and_the_platforms_words_are_passed_on(
    engine: ZeroGpuEngine, platform: FakeSpaces, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from playground.engines.zerogpu import work as zerogpu_work

    name = load(engine, f"{tiny}:fp32")  # type: ignore[arg-type]
    with pytest.raises(UnknownVariant):
        list(engine.generate(Generation("nothing", (5,))))
    with pytest.raises(ContextOverflow, match="512"):
        list(engine.generate(Generation(name, (5,), Sampling(max_tokens=4000))))
    for headroom, error, words in ((1 << 60, OutOfMemory, "free"), ("?", EngineUnavailable, "worker error: TypeError")):
        with monkeypatch.context() as patch:
            patch.setattr(zerogpu_work, "_residents", {})
            patch.setattr(zerogpu_work, "HEADROOM", headroom)
            with pytest.raises(error, match=words):
                list(engine.generate(Generation(name, (5,), DRAWN)))
    platform.refusal = PlatformError("60 s requested vs. 12 s left.", "ZeroGPU quota exceeded")
    with pytest.raises(EngineUnavailable, match=r"60 s requested vs\. 12 s left"):
        list(engine.generate(Generation(name, (5,), DRAWN)))
    platform.refusal = None
    assert len(tokens_of(engine, Generation(name, (5,), DRAWN))) == 24, "the lock was given back every time"


def test_seconds_follow_the_work_up_to_the_limit(
    engine: ZeroGpuEngine, platform: FakeSpaces, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = load(engine, f"{tiny}:fp32")  # type: ignore[arg-type]
    list(engine.generate(Generation(name, (5,), Sampling(max_tokens=400, stop=("e",)))))
    monkeypatch.setenv("PLAYGROUND_ZEROGPU_SECONDS", "15")
    list(engine.generate(Generation(name, (5,), Sampling(max_tokens=400, stop=("e",)))))
    assert [call.seconds for call in platform.calls] == [10, 30, 15]


def test_a_comparison_asks_in_the_visitors_name_and_starts_no_process(
    platform: FakeSpaces, tiny: Path, home: Path
) -> None:
    before = psutil.Process().children(recursive=True)
    engines = Engines()
    assert isinstance(engines.transformers, ZeroGpuEngine)
    engines.start()
    panes = [PaneRequest(f"{tiny}:{suffix}", messages=CHAT) for suffix in ("fp32", "bf16")]
    results = [Answer(pane.variant) for pane in panes]

    def ask() -> None:
        spaces.visitor.set("ada")
        for event in Comparison(engines, panes, Sampling(max_tokens=8, ignore_eos=True)).events():
            results[event.pane].add(event.item)

    copy_context().run(ask)
    assert [len(result.tokens) for result in results] == [8, 8], [result.error for result in results]
    assert {call.visitor for call in platform.calls} == {"ada"}, "else the seconds are the Space's, and soon spent"
    engines.close()
    # Reading a checkpoint's header in a child with limits is over long before; no engine is there.
    assert psutil.Process().children(recursive=True) == before


def test_engines_with_a_process_of_their_own_say_why_not(platform: FakeSpaces, home: Path) -> None:
    both = replace(fake_variant("fake"), engines=("vllm", "llamacpp", "transformers"))
    found = {option.engine: option for option in base.options(both)}
    assert base.default(both) == "transformers"
    assert "one process" in found["vllm"].why and "one process" in found["llamacpp"].why
    engines = Engines()
    for name in ("vllm", "llamacpp"):
        with pytest.raises(EngineUnavailable, match="one process"):
            engines.engine(name)
    engines.engine("remote").close()


def test_a_job_says_that_it_is_a_second_process(platform: FakeSpaces) -> None:
    job = Job(id="1", kind="evaluate", title="t", spec={}, device="cpu", state="queued", created_at=0.0)
    with pytest.raises(EngineUnavailable, match="a job is a second one"):
        before_start(FakeEngine())(job)


def test_without_the_platforms_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spaces", None)
    with pytest.raises(EngineUnavailable, match="`spaces` is not installed"):
        ZeroGpuEngine()


def test_the_bundled_model_answers_as_in_the_host(host: TransformersEngine, platform: FakeSpaces) -> None:
    engine = ZeroGpuEngine()
    for name in ("smollm2", "smollm2:nf4"):
        load(host, name)
        assert engine.load(name, quiet, never).device == "cpu"
        prompt = engine.prompt(name, ({"role": "user", "content": "What is gravity?"},))
        request = Generation(name, prompt.ids, Sampling(max_tokens=12))
        ids = [[token.id for token in tokens_of(one, request)] for one in (engine, host)]
        assert ids[0] == ids[1] and len(ids[0]) == 12
