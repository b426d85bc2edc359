"""Rendering and tokenizing: the one way from a chat or a text to the token ids that every engine gets."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from playground.core import Prompt
from playground.engines.host.loading import load_tokenizer, tokenizer_hash
from playground.errors import BrokenCheckpoint, InvalidRequest, UnsupportedModel
from playground.settings import settings


@lru_cache(maxsize=8)
def tokenizer_of(path: str) -> Any:
    """The tokenizer of a folder whose model runs elsewhere. Raises BrokenCheckpoint."""
    try:
        return load_tokenizer(path)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise BrokenCheckpoint(f"The tokenizer in {Path(path).name} cannot be read: {reason}") from error


def render(
    tokenizer: Any, messages: list[dict[str, str]] | None, text: str | None, add_generation_prompt: bool = True
) -> Prompt:
    """Token ids of a chat (by the model's template, in transformers' immutable sandbox) or of a raw text.

    A model without a template gets the chat as plain text, and the prompt says so (`template` is "raw").
    """
    limit = settings().max_prompt_chars
    size = len(text or "") + sum(len(message["content"]) for message in messages or [])
    if size > limit:
        raise InvalidRequest(f"The prompt has {size:,} characters; the limit is {limit:,}.", hint="Shorten it.")
    if messages is None and text is None:
        raise InvalidRequest("Neither a prompt nor messages were given.")
    if messages is not None and tokenizer.chat_template:
        try:
            text = str(
                tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt)
            )
        except Exception as error:
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise UnsupportedModel(f"This model's chat template refused the conversation: {reason}") from error
        ids = tokenizer.encode(text, add_special_tokens=False)
        return Prompt(tuple(ids), text, "chat", tokenizer_hash(tokenizer))
    if messages is not None:
        text = "\n\n".join(message["content"] for message in messages)
    return Prompt(tuple(tokenizer.encode(text)), text or "", "raw", tokenizer_hash(tokenizer))
