"""The base class of all requests: one frozen model for form, API, command line, MCP and stored job.

Invalid values raise InvalidRequest, which names the field and says what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator

from playground.errors import InvalidRequest
from playground.formatting import did_you_mean

SHOWN = 40  # characters of an invalid value in a message
_NOUNS = {"integer": "whole numbers", "number": "numbers", "string": "texts"}
Whole = Annotated[int, Field(strict=True)]  # neither "3", 3.0 nor True


class Spec(BaseModel):
    """A request, checked when it is made. Raises InvalidRequest.

    JSON: `model_dump(mode="json")`, read back by `from_stored`. A field's `title` is its name in messages.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _in_words(cls, raw: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return validate(raw)
        except ValidationError as error:
            raise invalid(error, cls) from None

    @classmethod
    def from_stored(cls, raw: Mapping[str, Any]) -> Self:
        """Read a stored spec of any version; unknown fields are ignored. Raises InvalidRequest."""
        return cls.model_validate(raw, extra="ignore")

    def changed(self, **values: Any) -> Self:
        """Return a copy with other values, validated again. Raises InvalidRequest."""
        return type(self).model_validate({**dict(self), **values})


def invalid(error: ValidationError, model: type[BaseModel]) -> InvalidRequest:
    """Return the error for the first invalid field: its name, its value, and what is allowed."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = first["loc"]
    if not place:
        if isinstance(first["input"], bytes):
            return InvalidRequest("The body of the request is not JSON.", hint="Send an object as application/json.")
        return InvalidRequest(f"{first['input']!r:.{SHOWN}} cannot be read.", hint="Give fields by their names.")
    field, last = str(place[0]), str(place[-1])
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        names = list(model.model_fields) if len(place) == 1 else []
        return InvalidRequest(
            f"There is no field {last[:SHOWN]!r}.", hint=did_you_mean(last, names) if names else "", field=field
        )
    model_field = model.model_fields.get(field)
    title = model_field.title if model_field and len(place) == 1 else None
    name = title or next(str(part) for part in reversed(place) if isinstance(part, str)).replace("_", " ")
    if first["type"] == "missing":
        return InvalidRequest(f"{name} is missing.", hint=allowed(model, field), field=field)
    return InvalidRequest(f"{name} is {first['input']!r:.{SHOWN}}.", hint=allowed(model, field), field=field)


def allowed(model: type[BaseModel], field: str) -> str:
    """Return what a field allows, from its JSON schema: "Allowed: a whole number from 16 to 4,096."; "" for any."""
    schema = model.model_json_schema(mode="validation")
    field_schema = schema.get("properties", {}).get(field, {})
    choices = [choice for choice in field_schema.get("anyOf", [field_schema]) if choice.get("type") != "null"]
    words = " or ".join(filter(None, (_words(choice) for choice in choices)))
    return f"Allowed: {words}." if words else ""


def _words(schema: Mapping[str, Any]) -> str:
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        *rest, last = (str(value) or "empty" for value in values)
        return f"{', '.join(rest)} or {last}" if rest else last
    match schema.get("type"):
        case "integer" | "number" as kind:
            noun = "a whole number" if kind == "integer" else "a number"
            return f"{noun}{_bounds(schema)}"
        case "boolean":
            return "true or false"
        case "string":
            return "text" + (f" of at most {schema['maxLength']:,} characters" if "maxLength" in schema else "")
        case "array":
            most, noun = schema.get("maxItems"), _NOUNS.get(schema.get("items", {}).get("type"), "entries")
            return f"a list of at most {most} {noun}" if most else f"a list of {noun}"
        case "object":
            return "a set of names with values"
    return ""


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low:,} to {high:,}"
    if low is not None:
        return f", {low:,} or more"
    return f", {high:,} at most" if high is not None else ""
