"""What the one client makes of an answer that is no answer, of a process that lives and of one that does not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import httpx
import pytest

from playground.engines import http
from playground.errors import Cancelled, ContextOverflow, EngineDied, EngineError, to_wire

Answer = Callable[[httpx.Request], httpx.Response]


@dataclass
class Process:
    """What the client asks of a `ServerProcess`."""

    alive: bool = True
    name: str = "llama.cpp"
    url: str = "http://127.0.0.1:1"
    key: str = "k"

    def obituary(self) -> EngineDied:
        return EngineDied(f"The {self.name} engine died.", log_tail=self.log_tail())

    def log_tail(self) -> str:
        return "last words"


def refuse(_request: httpx.Request) -> httpx.Response:
    body = to_wire(ContextOverflow("Too long.", hint="Shorten it."))
    return httpx.Response(400, json=body)


def garbage(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text="<html>")


def vanish(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("gone", request=request)


def call(answer: Answer, process: Process) -> dict[str, object]:
    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        return http.post(client, process, "/tokenize", {"a": 1})  # type: ignore[arg-type]


def test_the_key_and_the_body_arrive_and_the_answer_comes_back() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"saw": request.headers["Authorization"], "body": json.loads(request.content)})

    assert call(answer, Process()) == {"saw": "Bearer k", "body": {"a": 1}}


@pytest.mark.parametrize(
    ("answer", "alive", "kind", "message"),
    [
        (refuse, True, ContextOverflow, "Too long. Shorten it."),
        (refuse, False, EngineDied, "The llama.cpp engine died."),
        (garbage, True, EngineError, "The llama.cpp engine sent an answer that cannot be read (JSONDecodeError)."),
        (garbage, False, EngineDied, "The llama.cpp engine died."),
        (vanish, True, EngineDied, "The llama.cpp engine died."),
        (vanish, False, EngineDied, "The llama.cpp engine died."),
    ],
)
def test_what_a_failed_call_means(answer: Answer, alive: bool, kind: type[EngineError], message: str) -> None:
    with pytest.raises(kind) as caught:
        call(answer, Process(alive))
    assert type(caught.value) is kind
    assert str(caught.value).startswith(message)
    if kind is not ContextOverflow:
        assert caught.value.log_tail == "last words"


@pytest.mark.parametrize(("keep_alive", "header"), [(True, "keep-alive"), (False, "close")])
def test_a_server_that_closes_silently_gets_a_connection_per_request(keep_alive: bool, header: str) -> None:
    with http.new_client(keep_alive=keep_alive) as client:
        assert client.build_request("GET", "http://127.0.0.1:1/").headers["Connection"] == header


# Streams, from a server that does what the first line of the request's path says.


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    ports: ClassVar[list[int]] = []  # of the clients, one a request
    cookies: ClassVar[list[str | None]] = []
    gone = threading.Event()

    def do_POST(self) -> None:
        self.ports.append(self.client_address[1])
        self.cookies.append(self.headers.get("Cookie"))
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/silent":
            self.gone.clear()
            if not self.rfile.read(1):  # the end of the connection
                self.gone.set()
            return
        self.send_response(400 if self.path == "/refused" else 200)
        for name, value in (("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")):
            self.send_header(name, value)
        if self.path == "/compressed":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Set-Cookie", "a=b")
        self.end_headers()
        texts = {
            "/two": 'data: {"n": 1}\n\n: a comment\n\ndata: {"n": 2}\n\ndata: [DONE]\n\n',
            "/error": 'data: {"n": 1}\n\ndata: {"error": {"message": "broke"}}\n\n',
            "/refused": '{"error": {"code": "context_overflow", "message": "Too long.", "hint": "Shorten it."}}',
            "/list": "data: [1]\n\n",
            "/garbage": "data: {\n\n",
            "/cut": 'data: {"n": 1}\n\n',
            "/long": "data: " + "x" * 2000,
            "/many": 'data: {"n": 1}\n\n' * 5000,
        }
        if self.path == "/paced":
            for n in range(4):
                self.chunk(f'data: {{"n": {n}}}\n\n')
                time.sleep(0.05)
        else:
            self.chunk(texts.get(self.path, texts["/two"]))
        if self.path == "/cut":
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def chunk(self, text: str) -> None:
        self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Server.ports.clear()
    Server.cookies.clear()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with http.new_client() as made:
        yield made


def numbers(client: httpx.Client, address: str, **more: Any) -> list[int]:
    with http.stream(client, address, {}, http.refused, **more) as events:
        return [arrival.event["n"] for arrival in events]


def test_events_come_one_by_one_over_one_connection_and_no_cookie_goes_back(client: httpx.Client, url: str) -> None:
    for _ in range(3):
        assert numbers(client, f"{url}/two") == [1, 2]
    assert len(Server.ports) == 3 and len(set(Server.ports)) == 1
    assert Server.cookies == [None] * 3


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("error", EngineError, "broke"),
        ("refused", ContextOverflow, "Too long."),
        ("list", http.Unreadable, "an event that is no object"),
        ("garbage", http.Unreadable, "no JSON"),
        ("compressed", http.Unreadable, "a compressed answer"),
        ("cut", httpx.RemoteProtocolError, "peer closed connection"),
        ("long", http.Oversized, "a line of more than 0 MiB"),
    ],
)
def test_what_ends_a_stream_badly(
    client: httpx.Client, url: str, path: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        numbers(client, f"{url}/{path}", limits=http.Limits(line=1000, answer=10_000))
    assert type(caught.value) is kind


def test_an_answer_has_a_limit_however_short_its_lines_are(client: httpx.Client, url: str) -> None:
    with pytest.raises(http.Oversized, match="a stream"):
        numbers(client, f"{url}/two", limits=http.Limits(line=1000, answer=20))


def test_a_slow_reader_falsifies_no_arrival(client: httpx.Client, url: str) -> None:
    times = []
    with http.stream(client, f"{url}/paced", {}, http.refused) as events:
        for arrival in events:
            times.append(arrival.time_s)
            time.sleep(0.15)
    assert len(times) == 4 and times[-1] < 0.4, "the last one came after 0.15 s, and was taken after 0.45 s"


@pytest.mark.parametrize("pooled", [True, False])
def test_a_request_that_gets_no_answer_ends_at_once_from_another_thread(
    client: httpx.Client, url: str, pooled: bool
) -> None:
    """As in a long prefill: not even the headers have come."""
    if pooled:
        numbers(client, f"{url}/two")
    with http.stream(client, f"{url}/silent", {}, http.refused) as events:
        threading.Timer(0.2, events.close).start()
        began = time.monotonic()
        assert list(events) == []
        assert time.monotonic() - began < 1
        assert Server.gone.wait(2), "the server sees it"
    assert len(set(Server.ports)) == 1
    assert numbers(client, f"{url}/two") == [1, 2], "the pool has not kept the connection that was cut"


def test_a_cancelled_request_ends_though_nothing_comes(client: httpx.Client, url: str) -> None:
    began = time.monotonic()
    with pytest.raises(Cancelled):
        numbers(client, f"{url}/silent", is_cancelled=lambda: time.monotonic() - began > 0.2)
    assert Server.gone.wait(2) and time.monotonic() - began < 2


def test_a_late_close_does_not_touch_the_next_request_on_the_connection(client: httpx.Client, url: str) -> None:
    with http.stream(client, f"{url}/two", {}, http.refused) as first:
        assert len(list(first)) == 2
    with http.stream(client, f"{url}/paced", {}, http.refused) as second:
        arrivals = iter(second)
        next(arrivals)
        first.close()
        assert len(list(arrivals)) == 3
    assert len(set(Server.ports)) == 1


def test_a_server_that_sends_more_than_is_taken_waits(client: httpx.Client, url: str) -> None:
    with http.stream(client, f"{url}/many", {}, http.refused) as events:
        arrivals = iter(events)
        next(arrivals)
        time.sleep(0.3)
        assert events._items.qsize() <= http.PENDING
        assert len(list(arrivals)) == 4999


def test_no_other_character_ends_a_line_of_a_stream() -> None:
    text = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"
    body = f"data: {json.dumps({'text': text}, ensure_ascii=False)}\r\n\r\ndata: [DONE]\r\n\r\n".encode()
    pieces = [body[at : at + 3] for at in range(0, len(body), 3)]

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=iter(pieces))

    with (
        httpx.Client(transport=httpx.MockTransport(answer)) as client,
        http.stream(client, "http://127.0.0.1:1/", {}, http.refused) as events,
    ):
        assert [arrival.event for arrival in events] == [{"text": text}]
