"""The decode thread's memory policy: what is unloaded for a load, what never is, and what the refusal says."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from playground.core import Finish, Generation, LoadSpec, Progress, Sampling, Token
from playground.engines.host.loading import DeviceMemory
from playground.engines.host.scheduler import DecodeThread
from playground.errors import BrokenCheckpoint, EngineError, OutOfMemory, UnsupportedModel


class TwoModels(DeviceMemory):
    """A device on which two variants fit, whatever they weigh."""

    thread: DecodeThread

    def free(self) -> int:
        return 0 if len(self.thread.loaded()) >= 2 else 10**12


@pytest.fixture
def thread() -> Iterator[DecodeThread]:
    memory = TwoModels(torch.device("cpu"))
    memory.thread = DecodeThread(memory)
    memory.thread.start()
    yield memory.thread
    memory.thread.close()
    memory.thread.join(5)


def load(thread: DecodeThread, path: Path, name: str, keep: tuple[str, ...] = ()) -> list[str]:
    said: list[str] = []
    thread.load(LoadSpec(name, str(path)), keep, lambda p: said.append(p.stage)).result(120)
    return said


def ids(thread: DecodeThread) -> list[str]:
    return [facts.id for facts in thread.loaded()]


def test_the_least_recently_used_idle_variant_makes_room(thread: DecodeThread, tiny: Path) -> None:
    load(thread, tiny, "a")
    load(thread, tiny, "b")
    load(thread, tiny, "a")  # used again: b is now the older one
    said = load(thread, tiny, "c")
    assert ids(thread) == ["a", "c"]
    assert "Unloading b to make room" in said


def test_what_the_comparison_needs_is_never_unloaded_for_it(thread: DecodeThread, tiny: Path) -> None:
    load(thread, tiny, "a")
    load(thread, tiny, "b")
    with pytest.raises(OutOfMemory, match=r"c needs about .*0 MB is free.*Remove a pane \(a, b in use\)"):
        load(thread, tiny, "c", keep=("a", "b"))
    assert ids(thread) == ["a", "b"]


def test_a_load_lets_running_generations_finish_first(thread: DecodeThread, tiny: Path) -> None:
    load(thread, tiny, "a")
    items: list[object] = []
    thread.submit(Generation("a", (5, 6, 7), Sampling(max_tokens=60, ignore_eos=True)), items.append)
    said: list[str] = []
    at_load: list[int] = []

    def on_progress(progress: Progress) -> None:
        said.append(progress.stage)
        at_load.append(sum(isinstance(item, Finish) for item in items))

    thread.load(LoadSpec("b", str(tiny)), (), on_progress).result(120)
    assert said[0] == "Waiting for running generations"
    assert at_load[said.index("Reading the tokenizer")] == 1


@pytest.mark.parametrize("error", [IndexError, TypeError, ValueError, AttributeError, AssertionError, RuntimeError])
def test_a_failing_forward_pass_ends_its_own_generation_alone(
    thread: DecodeThread, tiny: Path, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(thread, tiny, "a")
    load(thread, tiny, "b")
    alone = answer(thread, "a")
    broken = thread.resident("b").model
    forward = broken.forward

    @functools.wraps(forward)
    def fail(*args: Any, **kwargs: Any) -> Any:
        if kwargs["input_ids"].shape[1] == 1:
            raise error("out of luck")
        return forward(*args, **kwargs)

    monkeypatch.setattr(broken, "forward", fail)
    items: list[object] = []
    thread.submit(Generation("b", (5, 6, 7), Sampling(max_tokens=4, ignore_eos=True)), items.append)
    assert answer(thread, "a") == alone, "the one beside it goes on"
    assert isinstance(items[-1], EngineError) and "out of luck" in str(items[-1])
    assert sum(isinstance(item, Token) for item in items) == 1, "what was written before is kept"
    monkeypatch.undo()
    assert answer(thread, "b") == alone


def test_logits_that_are_not_finite_end_a_generation_with_the_reason(thread: DecodeThread, tiny: Path) -> None:
    load(thread, tiny, "a")
    with torch.no_grad():
        thread.resident("a").model.lm_head.weight[3] = float("nan")
    for sampling in (Sampling(max_tokens=4), Sampling(max_tokens=4, temperature=0.8)):
        items: list[object] = []
        ended = threading.Event()
        thread.submit(Generation("a", (5, 6, 7), sampling), told(items, ended))
        assert ended.wait(60)
        assert isinstance(items[-1], EngineError) and "NaN" in str(items[-1])
        assert not any(isinstance(item, Token) for item in items)


def test_a_decode_thread_that_dies_says_so() -> None:
    class Lost(DeviceMemory):
        def settle(self) -> None:
            raise OSError("the device is gone")

    died = threading.Event()
    thread = DecodeThread(Lost(torch.device("cpu")), on_death=died.set)
    thread.start()
    assert died.wait(5)


def answer(thread: DecodeThread, name: str) -> list[int]:
    items: list[object] = []
    ended = threading.Event()
    thread.submit(Generation(name, (5, 6, 7), Sampling(max_tokens=8, ignore_eos=True)), told(items, ended))
    assert ended.wait(60)
    return [item.id for item in items if isinstance(item, Token)]


def told(items: list[object], ended: threading.Event) -> Callable[[object], None]:
    def emit(item: object) -> None:
        items.append(item)
        if isinstance(item, Finish | EngineError):
            ended.set()

    return emit


def test_the_queue_has_an_end(thread: DecodeThread, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(thread, tiny, "a")
    monkeypatch.setenv("PLAYGROUND_MAX_GENERATIONS", "2")
    request = Generation("a", (5, 6, 7), Sampling(max_tokens=400, ignore_eos=True))
    running = [thread.submit(request, lambda _item: None) for _ in range(2)]
    with pytest.raises(EngineError, match="queue is full"):
        thread.submit(request, lambda _item: None)
    for active in running:
        active.aborted.set()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_broken_and_unknown_checkpoints_are_one_sentence(thread: DecodeThread, tiny: Path, tmp_path: Path) -> None:
    import json
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(tiny, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(BrokenCheckpoint, match="damaged") as caught:
        load(thread, broken, "broken")
    assert "Traceback" not in str(caught.value) and "\n" not in str(caught.value)
    unknown = tmp_path / "unknown"
    shutil.copytree(tiny, unknown)
    config = json.loads((unknown / "config.json").read_text())
    (unknown / "config.json").write_text(
        json.dumps({**config, "model_type": "nonsense", "architectures": ["Nonsense"]})
    )
    with pytest.raises(UnsupportedModel):
        load(thread, unknown, "unknown")
    assert load(thread, tiny, "after"), "the thread lives on"
