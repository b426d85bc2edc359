"""A prompt as an endpoint tokenizes it, where it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from playground.core import Message, Prompt
from playground.engines.remote.errors import unreadable
from playground.engines.remote.http import IsStopped, RemoteHttp
from playground.engines.remote.requests import KINDS
from playground.engines.remote.served import Served


def tokenized(
    http: RemoteHttp, served: Served, source: Sequence[Message] | str, is_stopped: IsStopped = lambda: False
) -> Prompt:
    """The prompt as the endpoint tokenizes it: llama.cpp's way, else vLLM's. Raises EngineError."""
    endpoint, text = served.endpoint, source if isinstance(source, str) else None
    kind: Literal["chat", "raw"] = "raw" if text is not None else "chat"
    if served.kind is KINDS["llamacpp"]:
        if text is None:
            chat = {"messages": list(source)}
            text = _field(http.ask(endpoint, f"{endpoint.root}/apply-template", chat, is_stopped), "prompt")
        asked: dict[str, Any] = {"content": text, "add_special": True, "parse_special": kind == "chat"}
    elif text is not None:
        asked = {"model": served.model, "prompt": text}
    else:
        asked = {"model": served.model, "messages": list(source), "add_generation_prompt": True}
    answer = http.ask(endpoint, f"{endpoint.root}/tokenize", asked, is_stopped)
    ids = _field(answer, "tokens")
    if not isinstance(ids, list) or not ids or not all(type(one) is int and one >= 0 for one in ids):
        raise unreadable(endpoint, "no token ids")
    if text is None:
        text = _field(answer, "text")  # our own host's; vLLM tells none
    if _field(answer, "template") == "raw":
        kind = "raw"
    return Prompt(tuple(ids), text if isinstance(text, str) else "", kind, served.tokenizer_hash)


def _field(answer: Any, name: str) -> Any:
    return answer.get(name) if isinstance(answer, dict) else None
