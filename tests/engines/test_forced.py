"""A text forced through variants: the numbers against plain transformers in float64, and its place behind everyone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM

from playground.core import Finish, ForcedTokens, Forcing, Generation, LoadSpec, Progress, Sampling, nats, summary
from playground.engines.host import forced
from playground.engines.host.loading import DeviceMemory
from playground.engines.host.scheduler import DecodeThread
from playground.engines.transformers import TransformersEngine
from playground.errors import (
    ContextOverflow,
    DifferentTokenizer,
    EngineDied,
    EngineError,
    InvalidRequest,
    PlaygroundError,
    UnknownVariant,
)
from tests.engines.calls import LONG, eventually, load
from tests.fakes.model import make_tiny

PROMPT, TEXT = tuple(range(10, 31)), tuple(range(40, 117))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model with the same tokenizer."""
    return make_tiny(tmp_path_factory.mktemp("models") / "other", seed=1)


def plain(path: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(str(path), dtype=torch.float32, local_files_only=True).eval()


def log_p(model: Any) -> np.ndarray[Any, Any]:
    """log-probabilities [text, vocabulary] in float64, of one plain forward pass over everything."""
    with torch.inference_mode():
        logits = model(torch.tensor([PROMPT + TEXT])).logits[0, len(PROMPT) - 1 : -1].numpy().astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@pytest.mark.parametrize("chunk", [7, 21, 64, 500])
def test_every_number_is_that_of_plain_transformers_in_float64(tiny: Path, other: Path, chunk: int) -> None:
    models = [plain(tiny), plain(other)]
    p, q = (log_p(model) for model in models)
    calls = [lambda model=model: model for model in models]
    parts = [item for item in forced.force(calls, PROMPT, TEXT, 5, chunk) if isinstance(item, ForcedTokens)]
    assert [part.start for part in parts] == np.cumsum([0, *(len(part.tokens) for part in parts)])[:-1].tolist()
    tokens = [token for part in parts for token in part.tokens]
    assert len(tokens) == len(TEXT)
    kld = (np.exp(p) * (p - q)).sum(-1)
    np.testing.assert_allclose([token.kld for token in tokens], kld, rtol=1e-4)
    at = np.arange(len(TEXT)), np.array(TEXT)
    np.testing.assert_allclose([token.logprob_reference for token in tokens], p[at], rtol=1e-4)
    np.testing.assert_allclose([token.logprob for token in tokens], q[at], rtol=1e-4)
    assert [token.agrees for token in tokens] == (p.argmax(-1) == q.argmax(-1)).tolist()
    for top, expected in (([t.top_reference for t in tokens], p), ([t.top for t in tokens], q)):
        best = np.argsort(-expected, axis=-1)[:, :5]
        assert [[entry.id for entry in row] for row in top] == best.tolist()
        values = np.take_along_axis(expected, best, -1)
        np.testing.assert_allclose([[entry.logprob for entry in row] for row in top], values, rtol=1e-4)
    found = summary(tokens)
    assert found is not None and found.tokens == len(TEXT)
    assert found.kld_mean == pytest.approx(kld.mean(), rel=1e-4)


def test_several_variants_share_the_references_passes_and_the_reference_has_none_from_itself(tiny: Path) -> None:
    model = plain(tiny)
    passes: list[int] = []

    def reference() -> Any:
        passes.append(1)
        return model

    items = list(forced.force([reference, lambda: model, lambda: model], PROMPT, TEXT, 5, 32))
    parts = [item for item in items if isinstance(item, ForcedTokens)]
    assert {part.other for part in parts} == {0, 1}
    assert all(token.kld < 1e-6 and token.agrees for part in parts for token in part.tokens)
    assert len(passes) - 2 == -(-(len(PROMPT) + len(TEXT) - 1) // 32), "one pass a chunk (and its device and config)"


def test_one_token_after_one_token(tiny: Path, other: Path) -> None:
    models = [plain(tiny), plain(other)]
    (part,) = (forced.force([lambda: models[0], lambda: models[1]], (5,), (6,)),)
    parts = [item for item in part if isinstance(item, ForcedTokens)]
    assert [(found.start, len(found.tokens)) for found in parts] == [(0, 1)]


def test_different_vocabularies_are_refused(tiny: Path) -> None:
    model = plain(tiny)
    wide = plain(tiny)
    wide.resize_token_embeddings(400, mean_resizing=False)
    with pytest.raises(DifferentTokenizer, match="400"):
        list(forced.force([lambda: model, lambda: wide], PROMPT, TEXT))


@pytest.mark.parametrize(
    ("kld", "words"),
    [(0.0, "0"), (3e-6, "0"), (0.000_047, "0.000047"), (0.0084, "0.0084"), (0.083, "0.083"), (0.4, "0.40"), (2, "2.0")],
)
def test_nats_keep_two_digits(kld: float, words: str) -> None:
    assert nats(kld) == words


# In the host


@pytest.fixture
def both(host: TransformersEngine, tiny: Path, other: Path) -> tuple[str, str]:
    return load(host, f"{tiny}:fp32"), load(host, f"{other}:fp32")


def forcing(names: tuple[str, ...], text: tuple[int, ...] = TEXT, **more: Any) -> Forcing:
    return Forcing(names[0], names[1:], PROMPT, text, **more)


def test_the_host_says_the_same_over_http(
    host: TransformersEngine, both: tuple[str, str], tiny: Path, other: Path
) -> None:
    items = list(host.force(forcing(both)))
    tokens = [token for item in items if isinstance(item, ForcedTokens) for token in item.tokens]
    p, q = log_p(plain(tiny)), log_p(plain(other))
    np.testing.assert_allclose([token.kld for token in tokens], (np.exp(p) * (p - q)).sum(-1), rtol=1e-4)
    assert all(entry.text for token in tokens for entry in token.top)
    assert isinstance(items[0], Progress) and items[0].total == 2 * (len(PROMPT) + len(TEXT) - 1)
    assert items[-1] == Finish("stop", len(PROMPT), len(TEXT))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"others": ("nothing",)}, UnknownVariant),
        ({"token_ids": (99_999,)}, InvalidRequest),
        ({"token_ids": TEXT * 7}, ContextOverflow),
        ({"token_ids": ()}, InvalidRequest),
    ],
)
def test_what_cannot_be_forced_is_refused_before_anything_runs(
    host: TransformersEngine, both: tuple[str, str], change: dict[str, Any], error: type[PlaygroundError]
) -> None:
    request = {"reference": both[0], "others": both[1:], "prompt_ids": PROMPT, "token_ids": TEXT} | change
    with pytest.raises(error):
        list(host.force(Forcing(**request)))


def test_different_tokenizers_are_refused(host: TransformersEngine, tmp_path: Path, both: tuple[str, str]) -> None:
    folder = make_tiny(tmp_path / "changed")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["merges"].pop()
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    changed = load(host, str(folder))
    try:
        with pytest.raises(DifferentTokenizer, match="different tokenizers"):
            list(host.force(forcing((both[0], changed))))
    finally:
        host.unload(changed)


def test_a_closed_connection_ends_it(host: TransformersEngine, both: tuple[str, str]) -> None:
    names = both + (both[1],) * 15
    items = host.force(forcing(names, TEXT * 5, request_id="left"))
    next(items)
    items.close()  # type: ignore[attr-defined]
    began = list(host.force(forcing(both, TEXT[:2])))
    assert isinstance(began[-1], Finish)


def test_abort_by_name_says_how_far_it_came(host: TransformersEngine, both: tuple[str, str]) -> None:
    names = both + (both[1],) * 15
    seen = []
    for item in host.force(forcing(names, TEXT * 5, request_id="stopped")):
        seen.append(item)
        if isinstance(item, ForcedTokens):
            host.abort("stopped")
    assert isinstance(seen[-1], Finish)
    assert seen[-1].reason == "abort"
    assert 0 < seen[-1].output_tokens < 5 * len(TEXT)


def test_the_death_of_the_host_is_one_error_with_its_last_words(home: Path, tiny: Path, other: Path) -> None:
    engine = TransformersEngine()
    try:
        names = load(engine, str(tiny)), load(engine, str(other))
        items = engine.force(forcing((*names, *names[1:] * 15), TEXT * 5))
        next(items)
        assert engine.process is not None
        psutil.Process(engine.process.pid).kill()
        with pytest.raises(EngineDied):
            list(items)
    finally:
        engine.close()


# In the decode thread


@pytest.fixture
def thread(tiny: Path, other: Path) -> Iterator[DecodeThread]:
    thread = DecodeThread(DeviceMemory(torch.device("cpu")))
    thread.start()
    for name, path in (("a", tiny), ("b", other)):
        thread.load(LoadSpec(name, str(path)), (), lambda _: None).result(120)
    yield thread
    thread.close()
    thread.join(5)


def test_a_variant_that_is_unloaded_in_between_is_one_sentence_and_a_load_does_not_wait(
    thread: DecodeThread, tiny: Path
) -> None:
    items: list[Any] = []
    first = threading.Event()

    def emit(item: Any) -> None:
        items.append(item)
        first.set()

    thread.force(Forcing("a", ("b",) * 16, PROMPT, TEXT * 5), emit)
    assert first.wait(10)
    assert thread.unload("b").result(10)
    eventually(lambda: isinstance(items[-1], UnknownVariant), 5, "it notices")
    assert "b was unloaded while it was compared" in str(items[-1])
    assert thread.loaded()[0].id == "a"
    assert not thread._forced


class Slow:
    """A model that takes `seconds` for a pass, and says when one begins."""

    def __init__(self, model: Any, seconds: float) -> None:
        self.model, self.seconds, self.begun = model, seconds, threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(self, **inputs: Any) -> Any:
        self.begun.set()
        time.sleep(self.seconds)
        return self.model(**inputs)


def test_a_generation_goes_first_and_its_clock_stands_still_meanwhile(thread: DecodeThread) -> None:
    resident = thread.resident("b")
    slow = resident.model = Slow(resident.model, 0.4)
    over: list[str] = []
    forced: list[Any] = []
    finish: list[Finish] = []

    def emit(into: list[Any], name: str) -> Callable[[Any], None]:
        return lambda item: (into.append(item), over.append(name) if isinstance(item, Finish) else None)[0]

    thread.force(Forcing("a", ("b",), PROMPT, TEXT * 4), emit(forced, "forced"))
    assert slow.begun.wait(10)
    began = time.monotonic()
    thread.submit(Generation("a", PROMPT, Sampling(max_tokens=5, ignore_eos=True)), emit(finish, "generated"))
    eventually(lambda: over == ["generated"], 20, "the generation ends")
    wall = time.monotonic() - began
    eventually(lambda: len(over) == 2, 20, "the text ends too")
    assert over == ["generated", "forced"]
    *tokens, end = finish
    assert end.waited_s > 0.2, "the pass that was under way"
    own = tokens[-1].time_s  # type: ignore[attr-defined]
    assert own + end.waited_s <= wall, "is not on its clock"
    assert forced[-1] == Finish("stop", len(PROMPT), 4 * len(TEXT))


def test_nobody_waits_for_a_text_that_was_given_up_behind_a_generation(thread: DecodeThread) -> None:
    generated: list[Any] = []
    thread.submit(Generation("a", PROMPT, LONG), generated.append)
    items: list[Any] = []
    text = thread.force(Forcing("a", ("b",), PROMPT, TEXT, request_id="x"), items.append)
    assert [item.stage for item in items] == ["Waiting for running generations"]
    assert thread.abort("x")
    eventually(lambda: isinstance(items[-1], Finish), 5, "it ends before the generation does")
    assert not any(isinstance(item, Finish) for item in generated)
    assert text.own_busy < 1


class Broken(Slow):
    def __call__(self, **_inputs: Any) -> Any:
        raise RuntimeError("mat1 and mat2\nsecond line")


def test_a_failure_inside_torch_is_one_sentence(thread: DecodeThread) -> None:
    items: list[Any] = []
    resident = thread.resident("b")
    resident.model = Broken(resident.model, 0)
    thread.force(Forcing("a", ("b",), PROMPT, TEXT), items.append)
    eventually(lambda: any(isinstance(item, EngineError) for item in items), 5, "it fails")
    assert str(items[-1]) == "The model failed while it was compared: mat1 and mat2"
