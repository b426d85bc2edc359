"""What a task is asked under: everything but the model that could change a score, the same for every variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from playground.errors import InvalidRequest

BATCH_SIZE = 8
MAX_BATCH_SIZE = 1024


@dataclass(frozen=True, slots=True)
class Conditions:
    """The settings of an evaluation, in lm-eval's meaning.

    tasks           names of tasks and groups
    limit           the first so many items of each task; None is all. It makes a sample, not the benchmark's score
    few_shot        examples before each question; None is the task's own number, and a task that fixes 0 keeps it
    chat_template   render each prompt with the tokenizer's template
    multiturn       with it: examples as turns of a conversation; else all in one message
    generation      arguments of generation that replace the task's own: max_gen_toks, temperature, top_p, until …
    strip_thinking  score only what follows the last </think>
    batch_size      prompts computed at once. It moves BF16 results a little, so that both sides need the same
    seed            of sampling and of the choice of examples; None is lm-eval's own four (0, 1234, 1234, 1234)
    allow_code      tasks may run code that the model wrote, on this machine

    Raises InvalidRequest.
    """

    tasks: tuple[str, ...]
    limit: int | None = None
    few_shot: int | None = None
    chat_template: bool = False
    multiturn: bool = False
    generation: Mapping[str, Any] = field(default_factory=dict)
    strip_thinking: bool = False
    batch_size: int = BATCH_SIZE
    seed: int | None = None
    allow_code: bool = False

    def __post_init__(self) -> None:
        if not self.tasks:
            raise InvalidRequest("No task was named.", hint="For instance gsm8k, coqa or bundled.")
        if self.limit is not None and self.limit < 1:
            raise InvalidRequest("The limit is a number of items, 1 or more.", hint="Leave it out for all of them.")
        if self.few_shot is not None and self.few_shot < 0:
            raise InvalidRequest("The number of examples is 0 or more.")
        if not 1 <= self.batch_size <= MAX_BATCH_SIZE:
            raise InvalidRequest(f"The batch size is between 1 and {MAX_BATCH_SIZE}.")
        if self.multiturn and not self.chat_template:
            raise InvalidRequest(
                "Examples as turns of a conversation need the chat template.", hint="Turn it on, or multi-turn off."
            )

    def generation_arguments(self) -> dict[str, Any]:
        """What replaces the task's own. A temperature asks for sampling, which lm-eval wants said aloud."""
        asked = dict(self.generation)
        if float(asked.get("temperature") or 0) > 0:
            asked.setdefault("do_sample", True)
        return asked

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"tasks": list(self.tasks), "generation": dict(self.generation)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Conditions:
        known = {name: raw[name] for name in cls.__dataclass_fields__ if name in raw}
        return cls(**known | {"tasks": tuple(raw["tasks"])})
