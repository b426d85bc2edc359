"""What the Reviews form sends, turned into a job's spec or into runs. Nothing of it is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from playground.core import Sampling
from playground.errors import InvalidRequest
from playground.evaluate import form
from playground.quantize.page import whole
from playground.review import make
from playground.review.make import MAX_INVITATIONS, MAX_RUNS, TITLE, Pairs, PromptSet, Terms
from playground.review.spec import SAMPLING, ReviewSpec
from playground.store.schema import Reveal

MAX_NAMES = 20_000  # characters of the reviewers' names


def from_runs(data: Mapping[str, Any]) -> bool:
    """Whether the answers are those of stored comparisons."""
    return data.get("source") == "runs"


def run_ids(data: Mapping[str, Any]) -> list[str]:
    """Raises InvalidRequest."""
    found = data.get("runs")
    listed = [one[:64] for one in found if isinstance(one, str)] if isinstance(found, list) else []
    if not listed:
        raise InvalidRequest("No comparison is chosen.", hint="Each one is a prompt with its answers.")
    if len(listed) > MAX_RUNS:
        raise InvalidRequest(f"{len(listed)} comparisons are chosen.", hint=f"Allowed: {MAX_RUNS}.")
    return list(dict.fromkeys(listed))


def spec(data: Mapping[str, Any]) -> ReviewSpec:
    """Raises PlaygroundError."""
    found = ReviewSpec(
        variants=form.variants(data),
        prompts=prompt_set(data),
        terms=terms(data),
        sampling=sampling(data),
    )
    found.check()
    return found


def prompt_set(data: Mapping[str, Any]) -> PromptSet:
    """Bundled, pasted or a file's. Raises InvalidRequest."""
    text, name = data.get("text"), data.get("file")
    if data.get("prompts") == "own":
        typed = text if isinstance(text, str) else ""
        if isinstance(name, str) and name:
            return make.read(name[-200:], typed.encode("utf-8", errors="replace"))
        return make.pasted(typed)
    count = whole(data.get("count") or len(make.bundled().prompts), "The number of prompts")
    if count < 1:
        raise InvalidRequest("No prompt is asked for.", hint="Take 1 or more.")
    return make.bundled().first(count)


def terms(data: Mapping[str, Any]) -> Terms:
    """Raises InvalidRequest."""
    typed = data.get("invitations")
    lines = (typed if isinstance(typed, str) else "")[:MAX_NAMES].replace(",", "\n").splitlines()
    names = tuple(dict.fromkeys(name.strip()[:100] for name in lines if name.strip()))
    if len(names) > MAX_INVITATIONS:
        raise InvalidRequest(f"{len(names)} reviewers are named.", hint=f"Allowed: {MAX_INVITATIONS}.")
    return Terms(
        title=_text(data, "title") or TITLE,
        pairs=cast(Pairs, _text(data, "pairs") or "reference"),
        reveal=cast(Reveal, _text(data, "reveal") or "end"),
        invitations=names,
        places=whole(data.get("places") or 0, "The number of places") if data.get("common") else 0,
    )


def sampling(data: Mapping[str, Any]) -> Sampling:
    """Raises InvalidRequest."""
    typed = _text(data, "temperature")
    try:
        temperature = float(typed or SAMPLING.temperature)
    except ValueError:
        raise InvalidRequest(f"{typed[:40]!r} is no temperature.", hint="0 is greedy.") from None
    return Sampling(
        max_tokens=whole(data.get("max_tokens") or SAMPLING.max_tokens, "Max tokens"),
        temperature=temperature,
        seed=whole(data.get("seed") or 0, "The seed"),
    )


def _text(data: Mapping[str, Any], key: str) -> str:
    found = data.get(key)
    return found.strip()[:300] if isinstance(found, str) else ""
