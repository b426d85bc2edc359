"""The vLLM engine against a stand-in with its HTTP and its log: starting, streaming, and every way out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from playground import process
from playground.core import Finish, Generation, Loaded, Message, Progress, Prompt, Sampling, Token
from playground.engines.vllm.engine import VllmEngine
from playground.errors import (
    Cancelled,
    ContextOverflow,
    EngineDied,
    EngineError,
    EngineUnavailable,
    InvalidRequest,
    InvalidSettings,
    OutOfMemory,
    UnknownVariant,
    UnsupportedModel,
)
from tests.cases import checkpoints
from tests.engines.calls import eventually, never, quiet
from tests.fakes.vllm_environment import make_environment

IDS = tuple(range(30, 60))
Script = Callable[..., None]


def tokenize(folder: str, source: Any) -> Prompt:
    """Stands in for the reference's tokenizer in the transformers host."""
    assert Path(folder, "tokenizer.json").is_file()
    return Prompt(IDS, "a prompt", "raw" if isinstance(source, str) else "chat", "hash-of-the-reference")


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_environment(tmp_path_factory.mktemp("vllm") / "env")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Script:
    """Says how the stand-in behaves from its next start on."""

    def write(**behaviour: Any) -> None:
        monkeypatch.setenv("FAKE_VLLM", json.dumps({"starts": str(tmp_path / "starts"), **behaviour}))

    write()
    return write


@pytest.fixture
def engine(home: Path, interpreter: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> Iterator[VllmEngine]:
    monkeypatch.setenv("PLAYGROUND_VLLM_PYTHON", str(interpreter))
    engine = VllmEngine(tokenize)
    yield engine
    engine.close()
    eventually(lambda: not strays(interpreter), 5, "no stand-in is left")


def strays(interpreter: Path) -> list[psutil.Process]:
    """Servers of this stand-in that still run; a real one may belong to somebody else."""
    found = []
    for server in psutil.process_iter(["cmdline", "status"]):
        line = server.info["cmdline"] or []
        if line[:1] == [str(interpreter)] and server.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(server)
    return found


def load(engine: VllmEngine, variant: Path | str) -> Loaded:
    return engine.load(str(variant), quiet, never)


def request(loaded: Loaded, n: int = 8, name: str = "one", **options: Any) -> Generation:
    return Generation(loaded.id, IDS, Sampling(max_tokens=n, ignore_eos=True, **options), request_id=name)


def run(engine: VllmEngine, generation: Generation) -> tuple[list[Token], Finish]:
    *tokens, finish = engine.generate(generation)
    assert isinstance(finish, Finish)
    assert all(isinstance(token, Token) for token in tokens)
    return tokens, finish  # type: ignore[return-value]


def seen(engine: VllmEngine, variant: str) -> dict[str, Any]:
    with engine.servers.using(variant) as process:
        return dict(httpx.get(f"{process.url}/seen", trust_env=False).json())


def family(engine: VllmEngine, variant: str) -> list[psutil.Process]:
    """The launcher and the worker that the stand-in has started."""
    with engine.servers.using(variant) as process:
        leader = psutil.Process(process.pid)
    found = [leader, *leader.children(recursive=True)]
    assert len(found) == 2
    return found


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


# Starting


def test_a_load_tells_its_stages_and_what_vllm_holds(engine: VllmEngine, tiny: Path) -> None:
    told: list[Progress] = []
    loaded = engine.load(str(tiny), told.append, never)
    stages = list(dict.fromkeys(progress.stage for progress in told))
    assert stages == [
        "Starting vLLM: importing",
        "Reading the config",
        "Starting vLLM: the engine's own processes",
        "Loading weights",
        "Making the KV cache",
        "Starting the server",
        "Warming up",
    ]
    assert Progress("Loading weights", 2, 2, "files") in told
    assert (loaded.engine, loaded.clock, loaded.stepped, loaded.device) == ("vllm", "client", False, "cpu")
    assert loaded.context == 512, "what the model takes, as vLLM answers it"
    assert loaded.kv_bytes_per_token == 2 * 2 * 2 * 16 * 2, "K and V, layers, KV heads, head size, two bytes"
    assert loaded.weight_bytes == (tiny / "model.safetensors").stat().st_size - header(tiny)
    assert loaded.tokenizer_hash == "hash-of-the-reference" and loaded.has_chat_template
    assert loaded.resident_bytes > 10e6 and loaded.load_s > 0
    told.clear()
    assert engine.load(str(tiny), told.append, never) == loaded and told == [], "ready at once the second time"


def header(tiny: Path) -> int:
    with (tiny / "model.safetensors").open("rb") as file:
        return 8 + int.from_bytes(file.read(8), "little")


def test_the_flags_follow_the_settings(engine: VllmEngine, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_VLLM_MAX_MODEL_LEN", "200")
    monkeypatch.setenv("PLAYGROUND_VLLM_KV_CACHE", "fp8_e5m2")
    monkeypatch.setenv("PLAYGROUND_VLLM_KV_CACHE_GB", "2")
    monkeypatch.setenv("PLAYGROUND_VLLM_TENSOR_PARALLEL", "2")
    monkeypatch.setenv("PLAYGROUND_VLLM_EAGER", "1")
    monkeypatch.setenv("PLAYGROUND_VLLM_ARGUMENTS", "--seed 7 --hf-overrides '{\"a b\": 1}'")
    monkeypatch.setenv("PLAYGROUND_MAX_GENERATIONS", "5")
    monkeypatch.setenv("PLAYGROUND_THREADS", "3")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    loaded = load(engine, tiny)
    found = seen(engine, loaded.id)
    line, environment = found["arguments"], found["environment"]
    for name, value in {
        "--model": str(tiny),
        "--host": "127.0.0.1",
        "--served-model-name": loaded.id,
        "--dtype": "bfloat16",
        "--max-model-len": "200",
        "--max-num-seqs": "5",
        "--generation-config": "vllm",
        "--kv-cache-dtype": "fp8_e5m2",
        "--tensor-parallel-size": "2",
        "--seed": "7",
        "--hf-overrides": '{"a b": 1}',
    }.items():
        assert line[line.index(name) + 1] == value
    assert {"--no-enable-prefix-caching", "--enforce-eager"} <= set(line)
    assert "--gpu-memory-utilization" not in line and "--trust-remote-code" not in line
    assert loaded.context == 200 and loaded.kv_bytes_per_token == 2 * 2 * 2 * 16
    assert "eager" in loaded.kernel
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert (environment["OMP_NUM_THREADS"], environment["VLLM_CPU_OMP_THREADS_BIND"]) == ("3", "nobind")
    assert (environment["HF_HUB_OFFLINE"], environment["VLLM_NO_USAGE_STATS"]) == ("1", "1")
    assert "hf_secret" not in str(environment)
    key = environment["VLLM_API_KEY"]
    assert len(key) > 20 and key not in str(line) and "PLAYGROUND_ENGINE_KEY" not in environment


def test_a_cpu_without_a_compiler_runs_eagerly_and_says_so(
    engine: VllmEngine, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    loaded = load(engine, tiny)
    assert "--enforce-eager" in seen(engine, loaded.id)["arguments"]
    assert "eager, not compiled (no C++ compiler on this machine)" in loaded.kernel


def test_the_warm_up_is_a_generation_of_its_own(engine: VllmEngine, tiny: Path) -> None:
    loaded = load(engine, tiny)
    (warm_up,) = seen(engine, loaded.id)["bodies"]
    assert warm_up["prompt"] == list(IDS) and warm_up["ignore_eos"] is True
    _, finish = run(engine, request(loaded, 8))
    assert finish.reported is not None, "it is not counted into what vLLM reports of the first run"


def test_a_missing_environment_says_what_to_run(
    home: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_VLLM_PYTHON", str(tmp_path / "nowhere" / "bin" / "python"))
    with pytest.raises(EngineUnavailable, match="not installed") as caught:
        load(VllmEngine(tokenize), tiny)
    assert "make vllm" in caught.value.hint


WNA16 = [  # as vLLM 0.32 writes it, shortened in the middle
    "(Worker pid=9) ERROR 11-24 01:11:47 [multiproc_executor.py:953]     raise ValueError(",
    "(Worker pid=9) ERROR 11-24 01:11:47 [multiproc_executor.py:953] ValueError: Failed to find a kernel that can "
    "implement the WNA16 linear layer. Reasons: ",
    "(Worker pid=9) ERROR 11-24 01:11:47 [multiproc_executor.py:953]  Dynamic4bitLinearKernel cannot implement due to: "
    "Unsupported quant type uint8b128",
    "(EngineCore pid=8) INFO 11-24 01:11:50 [multiproc_executor.py:486] [shutdown] Executor: all workers exited",
    "(EngineCore pid=8) ERROR 11-24 01:11:50 [core.py:1510] Exception: WorkerProc initialization failed due to an "
    "exception in a background process. See stack trace for root cause.",
    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
]


def test_a_model_that_vllm_refuses_is_told_in_its_words(engine: VllmEngine, tiny: Path, script: Script) -> None:
    script(reject=WNA16)
    with pytest.raises(UnsupportedModel) as caught:
        load(engine, tiny)
    assert caught.value.message.endswith(
        "Failed to find a kernel that can implement the WNA16 linear layer. Reasons: "
        "Dynamic4bitLinearKernel cannot implement due to: Unsupported quant type uint8b128"
    )
    assert "Engine core initialization failed" in caught.value.log_tail and caught.value.hint
    script()
    assert load(engine, tiny).engine == "vllm", "the next load is a new start"


def test_a_kernel_that_is_missed_at_the_first_token_is_a_refusal_too(
    engine: VllmEngine, tiny: Path, script: Script
) -> None:
    """As W4A16 on a processor without AVX-512: it loads, and the first product fails."""
    words = "AttributeError: '_OpNamespace' '_C' object has no attribute 'cpu_gemm_wna16'"
    script(log=[words], error_at=0, lingers="unhealthy")
    with pytest.raises(UnsupportedModel, match="no cpu_gemm_wna16"):
        load(engine, tiny)
    assert engine.servers.loaded() == []


def test_a_model_that_does_not_fit_is_out_of_memory(engine: VllmEngine, tiny: Path, script: Script) -> None:
    script(reject=["ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`."])
    with pytest.raises(OutOfMemory, match="No available memory for the cache blocks"):
        load(engine, tiny)


def test_a_start_that_fails_without_a_reason_shows_its_last_words(
    engine: VllmEngine, tiny: Path, script: Script
) -> None:
    script(reject=["Segmentation fault"])
    with pytest.raises(EngineDied, match="could not start") as caught:
        load(engine, tiny)
    assert "Segmentation fault" in caught.value.log_tail


@pytest.mark.parametrize("trouble", ["taken", "foreign"])
def test_a_taken_port_is_tried_again_with_another(
    engine: VllmEngine, tiny: Path, script: Script, trouble: str, tmp_path: Path
) -> None:
    script(**{trouble: 2})
    assert load(engine, tiny).context == 512
    assert (tmp_path / "starts").read_text().split() == [trouble] * 3


def test_three_taken_ports_are_an_error(engine: VllmEngine, tiny: Path, script: Script) -> None:
    script(taken=9)
    with pytest.raises(EngineUnavailable, match="port taken 3 times"):
        load(engine, tiny)
    assert engine.servers.loaded() == []


def test_a_start_can_be_stopped(
    engine: VllmEngine, tiny: Path, script: Script, tmp_path: Path, interpreter: Path
) -> None:
    script(hold=str(tmp_path / "go"))
    stages: list[str] = []
    with pytest.raises(Cancelled):
        engine.load(str(tiny), lambda progress: stages.append(progress.stage), lambda: "Loading weights" in stages)
    eventually(lambda: not strays(interpreter), 5, "the server that was starting is gone")


def test_arguments_that_no_shell_would_take(engine: VllmEngine, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_VLLM_ARGUMENTS", "--seed '7")
    with pytest.raises(InvalidSettings, match="PLAYGROUND_VLLM_ARGUMENTS"):
        load(engine, tiny)


def test_what_a_cpu_build_cannot_quantize_is_refused_before_it_starts(
    engine: VllmEngine, tiny: Path, interpreter: Path
) -> None:
    with pytest.raises(UnsupportedModel, match="NVIDIA GPUs only"):
        load(engine, f"{tiny}:nf4")
    assert not strays(interpreter)


def test_the_least_recently_used_server_makes_room(
    engine: VllmEngine, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_SERVERS", "1")
    first = load(engine, tiny)
    processes = family(engine, first.id)
    second = load(engine, f"{tiny}:fp32")
    assert [loaded.id for loaded in engine.servers.loaded()] == [second.id]
    assert all(gone(process) for process in processes)
    engine.load(str(tiny), quiet, never, keep=[second.id])
    assert len(engine.servers.loaded()) == 2, "what is being compared is kept, whatever the limit"


def test_too_little_memory_is_told_with_both_numbers(
    engine: VllmEngine, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_VLLM_KV_CACHE_GB", "9000")
    with pytest.raises(OutOfMemory, match=r"needs about 966\d\.\d+ GB in vllm; .* are free"):
        load(engine, tiny)


# Generating


def test_the_tokens_and_the_request(engine: VllmEngine, tiny: Path) -> None:
    loaded = load(engine, tiny)
    sampling = {"temperature": 0.7, "top_p": 0.9, "repetition_penalty": 1.1, "seed": 5, "stop": ("\n\n",)}
    tokens, finish = run(engine, request(loaded, 6, **sampling))
    body = seen(engine, loaded.id)["bodies"][-1]
    assert body["prompt"] == list(IDS), "the same ids that every engine gets"
    wanted = {
        **sampling,
        "stop": ["\n\n"],
        "top_k": -1,
        "min_p": 0.0,
        "ignore_eos": True,
        "max_tokens": 6,
        "logprobs": 5,
    }
    assert {name: body[name] for name in wanted} == wanted
    assert [token.id for token in tokens] == [10, 11, 12, 13, 14, 15]
    assert (finish.reason, finish.prompt_tokens, finish.output_tokens) == ("length", len(IDS), 6)
    assert finish.peak_memory_bytes is not None and finish.peak_memory_bytes > 10e6
    best = tokens[0].top
    assert [a.id for a in best] == [11, 10, 12, 13, 14], "best first, the chosen one in its place, five of them"
    assert [a.logprob for a in best] == sorted((a.logprob for a in best), reverse=True)
    assert tokens[0].logprob == -0.9
    assert not any(a.text.startswith("token_id") for a in best) and tokens[0].piece == best[1].text
    times = [token.time_s for token in tokens]
    assert times == sorted(times) and tokens[0].step_s == times[0]


def test_an_answer_ends_at_every_end_token_of_the_checkpoint(engine: VllmEngine, tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "ends"))
    checkpoints.with_generation_config(folder, eos_token_id=[40, 41])
    loaded = load(engine, folder)
    for ignore_eos in (False, True):
        run(engine, Generation(loaded.id, IDS, Sampling(max_tokens=2, ignore_eos=ignore_eos), request_id="one"))
    ended, endless = seen(engine, loaded.id)["bodies"][-2:]
    assert ended["stop_token_ids"] == [2, 40, 41], "2 is config.json's"
    assert endless["stop_token_ids"] is None


def test_several_tokens_in_one_event_are_counted_and_share_its_gap(
    engine: VllmEngine, tiny: Path, script: Script
) -> None:
    script(chunks=[2, 3, 1], chunk_s=0.03)
    tokens, finish = run(engine, request(load(engine, tiny), 11))
    assert [token.id for token in tokens] == list(range(10, 21)) and finish.output_tokens == 11
    assert "".join(token.text for token in tokens) == "".join(f"<{i}>" for i in range(10, 21))
    assert tokens[1].time_s == tokens[0].time_s and tokens[1].step_s == 0, "no gap is known inside the first event"
    assert tokens[2].step_s == pytest.approx(tokens[3].step_s) == pytest.approx(tokens[4].step_s)
    for before, after in pairwise(tokens):
        assert after.time_s - before.time_s == pytest.approx(after.step_s)
    assert tokens[5].step_s > 0.02, "alone in its event: the whole gap"


def test_vllms_own_measurement_stands_beside(engine: VllmEngine, tiny: Path, script: Script) -> None:
    script(first_s=0.2, chunk_s=0.02)
    tokens, finish = run(engine, request(load(engine, tiny), 12))
    reported = finish.reported
    assert reported is not None and reported.source == "vLLM /metrics"
    assert reported.ttft_s == pytest.approx(tokens[0].time_s, abs=0.1) and reported.ttft_s >= 0.2
    assert reported.prefill_s == pytest.approx(reported.ttft_s * 0.9)
    assert reported.decode_tok_s is not None and reported.decode_tok_s <= 50


def test_it_is_not_believed_when_others_finished_meanwhile(engine: VllmEngine, tiny: Path, script: Script) -> None:
    script(others=1)
    _, finish = run(engine, request(load(engine, tiny), 4))
    assert finish.reason == "length" and finish.reported is None


def test_a_request_at_once_waits_for_nothing_but_its_answer(engine: VllmEngine, tiny: Path) -> None:
    loaded = load(engine, tiny)
    before = seen(engine, loaded.id)["metrics_reads"]
    asked = replace(request(loaded, 4), at_once=True, group="sweep", top_logprobs=0)
    tokens, finish = run(engine, asked)
    assert len(tokens) == 4 and finish.reported is None
    assert finish.peak_memory_bytes is None, "it takes long to read, and the next request would wait for it"
    after = seen(engine, loaded.id)
    assert after["metrics_reads"] == before, "reading them would be in the time to the first token"
    assert after["bodies"][-1]["logprobs"] is None, "a softmax over the vocabulary that nobody looks at"
    assert [(token.logprob, token.top) for token in tokens] == [(None, ())] * 4


def test_abort_ends_the_request_in_vllm(engine: VllmEngine, tiny: Path, script: Script) -> None:
    script(chunk_s=0.02)
    loaded = load(engine, tiny)
    items = engine.generate(request(loaded, 400, "long"))
    taken = [next(items) for _ in range(3)]
    threading.Timer(0.05, engine.abort, ["long"]).start()
    rest = list(items)
    finish = rest[-1]
    assert isinstance(finish, Finish) and finish.reason == "abort" and finish.reported is None
    assert finish.output_tokens == len(taken) + len(rest) - 1 < 100
    eventually(lambda: running(engine, loaded.id) == 0, 2, "vLLM has stopped")
    assert len(run(engine, request(loaded, 3))[0]) == 3


def test_abort_ends_a_prefill_too(engine: VllmEngine, tiny: Path, script: Script) -> None:
    script(first_s=6)
    loaded = load(engine, tiny)
    over = threading.Event()

    def abort() -> None:
        while not over.wait(0.1):  # again: the first may come before the request does
            engine.abort("one")

    threading.Thread(target=abort, daemon=True).start()
    began = time.monotonic()
    (finish,) = engine.generate(request(loaded, 4))
    over.set()
    assert isinstance(finish, Finish) and finish.reason == "abort" and finish.output_tokens == 0
    assert time.monotonic() - began < 5


def test_closing_the_stream_ends_the_request_in_vllm(engine: VllmEngine, tiny: Path, script: Script) -> None:
    script(chunk_s=0.02)
    loaded = load(engine, tiny)
    items = engine.generate(request(loaded, 400))
    next(items)
    assert running(engine, loaded.id) == 1
    items.close()  # type: ignore[attr-defined]
    eventually(lambda: running(engine, loaded.id) == 0, 2, "vLLM has stopped")


def running(engine: VllmEngine, variant: str) -> float:
    with engine.servers.using(variant) as process:
        page = httpx.get(f"{process.url}/metrics", trust_env=False).text
    (line,) = (line for line in page.splitlines() if line.startswith("vllm:num_requests_running{"))
    return float(line.split()[-1])


def test_what_does_not_fit_is_refused_with_the_numbers(engine: VllmEngine, tiny: Path) -> None:
    loaded = load(engine, tiny)
    with pytest.raises(ContextOverflow, match="together 513, more than the 512"):
        list(engine.generate(request(loaded, 483)))
    with pytest.raises(InvalidRequest, match="empty"):
        list(engine.generate(Generation(loaded.id, ())))
    assert len(seen(engine, loaded.id)["bodies"]) == 1, "only the warm-up reached vLLM"


def test_prompts_come_from_the_reference_tokenizer(engine: VllmEngine, tiny: Path) -> None:
    chat: list[Message] = [{"role": "user", "content": "hello"}]
    assert engine.prompt(str(tiny), chat).ids == IDS, "loaded or not"
    loaded = load(engine, tiny)
    assert engine.prompt(loaded.id, "raw").template == "raw"


# Dying


@pytest.mark.parametrize("first_s", [0.01, 0.4], ids=["decode", "prefill"])
def test_killed_in_mid_stream_is_an_error_soon_and_the_next_run_works(
    engine: VllmEngine, tiny: Path, script: Script, first_s: float
) -> None:
    script(first_s=first_s, chunk_s=0.02)
    loaded = load(engine, tiny)
    server, worker = family(engine, loaded.id)
    killer = threading.Timer(0.15, os.kill, [server.pid, signal.SIGKILL])
    began = time.monotonic()
    killer.start()
    with pytest.raises(EngineDied, match="SIGKILL") as caught:
        list(engine.generate(request(loaded, 400)))
    assert time.monotonic() - began < 2.15
    assert caught.value.hint and "Starting vLLM server" in caught.value.log_tail
    eventually(lambda: gone(worker), 2, "the worker that the dead server left is gone")
    assert len(run(engine, request(load(engine, tiny), 4))[0]) == 4


@pytest.mark.parametrize(("how", "said"), [("no", "exit code 1"), ("unhealthy", "answers no more")])
def test_a_dead_core_is_a_dead_engine(engine: VllmEngine, tiny: Path, script: Script, how: str, said: str) -> None:
    """The core's death reaches the stream as an error event, a moment before the server ends."""
    script(error_at=9, lingers=how)
    loaded = load(engine, tiny)
    server, worker = family(engine, loaded.id)
    began = time.monotonic()
    with pytest.raises(EngineDied, match=said) as caught:
        list(engine.generate(request(loaded, 30)))
    assert time.monotonic() - began < 2
    assert "Starting vLLM server" in caught.value.log_tail
    assert engine.servers.loaded() == [] and gone(server)
    eventually(lambda: gone(worker), 2, "the worker is gone too")


def test_a_request_that_fails_alone_leaves_the_engine_alive(engine: VllmEngine, tiny: Path, script: Script) -> None:
    script(error_at=9, lingers="healthy")
    loaded = load(engine, tiny)
    with pytest.raises(EngineError, match="EngineCore encountered an issue") as caught:
        list(engine.generate(request(loaded, 30)))
    assert type(caught.value) is EngineError
    assert len(run(engine, request(loaded, 3))[0]) == 3


def test_killed_between_two_runs(engine: VllmEngine, tiny: Path) -> None:
    loaded = load(engine, tiny)
    server, worker = family(engine, loaded.id)
    server.kill()
    eventually(lambda: gone(server), 2, "it is dead")
    with pytest.raises(EngineDied):
        run(engine, request(loaded))
    eventually(lambda: gone(worker), 2, "its worker is gone too")
    assert load(engine, tiny).id == loaded.id


def test_what_is_held_is_known_by_the_name_it_was_asked_for(engine: VllmEngine, tiny: Path) -> None:
    assert engine.held(str(tiny)) is None
    loaded = load(engine, tiny)
    assert engine.held(str(tiny)) == engine.held(loaded.id) == loaded
    engine.unload(loaded.id)
    assert engine.held(str(tiny)) is None


def test_not_loaded_is_an_error_of_its_own(engine: VllmEngine, tiny: Path) -> None:
    with pytest.raises(UnknownVariant, match="not loaded"):
        run(engine, Generation("nothing", IDS))


APP = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from playground.core import Prompt\n"
    "from playground.engines.vllm.engine import VllmEngine\n"
    "engine = VllmEngine(lambda folder, source: Prompt(tuple(range(30)), '', 'chat', 'h'))\n"
    "loaded = engine.load(sys.argv[1], lambda _: None, lambda: False)\n"
    "with engine.servers.using(loaded.id) as process: print(process.pid, flush=True)\n"
    "time.sleep(600)\n"
)


@dataclass(frozen=True)
class App:
    """A playground in a process of its own, the vLLM that it started, and that one's worker."""

    process: subprocess.Popen[str]
    server: psutil.Process
    worker: psutil.Process

    def kill(self) -> None:
        """kill -9: nobody can clean up."""
        assert self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def app(home: Path, script: Script, interpreter: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.setenv("PLAYGROUND_VLLM_PYTHON", str(interpreter))
    process = subprocess.Popen([sys.executable, "-c", APP, str(tiny)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    server = psutil.Process(int(process.stdout.readline()))
    (worker,) = server.children()
    app = App(process, server, worker)
    yield app
    app.kill()


def test_the_whole_group_ends_when_the_app_is_killed(app: App) -> None:
    """The closed pipe has to end it."""
    app.kill()
    eventually(lambda: gone(app.server) and gone(app.worker), 5, "server and worker are gone")


def test_a_worker_that_outlived_app_and_launcher_is_swept(app: App) -> None:
    app.server.kill()  # first, so that it cannot end its worker
    app.kill()
    eventually(lambda: gone(app.server), 2, "the launcher is gone")
    assert not gone(app.worker)
    assert process.sweep_orphans() == ["vllm"]
    assert gone(app.worker)
    assert process.sweep_orphans() == []


def test_the_launcher_loads_nothing_but_the_standard_library(interpreter: Path) -> None:
    """It runs in vLLM's environment, where none of the playground's packages are."""
    code = (
        "import sys; import playground.engines.vllm.host\n"
        "print(sorted({n.split('.')[0] for n in sys.modules} - set(sys.stdlib_module_names) - {'playground'}))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [interpreter, "-c", code], cwd=root, capture_output=True, text=True, env={"PYTHONPATH": str(root)}, check=True
    )
    found = [name for name in json.loads(done.stdout.replace("'", '"')) if not name.startswith(("_", "sitecustomize"))]
    assert found == []
