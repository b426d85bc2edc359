"""What the Quantize form sends, turned into a job's spec. Nothing of it is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playground import models
from playground.errors import InvalidRecipe, InvalidRequest
from playground.methods import method
from playground.methods.base import Method, Option
from playground.methods.recipe import KvCache, Recipe
from playground.models import names
from playground.quantize.spec import QuantizeSpec
from playground.quantize.upload import Uploads
from playground.texts import Calibration
from playground.texts.hub import parse as parse_hub

MAX_FIELD = 4000  # characters of a field that is typed
MAX_LINES = 64
KV_CACHES: tuple[KvCache, ...] = ("", "FP8", "INT8")
STAND_IN = "x" * 64  # for pasted text while it is typed: only its being there counts for an estimate


def spec(data: Mapping[str, Any], uploads: Uploads, *, draft: bool = False) -> QuantizeSpec:
    """The form as a spec. `draft` leaves the pasted text out, for an estimate. Raises PlaygroundError."""
    model, suffix = models.split(_text(data, "model"))
    if suffix:
        raise InvalidRequest(f"{model}:{suffix} is a variant.", hint=f"Start from the model it was made from: {model}.")
    row = method(_text(data, "method"))
    scheme = _text(data, "scheme") or row.schemes[0]
    kv_cache = _kv_cache(data)
    keep = _keep(data)
    recipe = Recipe(
        method=row.name,
        scheme=scheme,
        group_size=_group_size(data),
        ignore=_lines(data, "ignore"),
        keep=keep,
        kv_cache=kv_cache,
        calibration=_calibration(data, uploads, draft) if calibrates(row, scheme, keep, kv_cache) else {},
        options=_options(data, row),
    )
    name = _text(data, "name")
    if name:
        names.check_variant_name(model, name)
    return QuantizeSpec(model=model, recipe=recipe, name=name)


def calibrates(row: Method, scheme: str, keep: tuple[tuple[str, str], ...] = (), kv_cache: str = "") -> bool:
    """Whether making this needs calibration text."""
    return bool(kv_cache) or any(row.calibrates(one) for one in (scheme, *(kept for _, kept in keep)))


def _text(data: Mapping[str, Any], key: str) -> str:
    found = data.get(key)
    return found.strip()[:MAX_FIELD] if isinstance(found, str) else ""


def _lines(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(line.strip() for line in _text(data, key).splitlines() if line.strip()))
    if len(found) > MAX_LINES:
        raise InvalidRecipe(f"{len(found)} patterns are too many: {MAX_LINES} is the limit.", hint="Use re: patterns.")
    return found


def _keep(data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """ "re:.*down_proj$ = W8A16" on each line."""
    pairs = []
    for line in _lines(data, "keep"):
        pattern, equals, scheme = line.rpartition("=")
        if not equals or not pattern.strip() or not scheme.strip():
            raise InvalidRecipe(
                f"{line[:80]!r} does not say which layers get which scheme.",
                hint="Write one a line: re:.*down_proj$ = W8A16, or = BF16 to leave them as they are.",
            )
        pairs.append((pattern.strip(), scheme.strip().upper()))
    return tuple(pairs)


def _kv_cache(data: Mapping[str, Any]) -> KvCache:
    text = _text(data, "kv_cache")
    for known in KV_CACHES:
        if known == text:
            return known
    raise InvalidRecipe(f"There is no KV-cache scheme {text[:40]!r}.", hint="Use FP8, INT8 or none.")


def _group_size(data: Mapping[str, Any]) -> int | None:
    text = _text(data, "group_size")
    return whole(text, "Group size") if text else None


def whole(value: Any, name: str) -> int:
    """A whole number as typed. Raises InvalidRequest."""
    text = str(value).strip()[:40]
    if isinstance(value, bool) or not text.isascii() or not text.isdigit():
        raise InvalidRequest(f"{name} is “{text}”.", hint="It has to be a whole number.")
    return int(text)


def _calibration(data: Mapping[str, Any], uploads: Uploads, draft: bool) -> dict[str, Any]:
    """The page reads no path: a file is one that was uploaded, under the name that the upload was given."""
    raw = data.get("calibration")
    asked = raw if isinstance(raw, dict) else {}
    default = Calibration()
    numbers = {
        "samples": whole(asked.get("samples", default.samples), "Samples"),
        "max_length": whole(asked.get("max_length", default.max_length), "Tokens of a sample"),
        "seed": whole(asked.get("seed", default.seed), "Seed"),
    }
    kind, text = _text(asked, "source") or default.source, ""
    if kind == "bundled":
        source = kind
    elif kind == "pasted":
        source, pasted = kind, asked.get("text")
        text = pasted if isinstance(pasted, str) else ""
        text = STAND_IN if draft and text.strip() else text
    elif kind == "hub":
        source = _text(asked, "hub")
        if parse_hub(source) is None:
            raise InvalidRequest(
                f"{source[:80]!r} is no data set of the hub." if source else "No data set is named.",
                hint="Write owner/name, and after a colon the configuration or split.",
            )
    elif kind == "upload":
        source = str(uploads.path(_text(asked, "upload")))
    else:
        raise InvalidRequest(f"{kind[:40]!r} is no source of calibration text.", hint="Use the bundled samples.")
    return Calibration(source=source, text=text, **numbers).as_dict()


def _options(data: Mapping[str, Any], row: Method) -> dict[str, Any]:
    """Only what differs from the default, so that a recipe says what was chosen."""
    raw = data.get("options")
    asked = raw if isinstance(raw, dict) else {}
    found = {option.name: _value(option, asked[option.name]) for option in row.options if option.name in asked}
    defaults = {option.name: option.default for option in row.options}
    return {name: value for name, value in found.items() if value != defaults[name]}


def _value(option: Option, raw: Any) -> Any:
    """As the option's default is typed; what cannot be read stays text, and completing the recipe says so."""
    text = str(raw).strip()[:200]
    if isinstance(option.default, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    if isinstance(option.default, tuple):
        return tuple(part for part in text.replace(",", " ").split() if part)
    if isinstance(option.default, int | float):
        try:
            return type(option.default)(text)
        except ValueError:
            return text
    return text
