"""One answer of one variant: collected from an engine's items, stored as JSON, and read back from it.

The page, the command line, exports and the replay all read this record. The stored JSON holds every token as received
from the engine, unrounded, so that every metric can be computed again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter

from playground.core import (
    Finish,
    ForcedSummary,
    ForcedToken,
    ForcedTokens,
    Loaded,
    Message,
    Progress,
    Prompt,
    Reported,
    Sampling,
    Token,
    Trace,
    Variant,
    summary,
)
from playground.errors import PlaygroundError, from_wire
from playground.metrics.timing import Timing, inter_token_latencies, timing

STOPPED = "It was stopped."
TOKENS = TypeAdapter(list[Token])
POSITIONS = TypeAdapter(list[ForcedToken])
Item = Variant | Progress | Loaded | Prompt | Token | Finish | PlaygroundError
ForcedItem = Progress | ForcedTokens | Finish | PlaygroundError


@dataclass(slots=True)
class Answer:
    """The answer as received so far; `add` every item of its pane.

    variant_id  the variant as it was requested
    address     the address sent to the engine: names the engine where it is not the variant's default
    label       display name; the variant's own label unless set
    source      the chat, or the text to continue, that the prompt was rendered from
    forced      the reference's answer forced through this variant; None where that was not tried
    measured_at when its prompt was accepted, in seconds since the epoch; None in runs of earlier versions
    """

    variant_id: str
    engine: str = "transformers"
    address: str = ""
    label: str = ""
    source: tuple[Message, ...] | str = ""
    sampling: Sampling = field(default_factory=Sampling)
    variant: Variant | None = None
    loaded: Loaded | None = None
    prompt: Prompt | None = None
    progress: Progress | None = None
    tokens: list[Token] = field(default_factory=list)
    finish: Finish | None = None
    error: PlaygroundError | None = None
    forced: ForcedAnswer | None = None
    measured_at: float | None = None

    def __post_init__(self) -> None:
        self.address = self.address or self.variant_id

    def add(self, item: Item) -> None:
        match item:
            case Variant():
                self.variant = item
                self.label = self.label or item.label
            case Loaded():
                self.loaded, self.engine = item, item.engine
            case Prompt():
                self.prompt, self.measured_at = item, time.time()
            case Progress():
                self.progress = item
            case Token():
                self.tokens.append(item)
                self.progress = None
            case Finish():
                self.finish = item
                self.progress = None
            case PlaygroundError():
                self.error = item
                self.progress = None

    @property
    def done(self) -> bool:
        return self.finish is not None or self.error is not None

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens) + (self.finish.text if self.finish else "")

    @property
    def token_ids(self) -> list[int]:
        return [token.id for token in self.tokens]

    @property
    def gaps_s(self) -> list[float]:
        return inter_token_latencies([token.time_s for token in self.tokens])

    @property
    def end_s(self) -> float:
        """Arrival of the last token, in seconds after the request was accepted; 0 without tokens."""
        return self.tokens[-1].time_s if self.tokens else 0.0

    @property
    def peak_memory_bytes(self) -> int | None:
        return self.finish.peak_memory_bytes if self.finish else None

    @property
    def contended(self) -> bool:
        return bool(self.finish and self.finish.contended)

    @property
    def finish_reason(self) -> str | None:
        return "error" if self.error else self.finish.reason if self.finish else None

    @property
    def question(self) -> str:
        """The user's last message; for a raw completion the text itself."""
        return self.source if isinstance(self.source, str) else self.source[-1]["content"] if self.source else ""

    def same_prompt(self, other: Answer) -> bool:
        """Whether both prompts have the same token ids; False for an endpoint that reports none."""
        return bool(self.prompt and other.prompt and self.prompt.ids and self.prompt.ids == other.prompt.ids)

    def trace(self) -> Trace:
        prompt_tokens = len(self.prompt.ids) if self.prompt else 0
        steps = tuple(token.step_s for token in self.tokens)
        return Trace(
            prompt_tokens=self.finish.prompt_tokens if self.finish else prompt_tokens,
            times_s=tuple(token.time_s for token in self.tokens),
            steps_s=steps,
            prefill_s=steps[0] if steps else None,
            clock=self.loaded.clock if self.loaded else "engine",
        )

    def timing(self) -> Timing:
        return timing(self.trace())

    def as_json(self) -> dict[str, Any]:
        """One entry of `panes` in the documented JSON of `generate`."""
        trace = self.trace()
        row: dict[str, Any] = {
            "variant": self.variant_id,
            "engine": self.engine,
            "text": self.text,
            "token_ids": self.token_ids,
            "times_s": list(trace.times_s),
            "steps_s": list(trace.steps_s),
            "finish_reason": self.finish_reason,
            "metrics": {**timing(trace).as_dict(), "peak_memory_bytes": self.peak_memory_bytes},
            "waited_s": self.finish.waited_s if self.finish else 0.0,
            "clock": trace.clock,
            "contended": self.contended,
            "kernel": self.loaded.kernel if self.loaded else "",
            "reported": asdict(self.finish.reported) if self.finish and self.finish.reported else None,
        }
        if self.error:
            row["error"] = {"code": self.error.code, "message": self.error.message, "hint": self.error.hint}
        return row

    def as_row(self) -> dict[str, Any]:
        """One entry of `panes` in a stored run: `as_json` with every token and what the engine loaded."""
        return self.as_json() | {
            "label": self.label or self.address,
            "loaded": self.loaded.as_dict() if self.loaded else None,
            "tokens": TOKENS.dump_python(self.tokens, mode="json"),
            "measured_at": self.measured_at,
        }

    def prompt_row(self) -> dict[str, Any]:
        """The rendered prompt; the requested one where nothing was rendered."""
        raw = isinstance(self.source, str)
        prompt = self.prompt or Prompt((), self.question if raw else "", "raw" if raw else "chat", "")
        chat = None if raw else [dict(turn) for turn in self.source if isinstance(turn, Mapping)]
        return {"messages": chat, "text": prompt.text, "ids": list(prompt.ids), "template": prompt.template}

    @classmethod
    def from_row(cls, row: Mapping[str, Any], prompt: Mapping[str, Any], sampling: Mapping[str, Any]) -> Answer:
        """Inverse of `as_row`. What an older version did not store is left out, never guessed.

        prompt, sampling  of the comparison, for an answer that stores none itself
        """
        loaded = Loaded.from_dict(row["loaded"]) if row.get("loaded") else None
        prompt = row.get("prompt") or prompt
        tokens = TOKENS.validate_python(row.get("tokens") or [])
        error, reason = row.get("error"), row.get("finish_reason")
        return cls(
            variant_id=str(row.get("variant", "")),
            engine=str(row.get("engine", "")),
            label=str(row.get("label") or ""),
            source=tuple(prompt.get("messages") or ()) or str(prompt.get("text") or ""),
            sampling=Sampling.from_dict(row.get("sampling") or sampling),
            loaded=loaded,
            prompt=_prompt(prompt, loaded),
            tokens=tokens,
            error=from_wire({"error": dict(error)}) if error else None,
            finish=_finish(row, reason, tokens) if reason and not error else None,
            measured_at=row.get("measured_at"),
        )


@dataclass(slots=True, eq=False)
class ForcedAnswer:
    """The reference's answer forced through one variant; `add` every item of that variant.

    total   tokens of the reference's answer
    reason  why positions are missing: blocked, failed or stopped
    """

    total: int
    reason: str = ""
    tokens: list[ForcedToken] = field(default_factory=list)

    def add(self, item: ForcedItem) -> None:
        match item:
            case ForcedTokens():
                self.tokens += item.tokens
            case PlaygroundError():
                self.reason = str(item)
            case Finish(reason="abort"):
                self.reason = self.reason or STOPPED

    @property
    def summary(self) -> ForcedSummary | None:
        return summary(self.tokens)

    @property
    def complete(self) -> bool:
        return 0 < self.total == len(self.tokens)

    def sentence(self, label: str) -> str:
        """The summary, over how many tokens of the answer of `label` (the reference), and why the rest is missing."""
        words = [self.reason] if self.reason else []
        if summary := self.summary:
            part = "" if self.complete else f"the first {summary.tokens} of "
            words.insert(0, f"{summary} on {part}{label}’s {self.total} tokens, this prompt only.")
        return _capital(" ".join(words))

    def short(self) -> dict[str, Any]:
        """For the strip under the panes: words, mean KLD in nats, top-1 agreement from 0 to 1."""
        summary = self.summary
        if summary is None:
            reason = self.reason or "It was not measured."
            return {"words": f"No divergence: {reason[:1].lower()}{reason[1:]}", "kld": None, "agreement": None}
        part = "" if self.complete else f" over the first {summary.tokens} tokens"
        return {
            "words": f"{_capital(str(summary))}{part}",
            "kld": summary.kld_mean,
            "agreement": summary.top1_agreement,
        }

    def as_json(self) -> dict[str, Any]:
        """`divergence` of one entry of `panes` in the documented JSON of `generate`."""
        summary = self.summary
        row = summary.as_dict() if summary else {"kld_mean": None, "top1_agreement": None, "tokens": 0}
        return row | ({"reason": self.reason} if self.reason else {})

    def as_row(self) -> dict[str, Any]:
        """An entry of `forced` in a stored run: the `divergence` of `generate`, with every position."""
        reason = self.reason or ("" if self.complete else STOPPED)
        return (
            self.as_json()
            | ({"reason": reason} if reason else {})
            | {"total": self.total, "positions": POSITIONS.dump_python(self.tokens, mode="json")}
        )

    @classmethod
    def from_row(cls, row: Mapping[str, Any], total: int) -> ForcedAnswer:
        """Inverse of `as_row`. `total` is used where the row does not store it."""
        positions = POSITIONS.validate_python(row.get("positions") or [])
        return cls(int(row.get("total") or total), str(row.get("reason") or ""), positions)


def _capital(text: str) -> str:
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]  # vLLM keeps its name


def _prompt(row: Mapping[str, Any], loaded: Loaded | None) -> Prompt | None:
    if not row:
        return None
    ids = tuple(row.get("ids") or ())
    return Prompt(ids, str(row.get("text") or ""), row.get("template", "raw"), loaded.tokenizer_hash if loaded else "")


def _finish(row: Mapping[str, Any], reason: Any, tokens: list[Token]) -> Finish:
    metrics = row.get("metrics") or {}
    streamed, text = "".join(token.text for token in tokens), str(row.get("text") or "")
    return Finish(
        reason=reason,
        prompt_tokens=metrics.get("prompt_tokens") or 0,
        output_tokens=len(tokens),
        peak_memory_bytes=metrics.get("peak_memory_bytes"),
        waited_s=row.get("waited_s") or 0.0,
        text=text[len(streamed) :] if text.startswith(streamed) else "",
        reported=Reported(**row["reported"]) if row.get("reported") else None,
        contended=bool(row.get("contended")),
    )
