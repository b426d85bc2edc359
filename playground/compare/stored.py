"""A comparison as it is stored, and read back as what it was when it ran: panes of tokens.

The JSON holds all that is needed to show the panes again with no engine. Nothing is rounded and nothing is summed up:
every metric can be computed again from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from playground.compare.result import ForcedResult, Outcome, PaneResult, outcome
from playground.core import Alternative, Finish, Loaded, Message, Prompt, Reported, Sampling, Token, Variant
from playground.engines.subjects import described, model_name
from playground.errors import from_wire
from playground.models import names
from playground.store.runs import device_facts, new_run, run_title
from playground.store.schema import Run

STOPPED = "It was stopped."
OTHER_SETTINGS = "made with other settings than the reference"


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


# Panes as JSON.


def pane_row(result: PaneResult, label: str) -> dict[str, Any]:
    """An entry of `panes`: that of `generate --json`, with every token and what the engine loaded."""
    loaded = result.loaded
    return result.as_json() | {
        "label": label,
        "loaded": loaded.as_dict() if loaded else None,
        "tokens": [_token(token) for token in result.tokens],
    }


def forced_row(result: ForcedResult) -> dict[str, Any]:
    """An entry of `forced`: the `divergence` of `generate --json`, and every position it was measured at."""
    return result.as_json() | {
        "total": result.total,
        "positions": [
            {
                "kld": one.kld,
                "agrees": one.agrees,
                "logprob_reference": one.logprob_reference,
                "logprob": one.logprob,
                "top_reference": _alternatives(one.top_reference),
                "top": _alternatives(one.top),
            }
            for one in result.tokens
        ],
    }


def _token(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "text": token.text,
        "piece": token.piece,
        "time_s": token.time_s,
        "step_s": token.step_s,
        "logprob": token.logprob,
        "top": _alternatives(token.top),
    }


def _alternatives(top: Sequence[Alternative]) -> list[list[Any]]:
    return [[one.id, one.text, one.logprob] for one in top]


@dataclass(frozen=True, slots=True)
class Pane:
    """One pane when its comparison is over.

    address  what was asked of the engines; label is what the pane is called
    source   the chat, or the text to continue, that its prompt was made of
    forced   the reference's answer in this variant; None where nobody tried
    """

    address: str
    label: str
    result: PaneResult
    sampling: Sampling
    source: tuple[Message, ...] | str
    forced: ForcedResult | None = None


def comparison(panes: Sequence[Pane], at_once: bool, divergence: bool) -> Run | None:
    """The panes of one comparison, the reference first. None where there is nothing to keep: it was stopped before any
    pane had a token, and nothing failed.
    """
    if not any(pane.result.tokens or pane.result.error for pane in panes):
        return None
    first = panes[0]
    prompt = _prompt_row(first)
    entries = []
    for pane in panes:
        own = _prompt_row(pane)
        entries.append(
            pane_row(pane.result, pane.label)
            | {"prompt": own if own != prompt and own["ids"] else None}
            | {"sampling": asdict(pane.sampling) if pane.sampling != first.sampling else None}
        )
    model = first.result.variant.model if first.result.variant else model_name(first.address)
    return new_run(
        "comparison",
        title=run_title(model, [pane.label for pane in panes], _asked(first.source)),
        model=names.key(model),
        device=device_facts(pane.result.loaded.device for pane in panes if pane.result.loaded),
        settings={"sampling": asdict(first.sampling), "at_once": at_once, "divergence": divergence},
        variants=[described(pane.address, pane.label, pane.result.variant, pane.result.loaded) for pane in panes],
        result={
            "prompt": prompt,
            "panes": entries,
            "verdict": verdict(panes),
            "forced": [_forced(pane.forced) for pane in panes] if any(pane.forced for pane in panes) else None,
        },
    )


def verdict(panes: Sequence[Pane]) -> list[dict[str, Any]]:
    """What the page says of each variant that answered, against the reference: sentences and their numbers."""
    reference = panes[0]
    if not reference.result.tokens:
        return []
    rows = []
    for number, pane in enumerate(panes[1:], 1):
        if pane.result.tokens:
            found = outcome(reference.result, pane.result)
            other = pane.sampling != reference.sampling
            rows.append({"pane": number, **_outcome(found, OTHER_SETTINGS if other else "")})
    return rows


def _outcome(found: Outcome, caveat: str) -> dict[str, Any]:
    caveats = [*found.caveats, *([caveat] if caveat else [])]
    words = (found.headline, found.detail, found.explanation, f"({', '.join(caveats)})")
    split = found.divergence
    return {
        "variant": found.variant_id,
        "label": found.label,
        "text": " ".join(word for word in words if word),
        "headline": found.headline,
        "detail": found.detail,
        "explanation": found.explanation,
        "caveats": caveats,
        "size_ratio": found.size_ratio,
        "memory_ratio": found.memory_ratio,
        "decode_ratio": found.decode_ratio,
        "decode_interval": list(found.decode_interval) if found.decode_interval else None,
        "identical": found.identical,
        "parts_at": {"index": split.index, "sentence": split.sentence(found.label)} if split else None,
    }


def _asked(source: tuple[Message, ...] | str) -> str:
    return source if isinstance(source, str) else source[-1]["content"] if source else ""


def _prompt_row(pane: Pane) -> dict[str, Any]:
    """As it was rendered; of a pane that got no further, as it was asked."""
    raw = isinstance(pane.source, str)
    found = pane.result.prompt or Prompt((), _asked(pane.source) if raw else "", "raw" if raw else "chat", "")
    chat = None if raw else [dict(turn) for turn in pane.source if isinstance(turn, Mapping)]
    return {"messages": chat, "text": found.text, "ids": list(found.ids), "template": found.template}


def _forced(found: ForcedResult | None) -> dict[str, Any] | None:
    if found is None:
        return None
    row = forced_row(found)
    return row if found.complete or found.reason else {**row, "reason": STOPPED}
