"""What can be asked of Compare: one prompt, how tokens are chosen, and which variants answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from playground.core import Sampling
from playground.errors import InvalidRequest
from playground.settings import settings
from playground.spec import Spec, Whole

MAX_ID = 64
MAX_NAME = 1200  # characters of a model's or a variant's name
DEFAULTS = Sampling()
MAX_STOP_STRINGS = 16
MAX_STOP_CHARS = 200


class GenerateSpec(Spec):
    """One prompt through several variants.

    variants    addresses, the reference first, whose tokenizer makes the prompt
    prompt      the user's turn, or with `raw` the text to continue without a chat template
    system      system prompt; "" leaves it to the model's template
    at_once     panes on free-running engines overlap instead of taking turns; their times are marked contended
    divergence  force the first variant's answer through the others

    Raises InvalidRequest.
    """

    variants: tuple[str, ...]
    prompt: str
    system: str = ""
    raw: bool = False
    sampling: Sampling = Sampling()
    at_once: bool = False
    divergence: bool = False

    @model_validator(mode="after")
    def _within_limits(self) -> Self:
        check(self.sampling)
        check_prompt(self.prompt, self.system)
        most = settings().max_generations
        if not 1 <= len(self.variants) <= most:
            raise InvalidRequest(f"{len(self.variants)} variants were asked for.", hint=f"Allowed: 1 to {most}.")
        return self


# What the page asks.

TITLES = {
    "max_tokens": "Max tokens",
    "temperature": "Temperature",
    "top_p": "Top-p",
    "top_k": "Top-k",
    "repetition_penalty": "Repetition penalty",
    "seed": "Seed",
    "stop": "Stop strings",
}


def read_sampling(raw: Any) -> Sampling:
    """The checked sampling parameters of a form; what it leaves out keeps its default. Raises InvalidRequest."""
    if isinstance(raw, Sampling):
        return check(raw)
    if not isinstance(raw, Mapping):
        raise InvalidRequest("sampling cannot be read.", hint="Give its fields by their names.", field="sampling")
    if unknown := [str(name) for name in raw if name not in TITLES]:
        raise InvalidRequest(f"There is no field {unknown[0][:40]!r} in sampling.")
    numbers = {name: _number(raw[name], name) for name in TITLES if name in raw and name != "stop"}
    return check(Sampling(**numbers, stop=_stop(raw.get("stop") or ())))


def _number(value: Any, name: str) -> Any:
    """A number of the type that the field has by default."""
    title, default = TITLES[name], getattr(DEFAULTS, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"{title} is empty.", hint=f"The default is {default:g}.", field=name)
    if isinstance(default, float):
        return float(value)
    if not float(value).is_integer():
        raise InvalidRequest(f"{title} is {value:g}.", hint="It has to be a whole number.", field=name)
    return int(value)


def _stop(value: Any) -> tuple[str, ...]:
    """A list of strings, or a text with one per line, in which a line break is written as \\n."""
    if isinstance(value, str):
        return tuple(line.replace("\\n", "\n") for line in value.splitlines() if line)
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise InvalidRequest("Stop strings are no list of texts.", field="stop")
    return tuple(value)


class SessionSpec(Spec):
    """A request about one session of the page."""

    session: str = Field(max_length=MAX_ID)


class OpenSpec(Spec):
    """`session`: to take up again; "" or an unknown one opens a new one."""

    session: str = Field("", max_length=MAX_ID)


class ModelSpec(SessionSpec):
    model: str = Field(max_length=MAX_NAME, title="Model")


class UseSpec(ModelSpec):
    where: Literal["model", "pane"] = "model"


class SlotSpec(SessionSpec):
    slot: Whole = Field(ge=0, le=3)


class ChooseSpec(SlotSpec):
    variant: str = Field(max_length=MAX_NAME, title="Variant")


class EngineSpec(SlotSpec):
    engine: str = Field(max_length=MAX_ID)


class StopSpec(SessionSpec):
    """`slot`: of the pane to stop; None: everything."""

    slot: Whole | None = Field(None, ge=0, le=3)


class LeaveSpec(SessionSpec):
    """`token`: the page's, which the gate has read: a beacon has no headers."""

    page: str = Field("", max_length=MAX_ID)
    token: str = ""


class Settings(Spec):
    """What shapes an answer besides its prompt."""

    system: str = ""
    at_once: bool = False
    sampling: Annotated[Sampling, BeforeValidator(read_sampling)] = DEFAULTS


class AskSpec(Settings):
    """One prompt with everything that shapes its answer."""

    prompt: str
    raw: bool = False

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        check_prompt(self.prompt, self.system)
        return self


class RunSpec(AskSpec, SessionSpec):
    """One prompt in every pane of a session."""

    @property
    def ask(self) -> AskSpec:
        return AskSpec(
            prompt=self.prompt, system=self.system, raw=self.raw, at_once=self.at_once, sampling=self.sampling
        )


class AgainSpec(Settings, SlotSpec):
    """The last prompt again in one pane; or with `turn`, the key of another pane's turn, that one's prompt after it."""

    turn: str = Field("", max_length=MAX_ID)

    def ask(self, last: AskSpec) -> AskSpec:
        return AskSpec(
            prompt=last.prompt, system=self.system, raw=last.raw, at_once=self.at_once, sampling=self.sampling
        )


# Checks.


def check(sampling: Sampling) -> Sampling:
    """`sampling` itself when every value can be used, else `InvalidRequest` about the first that cannot."""
    most = settings().max_tokens
    rules = (
        (1 <= sampling.max_tokens <= most, "max_tokens", sampling.max_tokens, f"1 to {most}"),
        (0 <= sampling.temperature <= 5, "temperature", f"{sampling.temperature:g}", "0 (greedy) to 5"),
        (0 < sampling.top_p <= 1, "top_p", f"{sampling.top_p:g}", "above 0, up to 1 (off)"),
        (0 <= sampling.top_k <= 1_000_000, "top_k", sampling.top_k, "0 (off) or more"),
        (
            0 < sampling.repetition_penalty <= 10,
            "repetition_penalty",
            f"{sampling.repetition_penalty:g}",
            "above 0 to 10",
        ),
        (0 <= sampling.seed < 2**32, "seed", sampling.seed, "0 to 4294967295"),
        (len(sampling.stop) <= MAX_STOP_STRINGS, "stop", len(sampling.stop), f"up to {MAX_STOP_STRINGS}"),
    )
    for fine, name, value, allowed in rules:
        if not fine:
            raise InvalidRequest(f"{TITLES[name]} is {value}.", hint=f"Allowed: {allowed}.", field=name)
    if any(not 1 <= len(text) <= MAX_STOP_CHARS for text in sampling.stop):
        raise InvalidRequest(
            f"A stop string has 1 to {MAX_STOP_CHARS} characters.", hint="Shorten it or remove it.", field="stop"
        )
    return sampling


def check_prompt(prompt: str, system: str = "") -> str:
    """`prompt` itself when it is neither empty nor too long (the system prompt counted in), else `InvalidRequest`."""
    if not prompt.strip():
        raise InvalidRequest("The prompt is empty.", hint="Type something for the variants to answer.", field="prompt")
    length, most = len(prompt) + len(system), settings().max_prompt_chars
    if length > most:
        raise InvalidRequest(f"The prompt has {length:,} characters.", hint=f"Allowed: {most:,}.", field="prompt")
    return prompt
