"""The bundled Q4_1 file in a real llama.cpp server: ids, times, stops, and every way in which it can end."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from tokenizers import Tokenizer

from playground import models as catalog
from playground.core import UNKNOWN_ID, Finish, Generation, Loaded, Message, Progress, Prompt, Sampling, Token
from playground.engines import servers
from playground.engines.llamacpp import server
from playground.engines.llamacpp.engine import LlamaCppEngine
from playground.engines.servers import ServerProcess, ServerSpec
from playground.errors import (
    Cancelled,
    ContextOverflow,
    EngineDied,
    EngineError,
    EngineUnavailable,
    InvalidRequest,
    UnknownVariant,
    UnsupportedModel,
)
from playground.models import bundled
from tests.engines.calls import eventually, never, quiet
from tests.fakes.gguf import write_gguf

VARIANT = "smollm2:q4_1"
ASK: list[Message] = [{"role": "user", "content": "What is gravity?"}]
CHINESE = "Repeat: 🙂🦊漢字 🙂🦊漢字 🙂🦊漢字"
LONG = Sampling(max_tokens=400, ignore_eos=True)


@functools.cache
def tokenizer(folder: str) -> Tokenizer:
    return Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))


def tokenize(folder: str, source: Sequence[Message] | str) -> Prompt:
    """The reference's own tokenizer, without the process that holds it in the program."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    text = source if isinstance(source, str) else ""
    if not isinstance(source, str):
        template = (Path(folder) / "chat_template.jinja").read_text()
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        text = environment.from_string(template).render(messages=source, add_generation_prompt=True)
    ids = tuple(tokenizer(folder).encode(text, add_special_tokens=False).ids)
    return Prompt(ids, text, "raw" if isinstance(source, str) else "chat", "the reference's")


@pytest.fixture(scope="module")
def models() -> Path:
    """The user's own restored copy, so that it is restored once per machine and not once per run."""
    return Path(catalog.resolve("smollm2").path).parent


@pytest.fixture
def home(home: Path, models: Path) -> Path:
    (home / "cache").mkdir()
    (home / "cache" / "models").symlink_to(models)
    return home


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[LlamaCppEngine]:
    """One server for the tests that leave it alive."""
    folder = tmp_path_factory.mktemp("llamacpp")
    (folder / "cache").mkdir()
    (folder / "cache" / "models").symlink_to(models)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(folder))
        patch.setenv("PLAYGROUND_LLAMACPP_CONTEXT", "1024")
        engine = LlamaCppEngine(tokenize)
        engine.load(VARIANT, quiet, never)
        yield engine
        engine.close()


@pytest.fixture
def fresh(home: Path) -> Iterator[LlamaCppEngine]:
    engine = LlamaCppEngine(tokenize)
    yield engine
    engine.close()


def run(engine: LlamaCppEngine, source: Sequence[Message] | str, **sampling: Any) -> tuple[list[Token], Finish]:
    top = sampling.pop("top", 5)
    ids = engine.prompt(VARIANT, source).ids
    items = list(engine.generate(Generation(VARIANT, ids, Sampling(**sampling), top, "r")))
    assert isinstance(items[-1], Finish)
    return [item for item in items if isinstance(item, Token)], items[-1]


def children() -> list[str]:
    """Command lines of the llama.cpp servers of this process."""
    found = []
    for child in psutil.Process().children(recursive=True):
        command = " ".join(child.cmdline()) if child.status() != psutil.STATUS_ZOMBIE else ""
        found += [command] if "llamacpp.host" in command else []
    return found


def test_what_it_says_of_the_bundled_file(engine: LlamaCppEngine) -> None:
    loaded = engine.load(VARIANT, quiet, never)
    assert engine.health() == {"loaded": [VARIANT]} and Loaded.from_dict(loaded.as_dict()) == loaded
    assert (loaded.id, loaded.engine, loaded.dtype, loaded.clock, loaded.stepped) == (
        VARIANT, "llamacpp", "Q4_1", "engine", False,
    )  # fmt: skip
    assert loaded.weight_bytes == loaded.streamed_bytes == catalog.variant(VARIANT).bytes
    assert loaded.kv_bytes_per_token == 30 * 2 * 192 * 2 and loaded.context == 1024
    assert loaded.weight_bytes < loaded.resident_bytes < 10 * loaded.weight_bytes
    assert loaded.tokenizer_hash == "the reference's" and loaded.has_chat_template
    assert (
        loaded.weights == "packed" and loaded.kernel.startswith("Q4_1 blocks") and "output matrix Q8_0" in loaded.kernel
    )
    log = engine.process(VARIANT).log_text()
    assert f"n_ctx                 = {loaded.context}" in log
    assert f"KV buffer size =    {loaded.kv_bytes_per_token * 1024 / 2**20:.2f} MiB" in log


def test_the_answer_and_its_ids(engine: LlamaCppEngine) -> None:
    tokens, finish = run(engine, ASK, max_tokens=24)
    text = "".join(token.text for token in tokens)
    assert text.startswith("Gravity is a fundamental")
    reference = tokenize(catalog.resolve("smollm2").path, text)
    assert tuple(token.id for token in tokens) == reference.ids, "the reference's tokenizer reads its words alike"
    assert (finish.reason, finish.output_tokens, finish.prompt_tokens) == ("length", 24, len(_ids(engine)))
    assert all(token.top[0].id == token.id and len(token.top) == 5 for token in tokens), "greedy"
    assert all(token.logprob == token.top[0].logprob <= 0 for token in tokens)
    assert finish.peak_memory_bytes is not None and finish.peak_memory_bytes > 96_576_768


def _ids(engine: LlamaCppEngine) -> tuple[int, ...]:
    return engine.prompt(VARIANT, ASK).ids


def test_the_end_of_the_turn_is_a_token_without_text(engine: LlamaCppEngine) -> None:
    tokens, finish = run(engine, [{"role": "user", "content": "Say hi"}], max_tokens=80)
    assert finish.reason == "stop" and finish.output_tokens == len(tokens) < 80
    assert (tokens[-1].id, tokens[-1].text, tokens[-1].piece) == (2, "", "<|im_end|>")
    assert not finish.text


def test_times_are_those_that_llamacpp_reports(engine: LlamaCppEngine) -> None:
    tokens, finish = run(engine, ASK, max_tokens=48, ignore_eos=True)
    reported, times = finish.reported, [token.time_s for token in tokens]
    assert reported is not None and reported.source == "llama.cpp timings" and reported.prefill_s is not None
    assert times == sorted(times) and sum(token.step_s for token in tokens) == pytest.approx(times[-1])
    assert times[0] == pytest.approx(reported.prefill_s, rel=0.03)
    rate = (len(tokens) - 1) / (times[-1] - times[0])
    assert rate == pytest.approx(reported.decode_tok_s, rel=0.03)

    def last() -> tuple[str, str]:
        log = engine.process(VARIANT).log_text()
        return re.findall(r"\beval time =\s+([\d.]+) ms /\s+(\d+) tokens", log)[-1]

    eventually(lambda: int(last()[1]) == len(tokens), 10, "its log counts them too, a moment after the answer")
    assert rate == pytest.approx((len(tokens) - 1) / float(last()[0]) * 1000, rel=0.03)


def test_characters_of_several_tokens_are_counted(engine: LlamaCppEngine) -> None:
    tokens, finish = run(engine, CHINESE, max_tokens=9)
    text = "".join(token.text for token in tokens)
    assert len(tokens) == finish.output_tokens == 9
    assert text and not text.isascii() and "\ufffd" not in text
    readable = [token for token in tokens if token.text]
    assert len(readable) < len(tokens), "it wrote what this test is about"
    whole = [token.id for token in tokens[: tokens.index(readable[-1]) + 1]]
    assert UNKNOWN_ID not in whole and tokenizer(catalog.resolve("smollm2").path).decode(whole) == text
    assert all(a.time_s < b.time_s for a, b in itertools.pairwise(tokens))


def test_one_token_that_is_half_a_character(engine: LlamaCppEngine) -> None:
    tokens, finish = run(engine, CHINESE, max_tokens=1)
    assert [(token.id, token.text) for token in tokens] == [(UNKNOWN_ID, "")] and finish.output_tokens == 1


def test_stop_strings(engine: LlamaCppEngine) -> None:
    tokens, finish = run(engine, "1 2 3 4 5 6", stop=(" 9",), max_tokens=20)
    assert ("".join(t.text for t in tokens), finish.reason, finish.text) == (" 7 8", "stop", "")
    tokens, finish = run(engine, "1 2 3 4 5 6", stop=("9 never",), max_tokens=6)
    assert ("".join(t.text for t in tokens), finish.reason, finish.text) == (" 7 8 ", "length", "9")


def test_the_seed_decides_and_the_samplers_arrive(engine: LlamaCppEngine) -> None:
    def ids(**more: Any) -> list[int]:
        tokens, _ = run(engine, "Once upon a time", max_tokens=12, ignore_eos=True, **more)
        return [token.id for token in tokens]

    greedy = ids()
    assert ids(temperature=1.0, seed=1) == ids(temperature=1.0, seed=1) != ids(temperature=1.0, seed=2)
    assert ids(temperature=5.0, top_k=1) == greedy == ids(temperature=5.0, top_p=1e-6), "only the best one is left"
    assert ids(temperature=5.0, seed=1) != greedy, "and no min-p of llama.cpp's own"
    assert ids(repetition_penalty=1.8) != greedy


def test_prompts_never_reach_the_log(engine: LlamaCppEngine) -> None:
    run(engine, "My password is xyzzy, remember", max_tokens=2)
    assert "xyzzy" not in engine.process(VARIANT).log_text()


def test_the_key_is_needed(engine: LlamaCppEngine) -> None:
    import httpx

    url = engine.process(VARIANT).url
    assert httpx.post(f"{url}/completion", json={"prompt": "a", "n_predict": 1}).status_code == 401
    allowed = httpx.get(f"{url}/health", headers={"Origin": "http://elsewhere"}).headers
    assert allowed.get("access-control-allow-origin") not in ("*", "http://elsewhere")


def test_closing_the_iterator_stops_the_decoding(engine: LlamaCppEngine) -> None:
    process = engine.process(VARIANT)
    before = len(re.findall("cancel task", process.log_text()))
    items = engine.generate(Generation(VARIANT, _ids(engine), LONG, request_id="closed"))
    assert sum(isinstance(next(items), Token) for _ in range(6)) >= 3
    items.close()  # type: ignore[attr-defined]
    eventually(lambda: len(re.findall("cancel task", process.log_text())) > before, 5, "llama.cpp cancels it")
    eventually(lambda: "all slots are idle" in process.log_text().rsplit("cancel task", 1)[1], 5, "it stops")
    length = int(re.findall(r"stop processing: n_tokens = (\d+)", process.log_text())[-1])
    assert length < 300, "far from the 400 tokens that were asked for"


def test_many_short_generations_in_a_row(engine: LlamaCppEngine) -> None:
    """llama-server closes connections after a stream without saying so."""
    request = Generation(VARIANT, _ids(engine)[:2], Sampling(max_tokens=2, ignore_eos=True))
    for _ in range(30):
        assert isinstance(list(engine.generate(request))[-1], Finish)


def test_an_abort_from_another_thread(engine: LlamaCppEngine) -> None:
    items, found = engine.generate(Generation(VARIANT, _ids(engine), LONG, request_id="long")), []
    for item in items:
        found.append(item)
        if len(found) == 6:
            threading.Thread(target=engine.abort, args=("long",)).start()
    finish = found[-1]
    assert isinstance(finish, Finish) and finish.reason == "abort"
    assert finish.output_tokens == sum(isinstance(item, Token) for item in found) < 300
    engine.abort("long")  # over: nothing happens
    tokens, _ = run(engine, ASK, max_tokens=3)
    assert len(tokens) == 3


def test_two_generations_of_one_variant_take_turns(engine: LlamaCppEngine) -> None:
    first = engine.generate(Generation(VARIANT, _ids(engine), LONG, request_id="first"))
    assert isinstance(next(item for item in first if isinstance(item, Token)), Token)
    second = engine.generate(Generation(VARIANT, _ids(engine), LONG, request_id="second"))
    assert next(second) == Progress("Waiting for running generations")
    third = engine.generate(Generation(VARIANT, _ids(engine), LONG, request_id="third"))
    next(third)
    engine.abort("third")
    assert [type(item) for item in third] == [Finish], "stopped while it waited"
    first.close()  # type: ignore[attr-defined]
    assert isinstance(next(item for item in second if isinstance(item, Token)), Token)
    engine.abort("second")
    finish = list(second)[-1]
    assert isinstance(finish, Finish) and finish.reason == "abort" and finish.waited_s > 0


@pytest.mark.parametrize(
    ("ids", "most", "error", "words"),
    [
        (range(1, 900), 200, ContextOverflow, "together 1099, more than the 1024"),
        ((), 1, InvalidRequest, "empty"),
        ((1, 49152), 1, InvalidRequest, "vocabulary"),
    ],
)
def test_what_is_refused_before_it_is_sent(
    engine: LlamaCppEngine, ids: Sequence[int], most: int, error: type[EngineError], words: str
) -> None:
    with pytest.raises(error, match=words):
        next(engine.generate(Generation(VARIANT, tuple(ids), Sampling(max_tokens=most))))


def test_killed_in_mid_stream_is_an_error_and_the_next_run_works(fresh: LlamaCppEngine) -> None:
    assert fresh.held(VARIANT) is None
    loaded = fresh.load(VARIANT, quiet, never)
    assert fresh.held(VARIANT) == loaded
    items = fresh.generate(Generation(VARIANT, _ids(fresh), LONG))
    assert sum(isinstance(next(items), Token) for _ in range(5)) >= 2
    os.kill(fresh.process(VARIANT).pid, signal.SIGKILL)
    with pytest.raises(EngineDied, match="SIGKILL") as caught:
        list(items)
    assert caught.value.hint and caught.value.log_tail
    assert fresh.health() == {"loaded": []} and fresh.held(VARIANT) is None
    fresh.load(VARIANT, quiet, never)
    assert len(run(fresh, ASK, max_tokens=3)[0]) == 3
    assert fresh.unload(VARIANT) and not fresh.unload(VARIANT)
    with pytest.raises(UnknownVariant, match="not loaded"):
        next(fresh.generate(Generation(VARIANT, (1,))))


class _Healthy(BaseHTTPRequestHandler):
    """Another program that happens to have a /health."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        return None


def test_a_taken_port_is_tried_elsewhere(fresh: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    squatters: list[HTTPServer] = []

    def spawn(spec: ServerSpec) -> ServerProcess:
        process = ServerProcess(spec)
        if not squatters:  # Python is still starting there, so that this is first
            squatters.append(HTTPServer(("127.0.0.1", int(process.url.rsplit(":", 1)[1])), _Healthy))
            threading.Thread(target=squatters[0].serve_forever, daemon=True).start()
        return process

    monkeypatch.setattr(servers, "ServerProcess", spawn)
    fresh.load(VARIANT, quiet, never)
    assert fresh.process(VARIANT).url != f"http://127.0.0.1:{squatters[0].server_port}"
    assert len(run(fresh, ASK, max_tokens=3)[0]) == 3
    squatters[0].shutdown()
    squatters[0].server_close()
    fresh.close()


def test_no_port_at_all_is_told(fresh: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[socket.socket] = []

    def spawn(spec: ServerSpec) -> ServerProcess:
        process = ServerProcess(spec)
        taken.append(socket.create_server(("127.0.0.1", int(process.url.rsplit(":", 1)[1]))))
        return process

    before = children()
    monkeypatch.setattr(servers, "ServerProcess", spawn)
    with pytest.raises(EngineUnavailable, match="port taken 3 times") as caught:
        fresh.load(VARIANT, quiet, never)
    assert "couldn't bind" in caught.value.log_tail and len(taken) == 3
    assert children() == before
    for listener in taken:
        listener.close()


def test_what_llamacpp_refuses_is_told_in_its_words(fresh: LlamaCppEngine, tmp_path: Path) -> None:
    before = children()
    with pytest.raises(EngineError, match="unknown model architecture: 'unheard-of'") as caught:
        fresh.load(str(write_gguf(tmp_path / "m.gguf", architecture="unheard-of")), quiet, never)
    assert caught.value.hint and "failed to load model" in caught.value.log_tail
    assert children() == before


def test_stopped_while_it_loads(fresh: LlamaCppEngine) -> None:
    before, asked = children(), itertools.count()
    stages: list[str] = []
    with pytest.raises(Cancelled):
        fresh.load(VARIANT, lambda progress: stages.append(progress.stage), lambda: next(asked) > 4)
    assert "Starting llama.cpp" in stages and "Warming up" not in stages
    assert children() == before and fresh.health() == {"loaded": []}


def test_a_file_of_its_own_uses_its_own_tokenizer(fresh: LlamaCppEngine, tmp_path: Path) -> None:
    source = bundled.gguf()
    assert source is not None
    alone = tmp_path / "alone.gguf"
    alone.symlink_to(source)
    loaded = fresh.load(str(alone), quiet, never)
    chat, raw = fresh.prompt(str(alone), ASK), fresh.prompt(str(alone), "The river 🦊")
    assert loaded.tokenizer_hash == chat.tokenizer_hash == raw.tokenizer_hash != "the reference's"
    reference = catalog.resolve("smollm2").path
    assert (chat.template, raw.template) == ("chat", "raw")
    assert chat.ids == tokenize(reference, chat.text).ids and "What is gravity?" in chat.text
    assert raw.ids == tokenize(reference, "The river 🦊").ids
    items = list(fresh.generate(Generation(str(alone), chat.ids, Sampling(max_tokens=4))))
    assert "".join(item.text for item in items if isinstance(item, Token)).startswith("Gravity is")


def test_what_is_no_gguf_file(fresh: LlamaCppEngine) -> None:
    with pytest.raises(UnsupportedModel, match="reads GGUF files"):
        fresh.load("smollm2", quiet, never)


def test_without_xllamacpp_it_says_what_to_install(fresh: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "xllamacpp" else real(name))
    with pytest.raises(EngineUnavailable, match="not installed") as caught:
        fresh.load(VARIANT, quiet, never)
    assert "make setup" in caught.value.hint


def test_close_leaves_no_process_behind(home: Path) -> None:
    engine = LlamaCppEngine(tokenize)
    engine.load(VARIANT, quiet, never)
    server = psutil.Process(engine.process(VARIANT).pid)
    family = [server, *server.children(recursive=True)]
    engine.close()
    gone, alive = psutil.wait_procs(family, timeout=3)
    assert not alive and len(gone) == len(family)
    with pytest.raises(EngineUnavailable, match="shut down"):
        engine.load(VARIANT, quiet, never)


@pytest.mark.parametrize("wait_for", ["loading model", "playground-ready"])
def test_the_server_ends_with_its_parent_even_while_it_loads(wait_for: str) -> None:
    """The load holds Python's lock, so that no thread could notice the closed pipe."""
    source = bundled.gguf()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", server.MODULE, "--port", str(port), "--model", str(source), "--context", "512"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PLAYGROUND_ENGINE_KEY": "k"},
    )
    assert process.stdin is not None and process.stdout is not None
    assert any(wait_for in line for line in process.stdout)
    process.stdin.close()
    began = time.monotonic()
    rest = process.stdout.read()
    assert process.wait(timeout=5) in (-signal.SIGKILL, -signal.SIGIO) and time.monotonic() - began < 5
    assert wait_for != "loading model" or "model loaded" not in rest, "in the middle of the load"
    process.stdout.close()
