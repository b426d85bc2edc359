"""The host over HTTP: protocol, clocks, aborts, limits, memory. Real processes on a tiny random model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from playground.core import Finish, Generation, Sampling, Token
from playground.engines import http
from playground.engines.transformers import TransformersEngine
from playground.errors import (
    BrokenCheckpoint,
    ContextOverflow,
    InvalidRequest,
    PlaygroundError,
    UnknownVariant,
    UnsupportedModel,
)
from tests.engines.calls import LONG, eventually, load, never, quiet, run
from tests.fakes.model import make_tiny
from tests.fakes.tiny_models import rewrite


def address(host: TransformersEngine) -> tuple[str, dict[str, str]]:
    assert host.process is not None
    return host.process.url, http.authorization(host.process.key)


@pytest.fixture
def variant(host: TransformersEngine, tiny: Path) -> str:
    return load(host, str(tiny))


def test_a_stream_carries_ids_text_times_probabilities_and_alternatives(host: TransformersEngine, variant: str) -> None:
    prompt = host.prompt(variant, [{"role": "user", "content": "What is gravity?"}])
    assert prompt.template == "chat" and prompt.text.endswith("<|im_start|>assistant\n")
    tokens, finish = run(host, Generation(variant, prompt.ids, Sampling(max_tokens=20, ignore_eos=True)))
    assert (finish.reason, finish.output_tokens, finish.prompt_tokens) == ("length", 20, len(prompt.ids))
    times = [token.time_s for token in tokens]
    assert times == sorted(times) and times[0] >= tokens[0].step_s > 0
    for earlier, later in pairwise(tokens):
        assert later.time_s - earlier.time_s >= later.step_s > 0, "a gap holds its step"
    assert all(token.logprob is not None and token.logprob <= 0 and len(token.top) == 5 for token in tokens)
    assert all(token.top[0].id == token.id for token in tokens), "greedy takes the most probable"
    assert finish.peak_memory_bytes is not None and finish.peak_memory_bytes >= 0
    assert finish.waited_s < 1e-6, "alone, it waits for nobody"


def test_openai_endpoints_agree_with_the_stream(host: TransformersEngine, variant: str) -> None:
    url, headers = address(host)
    messages = [{"role": "user", "content": "Hello"}]
    prompt = host.prompt(variant, messages)  # type: ignore[arg-type]
    tokens, _ = run(host, Generation(variant, prompt.ids, Sampling(max_tokens=12)))
    body = {"model": variant, "max_tokens": 12, "temperature": 0}
    chat = httpx.post(f"{url}/v1/chat/completions", json={**body, "messages": messages}, headers=headers).json()
    by_ids = httpx.post(f"{url}/v1/completions", json={**body, "prompt": list(prompt.ids)}, headers=headers).json()
    text = "".join(token.text for token in tokens)
    assert chat["object"] == "chat.completion" and chat["choices"][0]["message"]["content"] == text
    assert by_ids["object"] == "text_completion" and by_ids["choices"][0]["text"] == text
    assert by_ids["choices"][0]["token_ids"] == [token.id for token in tokens]
    assert chat["usage"]["prompt_tokens"] == len(prompt.ids) and chat["usage"]["completion_tokens"] == len(tokens)
    models = httpx.get(f"{url}/v1/models", headers=headers).json()
    assert variant in [entry["id"] for entry in models["data"]]
    with httpx.stream(
        "POST", f"{url}/v1/chat/completions", json={**body, "messages": messages, "stream": True}, headers=headers
    ) as response:
        lines = [line for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    assert '"chat.completion.chunk"' in lines[0] and '"delta"' in lines[0]


def test_same_seed_same_text_while_something_else_runs(host: TransformersEngine, variant: str) -> None:
    ids = host.prompt(variant, "The river").ids
    request = Generation(variant, ids, Sampling(max_tokens=40, temperature=1.2, seed=11, ignore_eos=True))
    alone = [token.id for token in run(host, request)[0]]
    beside = threading.Thread(target=run, args=(host, Generation(variant, ids, LONG)))
    beside.start()
    assert [token.id for token in run(host, request)[0]] == alone
    beside.join()


def test_a_pane_beside_another_keeps_its_own_clock(host: TransformersEngine, variant: str) -> None:
    """Two at once: what one waits for the other is on neither clock, and is reported."""
    ids = host.prompt(variant, "The river").ids
    results: dict[str, tuple[list[Token], Finish]] = {}

    def go(name: str) -> None:
        results[name] = run(host, Generation(variant, ids, LONG, request_id=name))

    threads = [threading.Thread(target=go, args=(name,)) for name in ("one", "two")]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.monotonic() - began
    own = {name: tokens[-1].time_s for name, (tokens, _) in results.items()}
    waited = {name: finish.waited_s for name, (_, finish) in results.items()}
    assert all(value > 0.2 * max(own.values()) for value in waited.values()), "they took turns"
    for name in own:
        assert own[name] + waited[name] <= wall * 1.01, "own time and waiting time make up the wall time"
        steps = sum(token.step_s for token in results[name][0])
        assert steps <= own[name] * 1.001, "the clock covers the steps"
        assert steps >= 0.2 * own[name], "and not much else, also on a busy machine"


def test_stop_strings_are_cut_and_end_the_text(host: TransformersEngine, variant: str) -> None:
    ids = host.prompt(variant, "The bridge").ids
    free = "".join(
        token.text for token in run(host, Generation(variant, ids, Sampling(max_tokens=40, ignore_eos=True)))[0]
    )
    stop = free[len(free) // 2 : len(free) // 2 + 3]
    tokens, finish = run(host, Generation(variant, ids, Sampling(max_tokens=40, ignore_eos=True, stop=(stop,))))
    assert finish.reason == "stop"
    assert "".join(token.text for token in tokens) + finish.text == free[: free.index(stop)]


def test_abort_ends_a_generation_at_once_and_keeps_its_text(host: TransformersEngine, variant: str) -> None:
    ids = host.prompt(variant, "The river").ids
    tokens: list[Token] = []
    finish = None
    for item in host.generate(Generation(variant, ids, LONG, request_id="to-abort")):
        if isinstance(item, Token):
            tokens.append(item)
            if len(tokens) == 5:
                host.abort("to-abort")
        elif isinstance(item, Finish):
            finish = item
    assert finish is not None and finish.reason == "abort"
    assert 5 <= finish.output_tokens < 420


def test_a_closed_connection_ends_the_generation(host: TransformersEngine, variant: str) -> None:
    ids = host.prompt(variant, "The river").ids
    items = host.generate(Generation(variant, ids, LONG))
    assert isinstance(next(items), Token)
    items.close()  # type: ignore[attr-defined]
    eventually(lambda: (host.health() or {})["active"] == 0, 2, "the engine is idle")


def test_context_overflow_names_both_numbers(host: TransformersEngine, variant: str) -> None:
    with pytest.raises(ContextOverflow, match=r"500 tokens.*max tokens is 100.*600.*512"):
        list(host.generate(Generation(variant, (5,) * 500, Sampling(max_tokens=100))))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"prompt": []}, "empty"),
        ({"prompt": [10**6]}, "embedding rows"),
        ({"prompt": [-1]}, "embedding rows"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 4}, "n"),
        ({"trust_remote_code": True}, "trust_remote_code"),
    ],
)
def test_invalid_requests_are_refused_with_the_field(
    host: TransformersEngine, variant: str, change: dict[str, Any], word: str
) -> None:
    url, headers = address(host)
    body = {"model": variant, "prompt": [5, 6], "max_tokens": 4, **change}
    response = httpx.post(f"{url}/v1/completions", json=body, headers=headers)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "invalid_request" and word in error["message"]


def test_a_variant_that_is_not_loaded_is_a_typed_error(host: TransformersEngine) -> None:
    with pytest.raises(UnknownVariant, match="not loaded"):
        list(host.generate(Generation("nobody", (1, 2))))


def test_a_prompt_over_the_limit_is_refused(host: TransformersEngine, variant: str) -> None:
    with pytest.raises(InvalidRequest, match="200,000"):
        host.prompt(variant, "x" * 200_001)


def test_without_the_key_or_with_a_foreign_host_nothing_is_served(host: TransformersEngine, variant: str) -> None:
    url, headers = address(host)
    body = {"model": variant, "prompt": [5], "max_tokens": 1}
    for wrong in ({}, {"Authorization": "Bearer guess"}):
        for path in ("/v1/completions", "/v1/load", "/v1/unload", "/tokenize", "/v1/requests/x/abort"):
            assert httpx.post(f"{url}{path}", json=body, headers=wrong).status_code in (400, 401), path
        assert httpx.post(f"{url}/v1/completions", json=body, headers=wrong).json()["error"]["code"] == "unauthorized"
    rebound = httpx.post(f"{url}/v1/completions", json=body, headers={**headers, "Host": "evil.example"})
    assert rebound.status_code == 400


def test_a_model_without_a_chat_template_is_a_labelled_completion(host: TransformersEngine, tmp_path: Path) -> None:
    name = load(host, str(make_tiny(tmp_path / "plain", chat=False)))
    prompt = host.prompt(name, [{"role": "user", "content": "Hello"}])
    assert (prompt.template, prompt.text) == ("raw", "Hello")
    assert (held := host.held(name)) and held.id == name and held.context > 0
    assert host.unload(name) is True and host.unload(name) is False
    assert host.held(name) is None and TransformersEngine().held(name) is None, "nothing is started to look"


def test_a_template_that_reaches_for_python_runs_nothing(host: TransformersEngine, tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "hostile")
    canary = tmp_path / "canary"
    template = "{{ lipsum.__globals__['os'].popen('touch " + str(canary) + "').read() }}"
    (folder / "chat_template.jinja").write_text(template)
    name = load(host, str(folder))
    with pytest.raises(PlaygroundError, match="template"):
        host.prompt(name, [{"role": "user", "content": "Hello"}])
    assert not canary.exists()
    host.unload(name)


def test_loading_twice_is_free_and_tells_the_same(host: TransformersEngine, tiny: Path, variant: str) -> None:
    stages: list[str] = []
    again = host.load(str(tiny), lambda progress: stages.append(progress.stage), never)
    assert again.id == variant and "Warming up" not in stages
    assert again.weight_bytes == 2 * parameters_in(tiny)
    assert again.kv_bytes_per_token == 2 * 2 * 2 * 16 * 2, "two layers, keys and values, two heads of 16, BF16"
    assert again.context == 512


def parameters_in(folder: Path) -> int:
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="numpy") as file:
        total = 0
        for name in file.keys():  # noqa: SIM118 - not a mapping
            count = 1
            for length in file.get_slice(name).get_shape():
                count *= length
            total += count
    return total


def test_on_load_variants_run_and_differ_in_memory(host: TransformersEngine, tiny: Path, variant: str) -> None:
    weights = {}
    for suffix in ("", ":nf4", ":nf4-single", ":fp4", ":int8", ":fp32", ":fp16"):
        loaded = host.load(f"{tiny}{suffix}", quiet, never)
        tokens, finish = run(host, Generation(loaded.id, (10, 20, 30), Sampling(max_tokens=4, ignore_eos=True)))
        assert len(tokens) == 4 and finish.reason == "length"
        weights[suffix] = loaded.weight_bytes
        unpacks = "it unpacks every weight matrix" in loaded.kernel  # a processor for which bitsandbytes has no kernel
        assert loaded.weights == ("unpacked" if unpacks else "packed")
        if suffix:
            assert host.unload(loaded.id)
    assert weights[":fp32"] == 2 * weights[""] == 2 * weights[":fp16"]
    # (Double quantization only pays from a few hundred blocks on: its second code costs 1 KB a layer.)
    assert weights[":nf4-single"] < weights[":int8"] < weights[""] and weights[":fp4"] == weights[":nf4"]


def test_memory_returns_after_many_loads_and_unloads(host: TransformersEngine, tmp_path: Path) -> None:
    path = str(make_tiny(tmp_path / "again"))
    for _ in range(3):
        load(host, path)
        host.unload(path)
    start = (host.health() or {})["rss_bytes"]
    for _ in range(25):
        load(host, path)
        host.unload(path)
    end = (host.health() or {})["rss_bytes"]
    assert end < start * 1.1, f"{start / 1e6:.0f} MB at the start, {end / 1e6:.0f} MB after 25 loads"


DOWN = "model.layers.1.mlp.down_proj.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.pop("lm_head.weight"), "lm_head.weight is missing from the checkpoint."),
        (
            lambda tensors: [tensors.pop(name) for name in (DOWN, "lm_head.weight")],
            "lm_head.weight is missing from the checkpoint, and 1 more.",
        ),
        (
            lambda tensors: tensors.update({DOWN: tensors[DOWN][:, :96].contiguous()}),
            f"{DOWN} is 64 x 96 in the checkpoint and 64 x 128 by its config.json.",
        ),
    ],
    ids=["a head", "two weights", "another shape"],
)
def test_a_weight_that_is_not_in_the_file_is_never_made_up(
    host: TransformersEngine, tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    folder = rewrite(make_tiny(tmp_path / "incomplete"), change)
    with pytest.raises(BrokenCheckpoint) as caught:
        load(host, str(folder))
    assert caught.value.message == words
    if "missing" in words:
        with pytest.raises(BrokenCheckpoint, match=r"lm_head\.weight is missing"):
            load(host, f"{folder}:nf4")


def test_whatever_a_load_stumbles_over_is_a_sentence(host: TransformersEngine, tmp_path: Path) -> None:
    """BART's decoder alone takes the length of its cache from the layers of an encoder that is not there."""
    from transformers import BartConfig, BartForCausalLM

    folder = make_tiny(tmp_path / "bart")
    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 3, "decoder_ffn_dim": 32, "vocab_size": 300}
    config = BartConfig(**sizes, encoder_attention_heads=4, decoder_attention_heads=4, is_encoder_decoder=False)
    BartForCausalLM(config).save_pretrained(folder)
    with pytest.raises(UnsupportedModel, match=r"could not be loaded: transformers stopped with IndexError \("):
        load(host, str(folder))
