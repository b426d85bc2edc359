"""The one client of every engine server: OpenAI's HTTP API, streamed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterator
from dataclasses import asdict
from typing import Any

import httpx

from playground.core import Finish, ForcedTokens, Forcing, Generation, Progress, Token
from playground.engines.process import ServerProcess
from playground.engines.wire import forced_from, progress_from, token_from_chunk
from playground.errors import EngineError, PlaygroundError, from_wire

# A token may take long (a cold 7B on a CPU), so that reads have no limit; the process is watched instead.
TIMEOUT = httpx.Timeout(10.0, read=None)
_DATA = "data: "


def new_client(keep_alive: bool = True) -> httpx.Client:
    """A client for loopback: no proxy from the environment, no redirects, enough connections for many panes.

    `keep_alive` False makes a connection per request, for a server that closes them without saying so.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=16)
    headers = {} if keep_alive else {"Connection": "close"}
    return httpx.Client(timeout=TIMEOUT, trust_env=False, follow_redirects=False, limits=limits, headers=headers)


def authorization(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def check(response: httpx.Response) -> None:
    """Raise the typed error that the server sent."""
    if response.is_success:
        return
    response.read()
    try:
        body = response.json()
    except json.JSONDecodeError:
        body = {"error": f"HTTP {response.status_code}: {response.text[:200]}"}
    raise from_wire(body)


@contextlib.contextmanager
def watched(process: ServerProcess) -> Iterator[None]:
    """Turn a broken connection into what it means: the process died (with its last words), or its answer is broken."""
    try:
        yield
    except PlaygroundError:
        if not process.alive:
            raise process.obituary() from None
        raise
    except (httpx.HTTPError, json.JSONDecodeError, KeyError) as error:
        if not process.alive or isinstance(error, httpx.TransportError):
            raise process.obituary() from error
        raise EngineError(
            f"The {process.name} engine sent an answer that cannot be read ({type(error).__name__}).",
            hint="Run again.",
            log_tail=process.log_tail(),
        ) from error


def post(client: httpx.Client, process: ServerProcess, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """One call of an engine server, and its answer. Raises the server's typed error, EngineDied, EngineError."""
    with watched(process):
        response = client.post(f"{process.url}{path}", json=body, headers=authorization(process.key))
        check(response)
        return dict(response.json())


def completion_body(generation: Generation) -> dict[str, Any]:
    """The request for one streamed generation; the prompt is token ids, the same for every engine."""
    sampling = generation.sampling
    return {
        "model": generation.variant,
        "prompt": list(generation.prompt_ids),
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "repetition_penalty": sampling.repetition_penalty,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "ignore_eos": sampling.ignore_eos,
        "logprobs": generation.top_logprobs,
        "request_id": generation.request_id,
        "stream": True,
    }


def stream(
    client: httpx.Client, url: str, key: str, generation: Generation
) -> Generator[Progress | Token | Finish, None, None]:
    """The items of one generation. Closing the iterator closes the connection, which ends it in the engine."""
    with client.stream(
        "POST", f"{url}/v1/completions", json=completion_body(generation), headers=authorization(key)
    ) as response:
        check(response)
        for line in response.iter_lines():
            if not line.startswith(_DATA):
                continue
            data = line.removeprefix(_DATA)
            if data == "[DONE]":
                return
            yield item_of(json.loads(data))
    raise EngineError("The engine closed the stream before the end.")


def force(
    client: httpx.Client, url: str, key: str, forcing: Forcing
) -> Generator[Progress | ForcedTokens | Finish, None, None]:
    """What one forced text shows, as it is measured. Closing the iterator ends it in the engine."""
    with client.stream("POST", f"{url}/v1/force", json=asdict(forcing), headers=authorization(key)) as response:
        check(response)
        for line in response.iter_lines():
            body = json.loads(line)
            if "error" in body:
                raise from_wire(body)
            yield (item := forced_from(body, len(forcing.prompt_ids)))
            if isinstance(item, Finish):
                return
    raise EngineError("The engine closed the stream before the end.")


def item_of(chunk: dict[str, Any]) -> Progress | Token | Finish:
    """One server-sent event of a completion stream as a typed item."""
    if "error" in chunk:
        raise from_wire(chunk)
    if "progress" in chunk:
        return progress_from(chunk["progress"])
    choice = chunk["choices"][0]
    if choice["finish_reason"] is None:
        return token_from_chunk(choice)
    usage, engine = chunk["usage"], chunk["engine"]
    return Finish(
        reason=choice["finish_reason"],
        prompt_tokens=usage["prompt_tokens"],
        output_tokens=usage["completion_tokens"],
        peak_memory_bytes=engine["peak_memory_bytes"],
        waited_s=engine["waited_s"],
        text=choice["text"],
    )
