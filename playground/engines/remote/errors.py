"""Convert errors of an endpoint to typed errors with a hint. The key is removed from the server's text."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Mapping

import httpx

from playground.engines.wire import Scrub
from playground.errors import (
    ContextOverflow,
    EngineError,
    EngineUnavailable,
    InvalidRequest,
    PlaygroundError,
    UnknownModel,
)
from playground.models.endpoints import Endpoint

SHOWN = 300
_OVERFLOW = re.compile(r"context[ _](?:length|size|window|overflow)|exceed_context_size", re.IGNORECASE)


class Rejected(InvalidRequest):
    """A 400 or 422: the endpoint refuses the request. `text` is its whole message, without the key."""

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message, hint="Change the request, or ask whoever runs the endpoint.")
        self.text = text


class Missing(EngineUnavailable):
    """A 404, 405 or 501: the endpoint has no such call, or no such model."""


class TooLarge(EngineError):
    """A response beyond the limits."""


def shown(text: str) -> str:
    """Return one line of a server's text, without control characters."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line[:SHOWN] + ("…" if len(line) > SHOWN else "")


def message_of(content: bytes) -> str:
    """Return the message in the body of an error: OpenAI's, FastAPI's or any other format."""
    text = content.decode(errors="replace")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return re.sub(r"<[^>]{0,200}>", " ", text)
    for name in ("error", "message", "detail"):
        if isinstance(body, dict) and body.get(name):
            body = body[name]
    return body if isinstance(body, str) else json.dumps(body)


def _where(endpoint: Endpoint) -> str:
    return f"Endpoint {endpoint.name} ({endpoint.host})"


def from_status(
    endpoint: Endpoint, status: int, headers: Mapping[str, str], content: bytes, scrub: Scrub
) -> PlaygroundError:
    """Return the error of a response with a status other than 200."""
    of = {key.lower(): scrub.whole(value) for key, value in headers.items()}
    text = scrub.whole(message_of(content))
    overflow = _OVERFLOW.search(text + content[:1000].decode(errors="replace"))
    where = _where(endpoint)
    line = shown(text)
    tail = f": {line}{'' if line[-1] in '.!?…' else '.'}" if line else "."
    if 300 <= status < 400:
        return EngineUnavailable(
            f"{where} answered with a redirect ({status}), and redirects are not followed.",
            hint=f"It leads to {shown(of.get('location', '')) or 'nowhere'}; add that address if you trust it.",
        )
    if status in (401, 403):
        if not endpoint.has_key:
            return EngineUnavailable(
                f"{where} wants a key ({status}){tail}", hint="Add the endpoint again with its key."
            )
        return EngineUnavailable(
            f"{where} does not accept the key ({status}){tail}", hint="Add the endpoint again with a valid key."
        )
    if status in (404, 405, 501):
        return Missing(
            f"{where} does not serve this ({status}){tail}",
            hint=f"Test endpoint {endpoint.name} to see what it serves.",
        )
    if status == 429:
        wait = shown(of.get("retry-after", ""))
        hint = f"It asks to wait {wait}{' s' if wait.isdigit() else ''}." if wait else "Wait a moment, then run again."
        return EngineUnavailable(f"{where} has too many requests (429){tail}", hint=hint)
    if overflow and status in (400, 413, 422):
        return ContextOverflow(
            f"{where} has no room for this prompt and its answer{tail}",
            hint="Shorten the prompt or ask for fewer tokens.",
        )
    if status in (400, 413, 422):
        return Rejected(f"{where} rejects the request ({status}){tail}", text)
    return EngineUnavailable(f"{where} failed ({status}){tail}", hint="Its own log says more; try again later.")


def failed(endpoint: Endpoint, error: Exception, waited_s: float) -> PlaygroundError:
    """Return the error of a connection that failed or broke."""
    if isinstance(error, httpx.LocalProtocolError):
        return EngineError(f"The request to endpoint {endpoint.name} could not be made ({type(error).__name__}).")
    if reason := _no_connection(endpoint, error, waited_s):
        message, hint = reason
        return EngineUnavailable(message, hint=hint)
    return cut(endpoint)


def _no_connection(endpoint: Endpoint, error: Exception, waited_s: float) -> tuple[str, str] | None:
    """Return why the connection could not be made, and what to do; None if it broke later."""
    where, cause = _where(endpoint), _cause(error)
    if isinstance(error, httpx.ConnectTimeout):
        return f"{where} cannot be reached in time.", "Is it running, and is its port open?"
    if isinstance(error, httpx.TimeoutException):
        return (
            f"{where} has said nothing for {waited_s:g} s.",
            "It may be overloaded or stuck; PLAYGROUND_REMOTE_TIMEOUT_S allows more.",
        )
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"{where} has a certificate that is not trusted: {shown(cause.verify_message)}.",
            "Put your authority's certificate into SSL_CERT_FILE, or correct the address.",
        )
    if isinstance(cause, ssl.SSLError):
        why = shown(cause.reason or type(cause).__name__)
        return f"{where} does not speak TLS: {why}.", "Is it http:// instead of https://?"
    if isinstance(cause, socket.gaierror):
        name = f"The name {endpoint.host} of endpoint {endpoint.name}"
        return f"{name} cannot be resolved.", "Check the address, and the network."
    if isinstance(error, httpx.ConnectError):
        why = cause.strerror if isinstance(cause, OSError) and cause.strerror else "no connection"
        return f"{where} cannot be reached: {shown(why)}.", "Is it running, on this port?"
    return None


def _cause(error: BaseException) -> BaseException:
    """Return the system's error: httpx's is caused by httpcore's, whose cause is in its context."""
    while deeper := error.__cause__ or error.__context__:
        error = deeper
    return error


def cut(endpoint: Endpoint) -> EngineUnavailable:
    return EngineUnavailable(
        f"{_where(endpoint)} closed the connection before the end.",
        hint="What came so far is kept. Its own log says more; run again.",
    )


def unreadable(endpoint: Endpoint, what: str) -> EngineError:
    return EngineError(f"{_where(endpoint)} sent {what}.", hint="Is this an OpenAI-compatible address?")


def too_large(endpoint: Endpoint, what: str) -> TooLarge:
    return TooLarge(f"{_where(endpoint)} sent {what}.", hint="Is this an OpenAI-compatible address?")


def in_stream(endpoint: Endpoint, content: bytes, scrub: Scrub) -> PlaygroundError:
    """Return the error that a server sent as an event of a stream."""
    content = json.dumps({"error": json.loads(content)["error"]}).encode()
    return from_status(endpoint, 400 if _OVERFLOW.search(content.decode()) else 500, {}, content, scrub)


def missing_model(endpoint: Endpoint, model: str, hint: str) -> UnknownModel:
    return UnknownModel(f"{_where(endpoint)} does not serve {shown(model)!r}.", hint=hint)
