"""The Quantize page: form, layout and events. Jobs run in workers; every event here is short.

The form becomes a job's spec; none of its values is trusted. The open page polls `look`: twice a second at most while a
job runs, rarely otherwise, never when another page is shown. A job does not need the browser to stay open.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from playground import machine
from playground import models as catalog
from playground.core import Variant
from playground.engines import base
from playground.errors import InvalidRecipe, InvalidRequest, PlaygroundError
from playground.jobs import kinds
from playground.methods import TABLE, method
from playground.methods.base import Method, Option
from playground.methods.recipe import Recipe, variant_name
from playground.methods.schemes import GROUP_SIZES, SCHEMES
from playground.methods.table import scheme_words
from playground.models import names, stored
from playground.models.checkpoint import Checkpoint
from playground.models.variants import open_checkpoint
from playground.push import plan
from playground.push.pushes import Pushes
from playground.quantize.board import Board
from playground.quantize.estimate import Estimate, Facts, estimate, facts
from playground.quantize.files import MAX_BYTES, MAX_PIECE, SUFFIXES, Uploads
from playground.quantize.recipes import complete, needs_text, open_original
from playground.quantize.spec import QuantizeSpec
from playground.texts import Calibration
from playground.texts.calibration import bundled
from playground.texts.hub import check as check_hub
from playground.web import event_data
from playground.web import gradio as gr
from playground.web.forms import whole
from playground.web.jobs import Queue
from playground.web.owner import Rules
from playground.web.theme import html_part
from playground.web.values import inert

DEFAULT = ("awq", "W4A16_ASYM")
# Help for the fields that select layers: an example and a rule for each. An empty `keep`: the method has no such field.
_LAYERS = {
    "ignore": r"re:.*layers\.0\..*",
    "keep": "re:.*down_proj$ = W8A16",
    "ignore_rule": "one name or re:pattern a line; lm_head and MoE gates always stay",
    "keep_rule": "pattern = scheme, one a line; BF16 leaves a layer as it is",
}
_LAYERS_OF = {
    "gguf": {
        "ignore": r"re:blk\.0\..*",
        "keep": r"re:blk\.\d+\.ffn_down = Q8_0",
        "ignore_rule": "one GGUF name (blk.0.attn_q) or re:pattern a line; norms and MoE gates always stay",
        "keep_rule": "pattern = block type, one a line, instead of what the scheme’s mixture chooses",
    },
    "bitsandbytes": {
        "ignore": "model.layers.0.mlp",
        "keep": "",
        "ignore_rule": "one name a line, its beginning or its end; lm_head always stays",
        "keep_rule": "",
    },
}
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
QUICK: dict[str, Any] = {"queue": False, **PRIVATE}
PATTERNS = ("ignore", "keep")  # fields with regular expressions, which can take hours to match: for the owner only
MAX_FIELD = 4000  # characters of a text field
MAX_LINES = 64
STAND_IN = "x" * 64  # replaces pasted text in an estimate, which only depends on whether there is any


def form(
    model: str, origin: str = "", error: PlaygroundError | None = None, refusal: PlaygroundError | None = None
) -> str:
    """Return the value of the form: every method that a job runs, and why some cannot run here.

    `refusal`: why this visitor may not start anything; None for the owner.
    """
    models = [name for name in catalog.models() if not name.startswith("@")]
    default = Calibration()
    return inert(
        {
            "model": model,
            "models": models if model in models else [model, *models],
            "origin": origin,
            "methods": [_method(row) for row in TABLE if row.job],
            "default": DEFAULT,
            "group_sizes": GROUP_SIZES,
            "calibration": {
                "bundled": _bundled(),
                "samples": default.samples,
                "max_length": default.max_length,
                "seed": default.seed,
            },
            "upload": {"suffixes": SUFFIXES, "limit": MAX_BYTES},
            "error": _message_and_hint(error),
            "refusal": _message_and_hint(refusal),
        }
    )


@cache
def _bundled() -> int:
    """Return the number of bundled calibration samples."""
    return sum(1 for _ in bundled())


def _message_and_hint(error: PlaygroundError | None) -> list[str] | None:
    return [error.message, error.hint] if error else None


def _method(row: Method) -> dict[str, Any]:
    engines = {option.engine: option for option in base.options(_example_variant(row))}
    return {
        "name": row.name,
        "title": row.title,
        "good": row.good_at,
        "bad": row.bad_at,
        "hardware": row.hardware,
        "paper": row.paper,
        "format": row.output_format,
        "group_rule": row.group_size,
        "architectures": row.architectures,
        "compressor": "llmcompressor" in row.requires,
        "schemes": [_scheme(row, name) for name in row.schemes],
        "engines": [
            {"title": engines[name].title.removesuffix(" host"), "runs": engines[name].runs, "why": _why(engines[name])}
            for name in row.engines
            if name in engines
        ],
        "options": [_option(option) for option in row.options],
        "layers": _LAYERS_OF.get(row.name, _LAYERS),
        "missing": _missing(row),
    }


def _why(option: base.Option) -> str:
    return f"{option.why} ({option.do})" if option.do else option.why


def _scheme(row: Method, name: str) -> dict[str, Any]:
    scheme = SCHEMES.get(name)
    return {
        "name": name,
        "words": scheme_words(name),
        "calibrates": row.calibrates(name),
        "groups": scheme is not None and scheme.chooses_group,
    }


def _option(option: Option) -> dict[str, Any]:
    default = option.default
    text = ", ".join(default) if isinstance(default, tuple) else str(default)
    kind = "flag" if isinstance(default, bool) else "several" if isinstance(default, tuple) else "value"
    return {
        "name": option.name,
        "default": text.lower() if kind == "flag" else text,
        "summary": option.summary,
        "choices": option.choices,
        "kind": kind,
    }


def _example_variant(row: Method) -> Variant:
    """Return a variant as this method makes them, to look up which engines can run it."""
    return Variant("", "", "", row.title, row.name, row.schemes[0], "bfloat16", "", engines=row.engines)


def _missing(row: Method) -> list[str] | None:
    """Return why the method cannot run here and what to do about it; None if it can."""
    absent = [name for name, version in machine.versions(row.requires).items() if version is None]
    if absent:
        return [f"{', '.join(absent)} not installed.", "Run `make setup`."]
    probe = machine.known()
    if probe and probe.device not in row.devices:
        return [f"Runs on {', '.join(row.devices)}; this device is {probe.device}.", ""]
    return None


def refusal_value(serial: object, error: PlaygroundError) -> str:
    """Return the value of the estimate for an error."""
    return inert({"serial": serial, "error": _message_and_hint(error)})


def estimated(serial: object, name: str, expected: Estimate, host: Facts, replaces: bool) -> str:
    """Return the value of the estimate. `replaces`: a variant of this name is stored already."""
    sentences = list(expected.reasons)
    group = next((sentence for sentence in sentences if sentence.startswith("Group size")), "")
    if replaces:
        sentences.insert(0, f"A variant called {name} is there already: this replaces it.")
    return inert(
        {
            "serial": serial,
            "name": name,
            "before": expected.bytes_before,
            "after": expected.bytes_after,
            "exact": expected.bytes_is_exact,
            "bits": expected.bits_per_weight,
            "bits_before": 8 * expected.bytes_before * expected.bits_per_weight / (8 * expected.bytes_after),
            "memory": expected.peak_memory,
            "memory_free": host.memory_available,
            "disk": expected.disk_bytes,
            "disk_free": host.disk_free,
            "seconds": expected.seconds,
            "measured": host.speed is not None,
            "fits": expected.fits,
            "error": None if expected.fits else [expected.refusal, expected.hint],
            "group": group,
            "reasons": [sentence for sentence in sentences if sentence != group],
        }
    )


class Quantize:
    """Event handlers of the page, over one queue.

    rules            who may start, end and delete jobs, and which models visitors may use
    show             opens a variant beside its original on the Compare page
    compare_outputs  the components that `show` changes
    """

    def __init__(
        self, tab: Tab, queue: Queue, rules: Rules, show: Callable[[str, gr.Request], Any], compare_outputs: list[Any]
    ) -> None:
        self.tab, self.queue, self.rules, self.owner, self.show, self.compare_outputs = (
            tab,
            queue,
            rules,
            rules.owner,
            show,
            compare_outputs,
        )
        self.uploads = Uploads()
        self.pushes = Pushes()
        self.board = Board(queue, self.pushes)
        self._probing = threading.Lock()

    def wire(self, demo: gr.Blocks) -> None:
        form, board = self.tab.form, self.tab.board
        form.model(self.choose, None, form, **QUICK)
        form.estimate(self.estimate, None, self.tab.estimate, trigger_mode="always_last", **QUICK)
        form.probe(self.probe, None, self.tab.estimate, concurrency_limit=2, **PRIVATE)
        form.piece(self.piece, None, self.tab.upload, trigger_mode="multiple", **QUICK)
        form.begin(self.begin, None, board, **QUICK)
        acts = {board.look: self.look, board.cancel: self.cancel, board.again: self.again, board.remove: self.remove}
        for event, act in acts.items():
            event(act, None, board, trigger_mode="multiple", **QUICK)
        for event, act in {board.preview: self.preview, board.push: self.push, board.halt: self.halt}.items():
            event(act, None, self.tab.hub, trigger_mode="multiple", **QUICK)
        board.compare(self.compare, None, self.compare_outputs, **PRIVATE)
        demo.unload(self.leave)

    def close(self) -> None:
        """Stop the running pushes."""
        self.pushes.close()

    def leave(self, request: gr.Request) -> None:
        self.uploads.drop(request.session_hash or "")

    # ---- the form
    def choose(self, data: gr.EventData, request: gr.Request) -> str:
        refusal = self.owner.refusal(request)
        name = event_data.text(data, "name") or self.rules.opens_with(request)
        try:
            self.rules.check_model(request, name)
            model, _ = catalog.split(name)
            origin = catalog.describe(model)
            open_checkpoint(model)
        except PlaygroundError as error:
            return form(name, error=error, refusal=refusal)
        return form(model, origin, refusal=refusal)

    def estimate(self, data: gr.EventData, request: gr.Request) -> str:
        return self._estimate(event_data.values(data), request, measure=False)

    def probe(self, data: gr.EventData, request: gr.Request) -> str:
        """Estimate with the measured speed of this machine; the first measurement takes about ten seconds."""
        if refusal := self.owner.refusal(request):
            return refusal_value(event_data.serial(event_data.values(data)), refusal)
        with self._probing:
            return self._estimate(event_data.values(data), request, measure=True)

    def _estimate(self, data: Mapping[str, Any], request: gr.Request, *, measure: bool) -> str:
        serial = event_data.serial(data)
        try:
            self.rules.check_model(request, str(data.get("model") or ""))
            if any(data.get(key) for key in PATTERNS):
                self.owner.check(request)
            request_spec = spec(data, self.uploads, draft=True)
            checkpoint = open_original(request_spec.model)
            host = facts(measure=measure)
            expected = estimate(checkpoint, request_spec.recipe, host)
            name = _name(checkpoint, request_spec)
        except PlaygroundError as error:
            return refusal_value(serial, error)
        replaces = name in names.stored(request_spec.model)
        return estimated(serial, f"{request_spec.model}:{name}", expected, host, replaces)

    def piece(self, data: gr.EventData, request: gr.Request) -> str:
        values = event_data.values(data)
        number, text, response = values.get("number"), values.get("text"), {"serial": event_data.serial(values)}
        if not isinstance(number, int) or not isinstance(text, str) or len(text) > MAX_PIECE:
            return inert(response | {"error": ["The file did not arrive in one piece.", "Choose it again."]})
        try:
            self.owner.check(request)
            name = event_data.text(data, "name")
            upload = self.uploads.piece(request.session_hash or "", name, number, bool(values.get("last")), text)
        except PlaygroundError as error:
            return inert(response | {"number": number, "error": [error.message, error.hint]})
        if upload is None:
            return inert(response | {"number": number})
        return inert(
            response | {"number": number, "token": upload.token, "rows": upload.rows, "skipped": upload.skipped}
        )

    def begin(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(
            data, request, lambda: kinds.start(spec(event_data.values(data), self.uploads), self.queue.submit)
        )

    # ---- jobs and variants
    def look(self, data: gr.EventData, request: gr.Request) -> str:
        return self._value(data, request)

    def cancel(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, lambda: self.queue.cancel(event_data.text(data, "id")))

    def again(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, lambda: self.queue.again(event_data.text(data, "id")))

    def remove(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, lambda: stored.delete(event_data.text(data, "id")))

    # ---- to the hub. The board shows the progress of a push; these events only return an error or the preview.
    def preview(self, data: gr.EventData, request: gr.Request) -> str:
        """Return the card as it would be pushed. Only for the owner: it may request the base model's licence."""

        def act() -> dict[str, Any]:
            planned = plan(event_data.text(data, "id"), event_data.text(data, "repository"))
            return {"card": planned.card, "files": planned.files.names, "bytes": planned.bytes}

        return self._answer(data, request, act)

    def push(self, data: gr.EventData, request: gr.Request) -> str:
        """Start a push. The token is not stored here and is in no response."""

        def act() -> dict[str, Any]:
            values, variant, repository = (
                event_data.values(data),
                event_data.text(data, "id"),
                event_data.text(data, "repository"),
            )
            private, replaces = values.get("private") is not False, values.get("replace") is True
            self.pushes.begin(variant, repository, event_data.text(data, "token"), private=private, replace=replaces)
            return {}

        return self._answer(data, request, act)

    def halt(self, data: gr.EventData, request: gr.Request) -> str:
        def act() -> dict[str, Any]:
            self.pushes.halt(event_data.text(data, "id"))
            return {}

        return self._answer(data, request, act)

    def _answer(self, data: gr.EventData, request: gr.Request, act: Callable[[], dict[str, Any]]) -> str:
        """Return the result of `act` for the owner, or the error."""
        serial = {"serial": event_data.serial(event_data.values(data))}
        try:
            self.owner.check(request)
            return inert(serial | act())
        except PlaygroundError as error:
            return inert(serial | {"error": [error.message, error.hint]})

    def compare(self, data: gr.EventData, request: gr.Request) -> Any:
        return self.show(event_data.text(data, "id"), request)

    def _owned(self, data: gr.EventData, request: gr.Request, act: Callable[[], Any]) -> str:
        """Run `act` if the request is the owner's, then return the board with its error, if any."""
        return self._value(data, request, self.owner.attempt(request, act))

    def _value(self, data: gr.EventData, request: gr.Request, error: PlaygroundError | None = None) -> str:
        owner = self.owner.refusal(request) is None
        return self.board.value(
            event_data.serial(event_data.values(data)),
            event_data.ids(data, "logs"),
            event_data.ids(data, "cards"),
            error,
            owner=owner,
        )


def _name(checkpoint: Checkpoint, request_spec: QuantizeSpec) -> str:
    return request_spec.name or variant_name(complete(checkpoint, request_spec.recipe).recipe)


# What is on the page.


@dataclass(frozen=True)
class Tab:
    """The parts of the page: form, estimate, upload of a calibration file, board of jobs and variants, and the hub."""

    form: gr.HTML
    estimate: gr.HTML
    upload: gr.HTML
    board: gr.HTML
    hub: gr.HTML


def layout() -> Tab:
    """Add the page to the current Blocks; the script shows one page at a time."""
    with gr.Column(elem_id="pg-quantize"):
        with gr.Row(elem_id="pg-quantize-ask"):
            form = html_part(
                "quantizeForm", signals="'model' 'estimate' 'probe' 'piece' 'begin'", elem_id="pg-quantize-form"
            )
            estimate = html_part("quantizeEstimate", elem_id="pg-quantize-estimate")
        upload = html_part("quantizeUpload", elem_id="pg-quantize-upload")
        board = html_part(
            "quantizeBoard",
            signals="'look' 'cancel' 'again' 'remove' 'compare' 'preview' 'push' 'halt'",
            elem_id="pg-quantize-board",
        )
        hub = html_part("quantizeHub", elem_id="pg-quantize-hub")
    return Tab(form, estimate, upload, board, hub)


# The form, as a spec.


def spec(data: Mapping[str, Any], uploads: Uploads, *, draft: bool = False) -> QuantizeSpec:
    """Return the form as a spec; `draft` leaves out the pasted text, for an estimate. Raises PlaygroundError."""
    row = method(_text(data, "method"))
    recipe = Recipe.model_validate(
        {
            "method": row.name,
            "scheme": _text(data, "scheme") or row.schemes[0],
            "group_size": _group_size(data),
            "ignore": _lines(data, "ignore"),
            "keep": _lines(data, "keep"),
            "kv_cache": _text(data, "kv_cache"),
            "options": _options(data, row),
        }
    )
    if needs_text(recipe):
        recipe = recipe.changed(calibration=_calibration(data, uploads, draft))
    return QuantizeSpec(model=_text(data, "model"), recipe=recipe, name=_text(data, "name"))


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return value.strip()[:MAX_FIELD] if isinstance(value, str) else ""


def _lines(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    lines = tuple(dict.fromkeys(line.strip() for line in _text(data, key).splitlines() if line.strip()))
    if len(lines) > MAX_LINES:
        raise InvalidRecipe(f"{len(lines)} patterns are too many: {MAX_LINES} is the limit.", hint="Use re: patterns.")
    return lines


def _group_size(data: Mapping[str, Any]) -> int | None:
    text = _text(data, "group_size")
    return whole(text, "Group size") if text else None


def _calibration(data: Mapping[str, Any], uploads: Uploads, draft: bool) -> dict[str, Any]:
    """Return the fields of Calibration. A file is named by the token of its upload, never by a path.

    Raises InvalidRequest.
    """
    raw = data.get("calibration")
    calibration = raw if isinstance(raw, dict) else {}
    default = Calibration()
    numbers = {
        "samples": whole(calibration.get("samples", default.samples), "Samples"),
        "max_length": whole(calibration.get("max_length", default.max_length), "Tokens of a sample"),
        "seed": whole(calibration.get("seed", default.seed), "Seed"),
    }
    kind, text = _text(calibration, "source") or default.source, ""
    if kind == "bundled":
        source = kind
    elif kind == "pasted":
        source, pasted = kind, calibration.get("text")
        text = pasted if isinstance(pasted, str) else ""
        text = STAND_IN if draft and text.strip() else text
    elif kind == "hub":
        source = check_hub(_text(calibration, "hub"), "and after a colon the configuration or split")
    elif kind == "upload":
        source = str(uploads.path(_text(calibration, "upload")))
    else:
        raise InvalidRequest(f"{kind[:40]!r} is no source of calibration text.", hint="Use the bundled samples.")
    return Calibration(source=source, text=text, **numbers).model_dump(mode="json")


def _options(data: Mapping[str, Any], row: Method) -> dict[str, Any]:
    """Return the options that differ from their defaults."""
    raw = data.get("options")
    choices = raw if isinstance(raw, dict) else {}
    options = {option.name: _value(option, choices[option.name]) for option in row.options if option.name in choices}
    defaults = {option.name: option.default for option in row.options}
    return {name: value for name, value in options.items() if value != defaults[name]}


def _value(option: Option, raw: Any) -> Any:
    """Return the value in the type of the option's default; if it cannot be converted, the text.

    Completing the recipe then refuses the text.
    """
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
