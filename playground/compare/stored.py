"""A stored comparison as what it was when it ran: panes of tokens, from which every metric is computed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playground.compare.result import PaneResult
from playground.core import Alternative, Finish, Loaded, Prompt, Reported, Token, Variant
from playground.errors import from_wire
from playground.store.schema import Run


def panes(run: Run) -> list[PaneResult]:
    """The reference first. What an older version did not keep is left out, never guessed."""
    stored = run.result.get("panes") or []
    prompt = run.result.get("prompt") or {}
    facts = list(run.variants) + [{}] * len(stored)
    found = [pane(raw, prompt) for raw in stored]
    for number, one in enumerate(found):
        one.variant = _variant(stored[number], facts[number], run.model)
    return found


def pane(pane: Mapping[str, Any], prompt: Mapping[str, Any]) -> PaneResult:
    """What arrived in one pane; `prompt` is the comparison's, for a pane without one of its own."""
    loaded = Loaded.from_dict(pane["loaded"]) if pane.get("loaded") else None
    own = pane.get("prompt") or prompt  # a pane with a history of its own
    tokens = [token(raw) for raw in pane.get("tokens") or ()]
    found = PaneResult(
        variant_id=str(pane.get("variant", "")),
        engine=str(pane.get("engine", "")),
        loaded=loaded,
        prompt=_prompt(own, loaded),
        tokens=tokens,
    )
    if error := pane.get("error"):
        found.error = from_wire({"error": dict(error)})
    elif reason := pane.get("finish_reason"):
        found.finish = _finish(pane, reason, tokens)
    return found


def token(raw: Mapping[str, Any]) -> Token:
    return Token(
        id=raw["id"],
        text=raw["text"],
        piece=raw["piece"],
        time_s=raw["time_s"],
        step_s=raw["step_s"],
        logprob=raw.get("logprob"),
        top=alternatives(raw.get("top")),
    )


def alternatives(found: Sequence[Sequence[Any]] | None) -> tuple[Alternative, ...]:
    return tuple(Alternative(int(id_), str(text), float(logprob)) for id_, text, logprob in found or ())


def _prompt(raw: Mapping[str, Any], loaded: Loaded | None) -> Prompt | None:
    if not raw:
        return None
    ids = tuple(raw.get("ids") or ())
    return Prompt(ids, str(raw.get("text") or ""), raw.get("template", "raw"), loaded.tokenizer_hash if loaded else "")


def _variant(pane: Mapping[str, Any], facts: Mapping[str, Any], model: str) -> Variant:
    name = str(facts.get("id") or pane.get("variant", ""))
    size, bits = facts.get("bytes"), facts.get("bits_per_weight")
    return Variant(
        id=name,
        model=model,
        name=name.removeprefix(f"{model}:"),
        label=str(pane.get("label") or facts.get("label") or name),
        method=str(facts.get("method") or ""),
        scheme=str(facts.get("scheme") or ""),
        dtype=str(facts.get("dtype") or ""),
        path="",
        bytes=size,
        parameters=round(8 * size / bits) if size and bits else None,
    )


def _finish(pane: Mapping[str, Any], reason: Any, tokens: list[Token]) -> Finish:
    metrics = pane.get("metrics") or {}
    text = "".join(one.text for one in tokens)
    whole = str(pane.get("text") or "")
    return Finish(
        reason=reason,
        prompt_tokens=metrics.get("prompt_tokens") or 0,
        output_tokens=len(tokens),
        peak_memory_bytes=metrics.get("peak_memory_bytes"),
        waited_s=pane.get("waited_s") or 0.0,
        text=whole[len(text) :] if whole.startswith(text) else "",
        reported=Reported(**pane["reported"]) if pane.get("reported") else None,
        contended=bool(pane.get("contended")),
    )
