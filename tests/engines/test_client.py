"""What the one client makes of an answer that is no answer, of a process that lives and of one that does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest

from playground.engines import client as http
from playground.errors import ContextOverflow, EngineDied, EngineError, to_wire

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
    with http.new_client(keep_alive) as client:
        assert client.build_request("GET", "http://127.0.0.1:1/").headers["Connection"] == header
