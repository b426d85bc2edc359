"""What a session shows, and who may change it: the model, the panes' variants and engines, and the runs of the page.

`Compare.state` is everything that the page is drawn from, made anew for each answer, so that no list goes stale.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from starlette.requests import Request

from playground import models as catalog
from playground.compare.session import MAX_PANES, MIN_PANES, Session, Sessions
from playground.compare.spec import DEFAULTS, AgainSpec, AskSpec, RunSpec
from playground.compare.turns import Pane
from playground.core import Variant
from playground.engines import base
from playground.engines.base import Engine
from playground.errors import CatalogError, InvalidRequest, PlaygroundError, UnknownSession
from playground.models import names
from playground.models.address import Address
from playground.settings import settings
from playground.web import values
from playground.web.owner import Rules, rate_words

log = logging.getLogger(__name__)
EXAMPLES = {
    "What is gravity?": "What is gravity?",
    "Explain a KV cache": "Explain what a key-value cache is in a language model, in three sentences.",
    "17 × 23, step by step": "What is 17 × 23? Work it out step by step.",
    "Write a haiku": "Write a haiku about rain on a tin roof.",
}
BUSY = "Answers are being written."


class Compare:
    """The page over one engine. `device`: the line about the machine. `rules`: what visitors may do here."""

    def __init__(self, engine: Engine, sessions: Sessions, device: Callable[[], str], rules: Rules) -> None:
        self.engine, self.sessions, self.device, self.rules = engine, sessions, device, rules

    def find(self, id: str, request: Request) -> Session:
        """Return a session of whoever asks. Raises UnknownSession."""
        return self.sessions.find(id, self.rules.visitor(request))

    def open(self, id: str, request: Request) -> dict[str, Any]:
        """Take a session up again, or open one, which shows the page's model. Raises TooMany."""
        try:
            session = self.find(id, request)
            session.readers.renew()  # a page that was reloaded will read on
        except UnknownSession:
            session = self.sessions.open(self.rules.visitor(request))
            session.room = partial(self.rules.check_room, request)
            try:
                self.show(session, self.rules.opens_with(request), request)
            except PlaygroundError as error:
                session.notice(error)
        return self.state(session, request)

    # ---- the state
    def state(self, session: Session, request: Request) -> dict[str, Any]:
        """Everything that the page is drawn from, besides the rows."""
        session.settle()
        _refresh(session)
        models = self.rules.models(request)
        with session.lock:
            model, panes = session.model, [session.panes[slot] for slot in session.shown_slots]
            changing = {"busy": session.busy, "after": session.rows.last, "run": session.run_id}
        return {
            "session": session.id,
            "model": model,
            "models": models if model in (*models, "") else [model, *models],
            "origin": _origin(model),
            "device": self.device(),
            "panes": [self._pane(session, pane, models) for pane in panes],
            "examples": EXAMPLES,
            "defaults": self._defaults(request),
            "limits": self._limits(request),
            **changing,
        }

    def _pane(self, session: Session, pane: Pane, models: list[str]) -> dict[str, Any]:
        """A pane with what its picker offers: the model's variants, the endpoints' models, and what it shows."""
        choices = [choice(variant.id, variant.label, variant) for variant in session.choices]
        offered = {row["value"] for row in choices}
        choices += [endpoint(name) for name in models if name.startswith("@") and name not in offered]
        if pane.facts and pane.variant not in {row["value"] for row in choices}:
            choices.append(choice(pane.variant, pane.label, pane.facts))
        return {
            "slot": pane.slot,
            "address": pane.variant,
            "label": pane.label,
            "reference": pane.slot == 0,
            "head": pane.head,
            "choices": choices,
        }

    def _defaults(self, request: Request) -> dict[str, Any]:
        fields = asdict(DEFAULTS)
        del fields["ignore_eos"]
        if self.rules.visitor(request) is not None:
            fields["max_tokens"] = min(fields["max_tokens"], settings().public_max_tokens)
        return fields

    def _limits(self, request: Request) -> dict[str, Any] | None:
        if self.rules.visitor(request) is None:
            return None
        config = settings()
        return {
            "max_tokens": config.public_max_tokens,
            "chars": config.public_max_prompt_chars,
            "rate": rate_words(),
            "panes": MAX_PANES,
        }

    # ---- choosing
    def show(self, session: Session, name: str, request: Request) -> None:
        """Show a model with its first variants, or a variant beside its reference. Raises PlaygroundError."""
        self.rules.check_model(request, name)
        model, suffix = catalog.split(name.strip())
        variants = catalog.variants(model)
        with session.lock:
            session.stop()
            facts_before = [session.panes[slot].facts for slot in session.shown_slots[1:]]
            names_before = [facts.name for facts in facts_before if facts]
            session.model, session.choices = model, variants
            session.notice(None)
            chosen = _spread(variants, [suffix] if suffix else names_before, len(session.shown_slots) - 1)
            for slot, variant in zip(session.shown_slots, [variants[0], *chosen], strict=False):
                session.panes[slot].show(variant.id, variant, slot == 0, variants[0].source)
            _changed(session)

    def use(self, session: Session, name: str, where: str, request: Request) -> None:
        """Show an endpoint's model: as the model, or in a pane beside the reference (the last one if none is free)."""
        if where != "pane":
            self.show(session, name, request)
            return
        self.rules.check_model(request, name)
        facts = catalog.variant(name)
        with session.lock:
            free = [slot for slot in range(MAX_PANES) if slot not in session.shown_slots]
            slot = free[0] if free else session.shown_slots[-1]
            session.stop(slot)
            session.shown_slots = sorted({*session.shown_slots, slot})
            session.panes[slot].show(facts.id, facts, False, session.origin)
            _changed(session)

    def choose(self, session: Session, slot: int, typed: str, request: Request) -> None:
        """Show any variant of any model: by id, path or short name, with or without an engine (`nf4@vllm`)."""
        ids = {variant.name: variant.id for variant in session.choices}
        ids |= {variant.label: variant.id for variant in session.choices}
        address = Address.parse(typed.strip())
        wanted = Address.parse(ids.get(address.variant, address.variant)).on(address.engine)
        self.rules.check_model(request, wanted.variant)
        self._show_variant(session, slot, catalog.variant(wanted.variant), wanted.engine)

    def choose_engine(self, session: Session, slot: int, engine: str) -> None:
        """Run the pane's variant on another engine. As with another variant, this clears its conversation."""
        facts = self._shown(session, slot).facts
        if facts is None or engine not in base.NAMES:
            raise InvalidRequest(f"There is no engine {engine!r}.", hint=f"Known: {', '.join(base.NAMES)}.")
        self._show_variant(session, slot, facts, engine)

    def _show_variant(self, session: Session, slot: int, facts: Variant, engine: str) -> None:
        if engine:
            base.check(facts, engine)
        with session.lock:
            pane = self._shown(session, slot)
            session.stop(slot)
            pane.show(str(Address.parse(facts.id).on(engine)), facts, slot == 0, session.origin)
            _changed(session)

    def add(self, session: Session) -> None:
        """Show one variant more, if possible of a scheme that no pane has."""
        with session.lock:
            free = [slot for slot in range(MAX_PANES) if slot not in session.shown_slots]
            if not free or not session.choices:
                raise InvalidRequest(f"{MAX_PANES} panes are as many as can be shown.", hint="Remove one first.")
            facts = [session.panes[slot].facts for slot in session.shown_slots]
            used, schemes = {fact.id for fact in facts if fact}, {fact.scheme for fact in facts if fact}
            fresh = [variant for variant in session.choices[1:] if variant.id not in used] or session.choices[:1]
            fresh.sort(key=lambda variant: (variant.quantize is None, variant.scheme in schemes))
            session.shown_slots = sorted([*session.shown_slots, free[0]])
            session.panes[free[0]].show(fresh[0].id, fresh[0], False, session.origin)
            _changed(session)

    def remove(self, session: Session, slot: int) -> None:
        with session.lock:
            self._shown(session, slot)
            if len(session.shown_slots) <= MIN_PANES or slot == 0:
                raise InvalidRequest("The reference and one variant stay.", hint="Choose another variant instead.")
            session.stop(slot)
            session.shown_slots.remove(slot)
            session.panes[slot].empty()
            _changed(session)

    @staticmethod
    def _shown(session: Session, slot: int) -> Pane:
        if slot not in session.shown_slots:
            raise InvalidRequest(f"There is no pane {slot}.", hint="Reload the page.")
        return session.panes[slot]

    # ---- running
    def run(self, session: Session, spec: RunSpec, request: Request) -> None:
        """Begin a run: the same prompt in every pane. Raises PlaygroundError."""
        with session.lock:
            slots = list(session.shown_slots)
        self._begin(session, dict.fromkeys(slots, spec.ask), request)
        session.last = spec.ask

    def again(self, session: Session, spec: AgainSpec, request: Request) -> None:
        """Run one pane's last turn again with other settings; in an empty pane, the session's last prompt.

        With a turn of another pane, its prompt becomes the pane's next one. Raises PlaygroundError.
        """
        with session.lock:
            turns = self._shown(session, spec.slot).turns
            other = session.turn(spec.turn) if spec.turn else None
            last = other.ask if other else turns[-1].ask if turns and not spec.turn else session.last
        if last is None or (spec.turn and other is None):
            raise InvalidRequest("There is no such prompt.", hint="Type one and press Run.")
        self._begin(session, {spec.slot: spec.ask(last)}, request, again=other is None)

    def _begin(self, session: Session, asks: dict[int, AskSpec], request: Request, again: bool = False) -> None:
        """Check the limits of visitors, and begin. `again`: in the place of each pane's last turn."""
        if session.busy:
            raise InvalidRequest(BUSY, hint="Stop them, or wait until they are complete.")
        with session.lock:
            panes = [(session.panes[slot], ask) for slot, ask in asks.items()]
            if empty := [pane for pane, _ in panes if pane.facts is None]:
                raise InvalidRequest(f"Pane {empty[0].slot + 1} shows no variant.", hint="Choose one.")
            addresses = [pane.variant for pane, _ in panes]
            chars = max(pane.request(ask).chars for pane, ask in panes)
            tokens = max(ask.sampling.max_tokens for _, ask in panes)
        self.rules.begin(request, addresses, tokens, chars, waits=True)
        with session.lock:
            if again and not session.busy:
                for slot in asks:
                    session.drop_last(slot)
            if not session.begin(self.engine, asks, partial(self.rules.running, request)):
                raise InvalidRequest(BUSY, hint="Stop them, or wait until they are complete.")

    def measure(self, session: Session, request: Request) -> None:
        """Measure the divergence that was left open. Raises PlaygroundError."""
        with session.lock:
            addresses = [session.panes[slot].variant for slot in session.shown_slots]
        self.rules.begin(request, addresses, 1, 0)
        if not session.measure(self.engine):
            raise InvalidRequest(BUSY, hint="The divergence is measured after them.")


def _origin(model: str) -> str:
    """Where a model comes from, in one line; "" where it is gone by now."""
    try:
        return catalog.describe(model) if model else ""
    except CatalogError:
        return ""


def _refresh(session: Session) -> None:
    """Offer what was made, and no longer what was deleted, since the model was chosen."""
    known = {variant.name for variant in session.choices if group(variant) == "made here"}
    if session.model and set(names.stored(session.model)) != known:
        try:
            session.choices = catalog.variants(session.model)
        except CatalogError as error:
            log.warning("%s", error)


def _changed(session: Session) -> None:
    """After a change of the panes: which engine they share, and what the strip says."""
    session.share_engine()
    session.show_verdict("running" if session.busy else "none")


def _spread(variants: list[Variant], wanted: list[str], count: int) -> list[Variant]:
    """The variants beside the reference: those named, then quantized, then others, then itself."""
    candidates = [variant for variant in variants[1:] if variant.name in wanted]
    quantized = [variant for variant in variants[1:] if variant.quantize and variant not in candidates]
    candidates += quantized + [
        variant for variant in variants[1:] if variant not in candidates and variant not in quantized
    ]
    return (candidates + [variants[0]] * count)[:count]


def choice(value: str, label: str, variant: Variant) -> dict[str, Any]:
    """One entry of a picker. `why`: the reason why nothing here can run it; "" if something can."""
    options = base.options(variant)
    able = any(option.runs for option in options)
    return {
        "value": value,
        "label": label,
        "size": values.size(variant),
        "group": group(variant),
        "engine": base.title(Address.parse(value).engine or base.default(variant)),
        "why": "" if able else next((option.why for option in options if option.why), ""),
    }


def endpoint(name: str) -> dict[str, Any]:
    """The entry of an endpoint's model, which is only looked up when it is chosen."""
    return {
        "value": name,
        "label": name,
        "size": "",
        "group": "endpoints",
        "engine": base.title("remote"),
        "why": "",
    }


def group(variant: Variant) -> str:
    """Where a variant comes from: the original, made while loading, made by a job here, or an endpoint's."""
    if variant.method == "remote":
        return "endpoints"
    if variant.is_reference or variant.name == names.BUNDLED_FILE:
        return "original"
    return "while loading" if variant.name in names.built_in(variant.model) else "made here"
