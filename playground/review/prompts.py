"""Sets of prompts: the one written for this project, a pasted text, an uploaded file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from playground.errors import InvalidRequest

BUNDLED = "bundled"
DATA = Path(__file__).parent / "data/prompts.jsonl"
SUFFIXES = (".jsonl", ".txt")
MAX_PROMPTS = 200
MAX_CHARACTERS = 8000  # of one prompt
MAX_BYTES = 2**20
FIELDS = ("prompt", "question", "instruction", "text")


@dataclass(frozen=True, slots=True)
class PromptSet:
    """name: "bundled", "pasted", or a file's. hash: sha256, hex, of all prompts."""

    name: str
    prompts: tuple[str, ...]
    hash: str

    def first(self, count: int) -> PromptSet:
        """Every k-th of them, so that each kind keeps its share; all where there are no more."""
        if count >= len(self.prompts):
            return self
        step = len(self.prompts) / count
        return _set(self.name, [self.prompts[int(number * step)] for number in range(count)])


@cache
def bundled_rows() -> tuple[dict[str, str], ...]:
    """Of each prompt: id, kind, prompt."""
    return tuple(json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines())


def bundled() -> PromptSet:
    """Short prompts of many kinds, one of each kind in turn. They are no calibration and no evaluation text."""
    return _set(BUNDLED, [row["prompt"] for row in bundled_rows()])


def pasted(text: str) -> PromptSet:
    """One prompt a line; where there are empty lines between some, these part them. Raises InvalidRequest."""
    _check_size(len(text.encode("utf-8", errors="replace")))
    return _checked("pasted", _parted(text))


def read(name: str, data: bytes) -> PromptSet:
    """A file: .txt is read as pasted text, .jsonl has a prompt in each row. Raises InvalidRequest."""
    _check_size(len(data))
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidRequest(f"{name[-60:]!r} is no file of prompts.", hint=f"It ends in {' or '.join(SUFFIXES)}.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest(f"{name[-60:]!r} is not text in UTF-8.", hint="Save it as UTF-8.") from None
    found = _rows(text) if suffix == ".jsonl" else _parted(text)
    return _checked(Path(name).name[-100:], found)


def of(source: str) -> PromptSet:
    """ "bundled", or a local file. Raises InvalidRequest."""
    if source == BUNDLED:
        return bundled()
    path = Path(source).expanduser()
    if not path.is_file():
        raise InvalidRequest(f"There is no file {source[-120:]!r}.", hint="Name a .jsonl or .txt file, or bundled.")
    _check_size(path.stat().st_size)
    return read(path.name, path.read_bytes())


def _parted(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").strip().split("\n")
    if all(line.strip() for line in lines):
        return lines
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return ["\n".join(block) for block in blocks]


def _rows(text: str) -> list[str]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError):
            raise InvalidRequest(f"Line {number} is no JSON.", hint='Write {"prompt": "…"} in each line.') from None
        found.append(_prompt(row, number))
    return found


def _prompt(row: Any, number: int) -> str:
    if isinstance(row, str):
        return row
    if isinstance(row, dict):
        if texts := [row[name] for name in FIELDS if isinstance(row.get(name), str)]:
            return str(texts[0])
        messages = row.get("messages")
        for message in messages if isinstance(messages, list) else ():
            if isinstance(message, dict) and message.get("role") == "user" and isinstance(message.get("content"), str):
                return str(message["content"])
    raise InvalidRequest(f"Line {number} has no prompt.", hint=f"Its field is called {', '.join(FIELDS)} or messages.")


def _checked(name: str, prompts: Iterable[str]) -> PromptSet:
    found = list(dict.fromkeys(filter(None, (prompt.strip() for prompt in prompts))))
    if not found:
        raise InvalidRequest("There is no prompt in it.", hint="Write one a line, or part them with empty lines.")
    if len(found) > MAX_PROMPTS:
        raise InvalidRequest(f"{len(found)} prompts are too many.", hint=f"Allowed: {MAX_PROMPTS}.")
    if longest := [prompt for prompt in found if len(prompt) > MAX_CHARACTERS]:
        raise InvalidRequest(
            f"A prompt has {len(longest[0]):,} characters: {longest[0][:40]!r}…",
            hint=f"Allowed: {MAX_CHARACTERS:,}. Empty lines part prompts of several lines.",
        )
    return _set(name, found)


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise InvalidRequest(f"The prompts have {size / 2**20:.1f} MiB.", hint=f"Allowed: {MAX_BYTES // 2**20} MiB.")


def _set(name: str, prompts: list[str]) -> PromptSet:
    content = json.dumps(prompts, ensure_ascii=False).encode("utf-8", errors="replace")
    return PromptSet(name, tuple(prompts), hashlib.sha256(content).hexdigest())
