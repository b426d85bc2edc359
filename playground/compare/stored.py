"""A finished comparison: the JSON of `generate`, its stored run, and the way back from one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from playground.compare.answer import Answer, ForcedAnswer
from playground.compare.outcome import outcomes
from playground.core import Variant
from playground.engines.subjects import described, model_name
from playground.models import names
from playground.store.runs import device_facts, new_run, run_title
from playground.store.schema import Run


@dataclass(frozen=True, slots=True)
class Compared:
    """Answers to one prompt, the reference first.

    divergence  whether forcing the reference's answer through the others was requested
    """

    answers: tuple[Answer, ...]
    at_once: bool = False
    divergence: bool = False

    def as_json(self) -> dict[str, Any]:
        """The documented JSON of `generate`: `{"prompt_ids": [...], "panes": [...]}`, the ids those of the first."""
        first = self.answers[0].prompt
        panes = [
            answer.as_json() | ({"divergence": answer.forced.as_json()} if answer.forced else {})
            for answer in self.answers
        ]
        return {"prompt_ids": list(first.ids) if first else [], "panes": panes}

    def run(self) -> Run | None:
        """The run to store; None where there is nothing to keep: no token and no error."""
        if not any(answer.tokens or answer.error for answer in self.answers):
            return None
        first = self.answers[0]
        prompt = first.prompt_row()
        panes = []
        for answer in self.answers:
            answer_prompt = answer.prompt_row()
            panes.append(
                answer.as_row()
                | {"prompt": answer_prompt if answer_prompt != prompt and answer_prompt["ids"] else None}
                | {"sampling": asdict(answer.sampling) if answer.sampling != first.sampling else None}
            )
        labels = [str(pane["label"]) for pane in panes]
        model = first.variant.model if first.variant else model_name(first.address)
        forced = [answer.forced.as_row() if answer.forced else None for answer in self.answers]
        return new_run(
            "comparison",
            title=run_title(model, labels, first.question),
            model=names.key(model),
            device=device_facts(answer.loaded.device for answer in self.answers if answer.loaded),
            settings={"sampling": asdict(first.sampling), "at_once": self.at_once, "divergence": self.divergence},
            variants=[
                described(answer.address, label, answer.variant, answer.loaded)
                for answer, label in zip(self.answers, labels, strict=True)
            ],
            result={
                "prompt": prompt,
                "panes": panes,
                "verdict": [verdict.as_row(number) for number, verdict in outcomes(self.answers)],
                "forced": forced if any(forced) else None,
            },
        )

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Compared:
        """Inverse of `run`, from a run's row. What an older version did not store is left out, never guessed."""
        result, settings = row["result"], row.get("settings") or {}
        panes = result.get("panes") or []
        forced = [*(result.get("forced") or ()), *([None] * len(panes))]
        facts = [*row["variants"], *([{}] * len(panes))]
        answers: list[Answer] = []
        for number, pane in enumerate(panes):
            answer = Answer.from_row(pane, result.get("prompt") or {}, settings.get("sampling") or {})
            answer.label = answer.label or str(
                facts[number].get("label") or facts[number].get("id") or answer.variant_id
            )
            answer.variant = _variant(answer, facts[number], str(row["model"]))
            if forced[number] and answers:
                answer.forced = ForcedAnswer.from_row(forced[number], len(answers[0].tokens))
            answers.append(answer)
        return cls(tuple(answers), bool(settings.get("at_once")), bool(settings.get("divergence")))


def _variant(answer: Answer, facts: Mapping[str, Any], model: str) -> Variant:
    name = str(facts.get("id") or answer.variant_id)
    size, bits = facts.get("bytes"), facts.get("bits_per_weight")
    return Variant(
        id=name,
        model=model,
        name=name.removeprefix(f"{model}:"),
        label=answer.label,
        method=str(facts.get("method") or ""),
        scheme=str(facts.get("scheme") or ""),
        dtype=str(facts.get("dtype") or ""),
        path="",
        bytes=size,
        parameters=round(8 * size / bits) if size and bits else None,
    )
