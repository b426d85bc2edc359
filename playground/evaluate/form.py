"""What the Evaluate form sends, turned into a job's spec. Nothing of it is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playground import models
from playground.engines.base import Address
from playground.engines.base import parse as parse_address
from playground.errors import InvalidRequest
from playground.evaluate.spec import BATCH_SIZE, Conditions, DivergenceSpec, EvaluateSpec
from playground.models import names
from playground.quantize.page import whole
from playground.texts.hub import parse as parse_hub

MAX_VARIANTS = 16
MAX_TASKS = 32
MAX_NAME = 1200  # characters of a variant's or a task's name
MAX_FIELD = 400
BUNDLED_TEXT = "bundled"
TOKENS = 8192
MAX_TOKENS = 1_000_000
_WORDS = {"true": True, "false": False}


Asked = EvaluateSpec | DivergenceSpec


def spec(data: Mapping[str, Any]) -> Asked:
    """The form as a spec; without tasks a divergence alone, which has no speed beside it. Raises PlaygroundError."""
    chosen, distance = variants(data), divergence(data)
    if distance is not None and not data.get("tasks"):
        return DivergenceSpec(chosen, distance["text"], distance["tokens"])
    return EvaluateSpec(
        variants=chosen,
        conditions=conditions(data),
        engine=_text(data, "engine"),
        divergence=distance,
        speed=bool(data.get("speed")),
    )


def named(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Every variant that the form names, before any is looked up."""
    return tuple(filter(None, (_text(data, "reference", MAX_NAME), *_names(data, "variants"))))


def variants(data: Mapping[str, Any]) -> tuple[str, ...]:
    """The reference, then the others, each known to the catalog. Raises PlaygroundError."""
    reference = _text(data, "reference", MAX_NAME)
    others = [name for name in _names(data, "variants") if name != reference]
    if not reference:
        raise InvalidRequest("No reference is chosen.", hint="The other variants are compared with it.")
    if not others:
        raise InvalidRequest("Only the reference is chosen.", hint="Tick a variant to compare with it.")
    if len(others) >= MAX_VARIANTS:
        raise InvalidRequest(f"{len(others) + 1} variants are chosen; {MAX_VARIANTS} at once is the limit.")
    return tuple(_address(name) for name in (reference, *others))


def _address(name: str) -> str:
    """The variant and the engine that it names, if any; a local model by its path from the root, for the worker."""
    asked = parse_address(name)
    model, suffix = models.split(models.variant(asked.variant).id)
    key = names.key(model)
    return str(Address(f"{key}:{suffix}" if suffix else key, asked.engine))


def conditions(data: Mapping[str, Any]) -> Conditions:
    """What every variant is asked, and how. Raises InvalidRequest."""
    tasks = _names(data, "tasks")
    if len(tasks) > MAX_TASKS:
        raise InvalidRequest(f"{len(tasks)} tasks are chosen; {MAX_TASKS} at once is the limit.", hint="Use a group.")
    chat = bool(data.get("chat_template"))
    return Conditions(
        tasks=tasks,
        limit=_optional(data, "limit", "The limit"),
        few_shot=_optional(data, "few_shot", "Few-shot"),
        chat_template=chat,
        multiturn=chat and bool(data.get("multiturn")),
        generation=generation(_text(data, "generation")),
        strip_thinking=bool(data.get("strip_thinking")),
        batch_size=_optional(data, "batch_size", "The batch size") or BATCH_SIZE,
        seed=_optional(data, "seed", "The seed"),
    )


def divergence(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """The text that both read, where the distributions are to be compared. Raises InvalidRequest."""
    if not data.get("divergence"):
        return None
    text = _text(data, "text") or BUNDLED_TEXT
    if text != BUNDLED_TEXT and parse_hub(text) is None:
        raise InvalidRequest(
            f"{text[:80]!r} is no data set of the hub.", hint="Write owner/name, or leave it at the bundled text."
        )
    tokens = _optional(data, "tokens", "Tokens of text") or TOKENS
    if tokens > MAX_TOKENS:
        raise InvalidRequest(f"{tokens:,} tokens of text are too many: {MAX_TOKENS:,} is the limit.")
    return {"text": text, "tokens": tokens}


def generation(text: str) -> dict[str, Any]:
    """ "max_gen_toks=512, temperature=0.6" as lm-eval's arguments. Raises InvalidRequest."""
    found: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.replace("\n", ",").split(","))):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not name.isidentifier() or not value:
            raise InvalidRequest(
                f"{part[:80]!r} is no argument of generation.", hint="Write max_gen_toks=512, temperature=0.6."
            )
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _optional(data: Mapping[str, Any], key: str, name: str) -> int | None:
    """A whole number, or None where nothing was typed."""
    found = data.get(key)
    return None if found is None or not str(found).strip() else whole(found, name)


def _text(data: Mapping[str, Any], key: str, longest: int = MAX_FIELD) -> str:
    found = data.get(key)
    return found.strip()[:longest] if isinstance(found, str) else ""


def _names(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Each once, in the order of the form."""
    found = data.get(key)
    listed = [one.strip()[:MAX_NAME] for one in found if isinstance(one, str)] if isinstance(found, list) else []
    return tuple(dict.fromkeys(filter(None, listed)))
