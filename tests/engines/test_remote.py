"""The remote engine against real server processes: one that behaves, one for each way not to, and our own host."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.core import UNKNOWN_ID, Finish, Generation, Loaded, Message, Progress, Sampling, Token
from playground.engines.remote.engine import RemoteEngine
from playground.engines.remote.errors import from_status
from playground.engines.remote.served import KINDS, UNKNOWN, body, not_taken, refused_by
from playground.engines.transformers import TransformersEngine
from playground.engines.wire import Chunks, Scrub, entries_of
from playground.errors import (
    ContextOverflow,
    EngineError,
    EngineUnavailable,
    PlaygroundError,
    UnknownModel,
    UnknownVariant,
    UnsafeAddress,
    UnsupportedModel,
)
from playground.models import endpoints
from playground.models.endpoints import Endpoint
from playground.speed.bench import bench
from playground.speed.spec import Plan
from tests.engines.calls import eventually, never, quiet
from tests.fakes import openai_server
from tests.fakes.openai_server import MODEL, WORDS

KEY = "sk-very-secret-0123456789"
ASK: tuple[Message, ...] = ({"role": "user", "content": "What is gravity?"},)
Start = Callable[..., str]


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Start a server in this mode and add it as endpoint `lab`; returns its root URL."""
    running: list[subprocess.Popen[str]] = []

    def begin(mode: str, *arguments: str, key: str = KEY, model: str = MODEL, scheme: str = "http") -> str:
        command = [sys.executable, openai_server.__file__, mode, *(("--key", key) if key else ()), *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout
        url = f"{scheme}://127.0.0.1:{process.stdout.readline().strip()}"
        endpoints.add(Endpoint("lab", url, key, model=model))
        return url

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def engine() -> Iterator[RemoteEngine]:
    made = RemoteEngine()
    yield made
    made.close()


def load(engine: RemoteEngine, variant: str = "@lab") -> Loaded:
    return engine.load(variant, quiet, never)


def asked(engine: RemoteEngine, max_tokens: int = 30, top: int = 3, **options: Any) -> Generation:
    prompt = engine.prompt("@lab", ASK)
    return Generation("@lab", prompt.ids, Sampling(max_tokens=max_tokens, **options), top, "r1", messages=ASK)


def split(items: list[Progress | Token | Finish]) -> tuple[list[Token], Finish]:
    assert isinstance(items[-1], Finish)
    return [item for item in items if isinstance(item, Token)], items[-1]


def seen(url: str) -> list[dict[str, Any]]:
    return list(httpx.get(f"{url}/seen", trust_env=False).json())


def test_a_server_of_openais_fields_alone(start: Start, engine: RemoteEngine) -> None:
    url = start("fine")
    stages: list[str] = []
    loaded = engine.load("@lab", lambda progress: stages.append(progress.stage), never)
    assert stages == [f"Asking {url.removeprefix('http://')}"]
    assert (loaded.engine, loaded.device, loaded.clock, loaded.stepped) == ("remote", "remote", "client", False)
    assert (loaded.weight_bytes, loaded.context, loaded.id, loaded.weights) == (0, 0, "@lab", "")
    for words in ("runs elsewhere", "its own chat template", "a chunk counts as one token", "does not get top-k"):
        assert words in loaded.kernel
    prompt = engine.prompt("@lab", ASK)
    assert (prompt.ids, prompt.template) == ((), "remote")
    tokens, finish = split(list(engine.generate(asked(engine))))
    assert [token.text for token in tokens] == list(WORDS) and {token.id for token in tokens} == {UNKNOWN_ID}
    assert (finish.reason, finish.prompt_tokens, finish.output_tokens, finish.reported) == ("stop", 5, len(WORDS), None)
    times = [token.time_s for token in tokens]
    assert times == sorted(times) and times[0] == tokens[0].step_s > 0
    for earlier, later in pairwise(tokens):
        assert later.step_s == pytest.approx(later.time_s - earlier.time_s, abs=1e-9)
    chat = seen(url)[-1]
    assert chat["path"] == "/v1/chat/completions" and chat["body"]["messages"] == list(ASK)
    assert not {"top_k", "repetition_penalty", "ignore_eos", "return_token_ids"} & set(chat["body"])
    assert chat["headers"]["Authorization"] == f"Bearer {KEY}"
    assert load(engine).load_s == 0, "ready: nobody is asked again"
    assert seen(url)[-1] == chat
    with pytest.raises(UnsupportedModel, match="takes only chats"):
        engine.prompt("@lab", "The river")


@pytest.mark.parametrize("mode", ["ids", "pairs", "llamacpp"])
def test_servers_that_take_token_ids_get_them(mode: str, start: Start, engine: RemoteEngine) -> None:
    url = start(mode)
    loaded = load(engine)
    assert "prompts go as token ids; tokens are counted by their ids" in loaded.kernel
    assert (loaded.context, loaded.dtype) == ((1024, "Q4_1") if mode == "llamacpp" else (2048, "?"))
    prompt = engine.prompt("@lab", ASK)
    assert prompt.ids and prompt.template == "chat"
    request = asked(engine, top_k=7, repetition_penalty=1.3, ignore_eos=True, stop=("###",))
    tokens, finish = split(list(engine.generate(request)))
    assert [token.id for token in tokens] == [100 + at for at in range(len(WORDS))]
    assert "".join(token.text for token in tokens) == "".join(WORDS)
    assert all(token.logprob is not None and token.top for token in tokens)
    assert finish.output_tokens == len(WORDS)
    sent = seen(url)[-1]
    assert sent["path"] == "/v1/completions" and sent["body"]["prompt"] == list(prompt.ids)
    penalty = "repeat_penalty" if mode == "llamacpp" else "repetition_penalty"
    assert [sent["body"][name] for name in ("top_k", penalty, "ignore_eos", "stop")] == [7, 1.3, True, ["###"]]
    assert engine.prompt("@lab", "The river").template == "raw"


@pytest.mark.parametrize("mode", ["ids", "llamacpp"])
def test_no_prompt_comes_from_a_cache(mode: str, start: Start, engine: RemoteEngine) -> None:
    url = start(mode)
    load(engine)
    for _ in range(2):
        list(engine.generate(asked(engine)))
    bodies = [one["body"] for one in seen(url) if one["path"] == "/v1/completions"]
    if mode == "llamacpp":
        assert {body["cache_prompt"] for body in bodies} == {False}
    else:
        assert len({body["cache_salt"] for body in bodies}) == len(bodies) == 3


def test_tokens_that_came_in_one_chunk_share_its_gap(start: Start, engine: RemoteEngine) -> None:
    start("pairs")
    load(engine)
    tokens, _ = split(list(engine.generate(asked(engine))))
    assert len(tokens) == len(WORDS), "two a chunk, and every one counted"
    assert tokens[0].time_s == tokens[1].time_s and tokens[1].step_s == 0, "nothing is known of the first pair's gap"
    for first, second in zip(tokens[2:10:2], tokens[3:10:2], strict=True):
        assert first.step_s == pytest.approx(second.step_s)
    # A busy machine may read two chunks at once: then the gap belongs to the first of them, and is still counted once.
    arrivals = [list(group) for _, group in groupby(tokens, key=lambda token: token.time_s)]
    assert len(arrivals) > 1
    for before, after in pairwise(arrivals):
        assert sum(token.step_s for token in after) == pytest.approx(after[0].time_s - before[0].time_s)
    assert sum(token.step_s for token in tokens) == pytest.approx(tokens[-1].time_s)


def test_a_running_count_is_used(start: Start, engine: RemoteEngine) -> None:
    start("usage")
    assert "counted by the endpoint" in load(engine).kernel
    tokens, finish = split(list(engine.generate(asked(engine))))
    assert len(tokens) == finish.output_tokens == len(WORDS)


def test_a_model_without_a_chat_template_continues_raw_text(start: Start, engine: RemoteEngine) -> None:
    url = start("raw-only")
    assert not load(engine).has_chat_template
    prompt = engine.prompt("@lab", ASK)
    assert prompt.template == "raw" and prompt.text == "What is gravity?"
    split(list(engine.generate(asked(engine))))
    assert seen(url)[-1]["body"]["prompt"] == list(prompt.ids)


def test_fields_that_a_server_does_not_know_are_left_out_and_told(start: Start, engine: RemoteEngine) -> None:
    url = start("no-fields")
    assert load(engine).kernel.endswith("it does not get top-k, repetition penalty, ignore EOS, seed")
    before = len(seen(url))
    tokens, _ = split(list(engine.generate(asked(engine))))
    assert len(tokens) == len(WORDS)
    after = seen(url)[before:]
    assert len(after) == 1, "what was learned while loading is not tried again"
    assert after[0]["body"]["max_completion_tokens"] == 30 and "logprobs" not in after[0]["body"]


def test_a_model_is_found_by_name(start: Start, engine: RemoteEngine) -> None:
    start("models", model="")
    with pytest.raises(UnknownModel) as caught:
        load(engine)
    assert MODEL in caught.value.hint and "@lab/MODEL" in caught.value.hint
    with pytest.raises(UnknownModel, match="does not serve 'lab/tiny-7'") as caught:
        load(engine, "@lab/lab/tiny-7")
    assert f"Did you mean '{MODEL}'?" in caught.value.hint
    assert load(engine, f"@lab/{MODEL}").id == f"@lab/{MODEL}"
    assert engine.models("lab") == [MODEL, "lab/other"]
    start("fine", model="")
    assert load(engine).id == "@lab", "the only model of an endpoint needs no name"


@pytest.mark.parametrize("mode", ["no-models", "many"])
def test_a_list_of_models_is_not_needed(mode: str, start: Start, engine: RemoteEngine) -> None:
    start(mode)
    assert load(engine) and engine.models("lab") is None
    start(mode, model="")
    with pytest.raises(UnknownModel, match="does not serve"):
        load(engine)


def test_a_changed_endpoint_is_asked_anew(start: Start, engine: RemoteEngine) -> None:
    start("fine")
    load(engine)
    request = asked(engine)
    start("ids")
    with pytest.raises(UnknownVariant):
        list(engine.generate(request))
    assert "token ids" in load(engine).kernel


LOADING = [
    ("401", EngineUnavailable, "does not accept the key (401): Incorrect API key provided.", "valid key"),
    ("404", PlaygroundError, "does not serve this (404): The model does not exist.", "Test endpoint lab"),
    ("429", EngineUnavailable, "has too many requests (429): Rate limit reached.", "wait 7 s"),
    ("500", EngineUnavailable, "failed (500): Internal [31m Server Error.", "Its own log"),
    ("redirect", EngineUnavailable, "redirect (302), and redirects are not followed", "leads to http://169.254.169.254/"),
    ("html", EngineError, "sent no JSON", "OpenAI-compatible"),
    ("endless-body", EngineError, "sent no stream of events", "OpenAI-compatible"),
    ("compressed", EngineError, "compressed answer", "OpenAI-compatible"),
    ("too-many", EngineError, "more than the 2 tokens", "OpenAI-compatible"),
    ("echo-key", EngineUnavailable, "(401): Incorrect API key provided: [key]. Bad xxx", "valid key"),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "kind", "message", "hint"), LOADING, ids=[row[0] for row in LOADING])
def test_failures_while_loading(
    mode: str, kind: type[PlaygroundError], message: str, hint: str, start: Start, engine: RemoteEngine
) -> None:
    start(mode)
    with pytest.raises(kind) as caught:
        load(engine)
    told = caught.value
    assert message in told.message and hint in told.hint and told.message.startswith("Endpoint lab (127.0.0.1:")
    assert len(told.message) < 450 and told.message.isprintable()
    assert KEY not in str(told) + repr(told)


MID_STREAM = [
    ("cut", EngineUnavailable, "closed the connection before the end", 5),
    ("hang-mid", EngineUnavailable, "has said nothing for 0.5 s", 5),
    ("hang-first", EngineUnavailable, "has said nothing for 0.5 s", 0),
    ("error-event", EngineUnavailable, "CUDA out of memory", 5),
    ("endless-line", EngineError, "a line of more than 1 MiB", 0),
]


@pytest.mark.parametrize(("mode", "kind", "message", "before"), MID_STREAM, ids=[row[0] for row in MID_STREAM])
def test_failures_in_mid_stream_keep_what_came(
    mode: str,
    kind: type[PlaygroundError],
    message: str,
    before: int,
    start: Start,
    engine: RemoteEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLAYGROUND_REMOTE_TIMEOUT_S", "0.5")
    url = start(mode)
    load(engine)
    items: list[Progress | Token | Finish] = []
    with pytest.raises(kind) as caught:
        items.extend(engine.generate(asked(engine)))
    assert message in caught.value.message and KEY not in str(caught.value)
    assert sum(isinstance(item, Token) for item in items) == before
    if mode == "endless-line":
        eventually(lambda: seen(url)[-1]["gone"], 5, "the connection is closed")
    with pytest.raises(UnknownVariant):
        engine.prompt("@lab", ASK)


def test_nobody_listens(home: Path, engine: RemoteEngine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    endpoints.add(Endpoint("lab", f"http://127.0.0.1:{port}", KEY))
    with pytest.raises(EngineUnavailable, match="cannot be reached: Connection refused"):
        load(engine)


def test_a_missing_key_is_asked_for(start: Start, engine: RemoteEngine) -> None:
    url = start("fine")
    endpoints.add(Endpoint("lab", url))
    with pytest.raises(EngineUnavailable, match="wants a key") as caught:
        load(engine)
    assert "with its key" in caught.value.hint


def test_a_name_that_does_not_resolve(home: Path, engine: RemoteEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    endpoints.add(Endpoint("lab", "http://nowhere.example", KEY))
    with pytest.raises(EngineUnavailable, match=r"name nowhere\.example of endpoint lab cannot be resolved"):
        load(engine)


def test_the_address_is_checked_where_it_is_connected_to(
    start: Start, engine: RemoteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that was harmless when it was added, and is rebound before, or between, two connections."""
    url = start("fine")
    port = int(url.rsplit(":", 1)[1])
    answers, connected = ["127.0.0.1"], []
    real = socket.create_connection

    def rebound(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[0], port))]

    def connect(address: tuple[str, int], *rest: Any, **more: Any) -> socket.socket:
        connected.append(address[0])
        return real(address, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(socket, "create_connection", connect)
        patch.setattr(socket, "getaddrinfo", lambda host, *rest, **options: rebound())
        endpoints.add(Endpoint("lab", f"http://rebind.example:{port}", KEY, model=MODEL))
        load(engine)
        answers[0] = "169.254.169.254"
        other = RemoteEngine()
        with pytest.raises(UnsafeAddress, match=r"leads to 169\.254\.169\.254, link-local"):
            load(other)
        other.close()
        for refused in ("0.0.0.0", "::ffff:169.254.169.254", "fd00:ec2::254", "224.0.0.1"):  # noqa: S104
            answers[0] = refused
            fresh = RemoteEngine()
            with pytest.raises(UnsafeAddress):
                load(fresh)
            fresh.close()
    assert set(connected) == {"127.0.0.1"}, "nothing else was connected to"
    assert seen(url)[0]["headers"]["Host"] == f"rebind.example:{port}", "the name stays in the request"


def test_no_proxy_of_the_environment(start: Start, engine: RemoteEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    start("fine")
    assert load(engine)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_tls(start: Start, engine: RemoteEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = tmp_path / "both.pem"
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lab"]
    options += ["-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", *options, "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")]
    subprocess.run(command, check=True, capture_output=True)
    certificate.write_bytes((tmp_path / "key").read_bytes() + (tmp_path / "cert").read_bytes())
    url = start("fine", "--certificate", str(certificate), scheme="https")
    with pytest.raises(EngineUnavailable, match="certificate that is not trusted: self"):
        load(engine)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
    trusting = RemoteEngine()
    assert load(trusting)
    tokens, _ = split(list(trusting.generate(asked(trusting))))
    trusting.close()
    assert len(tokens) == len(WORDS)
    endpoints.add(Endpoint("lab", url.replace("https", "http"), KEY))
    with pytest.raises(EngineUnavailable, match="closed the connection"):
        load(engine)
    plain = start("fine")
    endpoints.add(Endpoint("lab", plain.replace("http", "https"), KEY))
    with pytest.raises(EngineUnavailable, match="does not speak TLS") as caught:
        load(engine)
    assert "http:// instead of https://" in caught.value.hint


@pytest.mark.parametrize("mode", ["hang-first", "hang-mid", "drip"])
def test_abort_ends_it_at_both_sides(mode: str, start: Start, engine: RemoteEngine) -> None:
    url = start(mode)
    load(engine)
    request = asked(engine, max_tokens=4000)
    items: list[Progress | Token | Finish] = []
    running = threading.Thread(target=lambda: items.extend(engine.generate(request)))
    running.start()
    eventually(lambda: seen(url)[-1]["body"]["max_tokens"] == 4000, 5, "the request arrives")
    if mode != "hang-first":
        time.sleep(0.2)
    engine.abort("r1")
    running.join(2)
    assert not running.is_alive()
    tokens, finish = split(items)
    assert finish.reason == "abort" and finish.output_tokens == len(tokens)
    if mode == "drip":
        eventually(lambda: seen(url)[-1]["gone"], 5, "the server sees the connection closed")


def test_closing_the_iterator_closes_the_connection(start: Start, engine: RemoteEngine) -> None:
    url = start("drip")
    load(engine)
    stream = engine.generate(asked(engine, max_tokens=4000))
    for item in stream:
        if isinstance(item, Token):
            break
    stream.close()  # type: ignore[attr-defined]
    eventually(lambda: seen(url)[-1]["gone"], 5, "the server sees the connection closed")
    assert load(engine).load_s == 0, "the endpoint itself is fine"


def test_a_load_can_be_cancelled(start: Start, engine: RemoteEngine) -> None:
    start("hang")
    began = time.monotonic()
    with pytest.raises(PlaygroundError) as caught:
        engine.load("@lab", quiet, lambda: time.monotonic() - began > 0.2)
    assert caught.value.code == "cancelled"


def test_a_key_in_the_generated_text_reaches_no_run(start: Start, engine: RemoteEngine) -> None:
    start("echo-key-in-text")
    load(engine)
    tokens, finish = split(list(engine.generate(asked(engine))))
    text = "".join(token.text for token in tokens) + finish.text
    assert KEY not in text and KEY[4:] not in text and "[key]" in text
    assert KEY[4:] not in "".join(token.piece for token in tokens)


KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40)


@given(
    key=KEYS, before=st.text(max_size=20), after=st.text(max_size=20), cuts=st.lists(st.integers(0, 90), max_size=12)
)
def test_a_key_is_found_wherever_the_text_is_cut(key: str, before: str, after: str, cuts: list[int]) -> None:
    text, scrub = before + key + after, Scrub(key)
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    out = "".join(scrub.piece(text[a:b]) for a, b in pairwise(edges)) + scrub.rest()
    assert key not in out


@given(text=st.text(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=8))
def test_text_without_the_key_passes_unchanged(text: str, cuts: list[int]) -> None:
    scrub = Scrub("sk-very-secret")
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    assert "".join(scrub.piece(text[a:b]) for a, b in pairwise(edges)) + scrub.rest() == text
    assert Scrub("EMPTY").whole("an EMPTY box") == "an EMPTY box", "a placeholder is no secret"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
LOGPROBS = st.dictionaries(st.sampled_from(["content", "tokens", "token_logprobs", "top_logprobs"]), JSON)
FIELDS = {
    "text": JSON,
    "delta": st.dictionaries(st.sampled_from(["content", "role"]), JSON),
    "token_ids": JSON,
    "finish_reason": JSON,
    "logprobs": LOGPROBS,
}
CHOICE = st.fixed_dictionaries({}, optional=FIELDS)


@given(event=st.fixed_dictionaries({}, optional={"choices": JSON | st.lists(CHOICE, max_size=2), "usage": JSON}))
def test_any_chunk_is_read_or_refused(event: dict[str, Any]) -> None:
    chunks = Chunks(Scrub(""))
    try:
        tokens = list(chunks.add(event, 1.0))
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError):
        return
    assert chunks.count == len(tokens)


def test_a_chunk_without_a_token_keeps_its_text_for_later() -> None:
    chunks = Chunks(Scrub(""))
    assert list(chunks.add({"choices": [{"text": "\ufffd", "token_ids": []}]}, 0.1)) == []
    (token,) = chunks.add({"choices": [{"text": "你", "token_ids": [7]}]}, 0.2)
    assert (token.id, token.text) == (7, "\ufffd你")
    assert list(chunks.add({"choices": [{"text": "!", "token_ids": [], "finish_reason": "stop"}]}, 0.3)) == []
    assert (chunks.rest(), chunks.finish) == ("!", "stop")


def test_a_total_at_the_end_is_no_running_count() -> None:
    chunks = Chunks(Scrub(""))
    for at in range(3):
        assert len(list(chunks.add({"choices": [{"delta": {"content": "ab"}}]}, at))) == 1
    usage = {"prompt_tokens": 4, "completion_tokens": 9}
    assert (
        len(list(chunks.add({"choices": [{"delta": {"content": "c"}, "finish_reason": "length"}], "usage": usage}, 3)))
        == 1
    )
    assert (chunks.counting, chunks.count, chunks.output_tokens, chunks.finish) == ("chunks", 4, 9, "length")


def test_both_shapes_of_log_probabilities() -> None:
    chat = {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": [{"token": "b", "logprob": -2}]}]}
    plain = {"tokens": ["a"], "token_logprobs": [-0.1], "top_logprobs": [{"b": -2}]}
    assert entries_of(chat) == entries_of(plain)
    assert entries_of(None) == entries_of({}) == []


def test_only_what_a_message_names_is_left_out() -> None:
    sent = body(KINDS["vllm"], "m", [1, 2], Sampling(), 5)
    assert refused_by("Extra inputs are not permitted: top_k", sent) == {"top_k"}
    assert refused_by("logprobs is not supported", sent) == {"logprobs", "top_logprobs"}
    assert refused_by("the temperature of this model cannot be set", sent) == frozenset()
    assert refused_by("max_tokens is too large", sent) == frozenset(), "a limit is not a name"
    assert refused_by("unknown field continuous_usage_stats", sent) == {"continuous_usage_stats"}
    plain = body(UNKNOWN, "m", list(ASK), Sampling(), 0, frozenset({"seed", "logprobs", "top_logprobs"}))
    assert set(plain) == {"model", "messages", "max_tokens", "temperature", "top_p", "stream", "stream_options"}
    assert not_taken(KINDS["vllm"], frozenset()) == []
    assert not_taken(KINDS["vllm"], frozenset({"top_k", "seed"})) == ["top-k", "seed"]


@pytest.mark.parametrize(
    "said",
    [
        {"error": {"message": "This model's maximum context length is 2048 tokens."}},
        {"error": {"code": "context_overflow", "message": "too long"}},
        {"error": {"type": "exceed_context_size_error", "message": "the request exceeds"}},
    ],
)
def test_a_full_context_is_its_own_error(said: dict[str, Any]) -> None:
    endpoint = Endpoint("lab", "http://h/v1")
    assert isinstance(from_status(endpoint, 400, {}, json.dumps(said).encode(), Scrub("")), ContextOverflow)


def test_our_own_host_as_an_endpoint(
    host: TransformersEngine,
    engine: RemoteEngine,
    home: Path,
) -> None:
    """The bundled model through the transformers engine, and through HTTP as anybody's server: the same tokens."""
    direct = host.load("smollm2", quiet, never)
    assert host.process is not None
    endpoints.add(Endpoint("own", host.process.url, host.process.key, model="smollm2"))
    loaded = engine.load("@own", quiet, never)
    assert "(Quantization Playground)" in loaded.kernel and "prompts go as token ids" in loaded.kernel
    assert "does not get" not in loaded.kernel
    assert (loaded.context, loaded.tokenizer_hash) == (direct.context, direct.tokenizer_hash)
    prompt = engine.prompt("@own", ASK)
    assert prompt == host.prompt("smollm2", ASK)
    sampling = Sampling(max_tokens=24)
    here, _ = split(list(host.generate(Generation("smollm2", prompt.ids, sampling))))
    there, finish = split(list(engine.generate(Generation("@own", prompt.ids, sampling, request_id="r"))))
    assert [token.id for token in there] == [token.id for token in here] and len(there) == 24
    assert [token.text for token in there] == [token.text for token in here]
    assert [token.top for token in there] == [token.top for token in here]
    assert (finish.reason, finish.prompt_tokens, finish.output_tokens) == ("length", len(prompt.ids), 24)
    raw = engine.prompt("@own", "The river")
    assert raw == host.prompt("smollm2", "The river") and raw.template == "raw"
    too_many = Generation("@own", prompt.ids * 400, sampling)
    with pytest.raises(ContextOverflow):
        list(engine.generate(too_many))


def test_bench_measures_an_endpoint_that_takes_token_ids(start: Start, engine: RemoteEngine) -> None:
    url = start("ids")
    prefill, decode = bench(
        engine, ["@lab"], Plan(prompt_tokens=32, output_tokens=len(WORDS), depths=(0,), runs=2), None
    )
    assert (prefill.test, decode.test, prefill.error, decode.error) == ("pp32", f"tg{len(WORDS)}", "", "")
    assert (decode.engine, decode.clock, decode.runs, decode.mbu) == ("remote", "client", 2, None)
    assert prefill.tok_s_mean and decode.tok_s_mean and decode.tok_s_mean > 0
    sent = [one["body"]["prompt"] for one in seen(url) if one["path"] == "/v1/completions"]
    assert [len(ids) for ids in sent] == [1] + [32] * 3 + [1] * 3, "whether it takes ids; then a warm-up each"


def test_bench_refuses_an_endpoint_that_takes_only_chats(start: Start, engine: RemoteEngine) -> None:
    start("fine")
    rows = list(bench(engine, ["@lab"], Plan(prompt_tokens=32, output_tokens=len(WORDS), depths=(0,), runs=2), None))
    assert rows and all(row.tok_s_mean is None for row in rows)
    assert "takes only chats" in rows[0].error and rows[0].hint
