"""The routes of the Speed page: what can be measured here, what a plan takes, and a measurement. For the owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request

from playground import models as catalog
from playground.core import Variant
from playground.engines import base
from playground.engines.base import Engine
from playground.errors import InvalidRequest
from playground.models.address import Address
from playground.spec import Spec
from playground.speed import report
from playground.speed.bench import Pace
from playground.speed.report import Labels
from playground.speed.session import Measurements
from playground.speed.spec import Plan
from playground.store import database, runs
from playground.web.owner import Rules
from playground.web.values import size

DEFAULT = Plan(prompt_tokens=256, output_tokens=64, runs=3)  # minutes for two variants on a small CPU
MAX_ADDRESSES = 32


class MeasureSpec(Spec):
    """Variants, each with an engine if one is meant (`smollm2:nf4@transformers`), and the plan for all of them."""

    addresses: tuple[Annotated[str, Field(max_length=1200)], ...] = Field(max_length=MAX_ADDRESSES)
    plan: Plan = DEFAULT

    @property
    def distinct(self) -> list[str]:
        """The addresses without duplicates. Raises InvalidRequest if there is none."""
        addresses = list(dict.fromkeys(name.strip() for name in self.addresses if name.strip()))
        if not addresses:
            raise InvalidRequest("Nothing is selected.", hint="Tick a variant under an engine.", field="addresses")
        return addresses


class MeasurementId(Spec):
    """`token`: the page's, which the gate has read: a beacon has no headers."""

    id: str
    token: str = ""


def router(engine: Engine, measurements: Measurements, rules: Rules) -> APIRouter:
    routes = APIRouter(prefix="/api/speed", tags=["speed"])

    @routes.get("/form")
    def form(request: Request, model: str = "") -> dict[str, Any]:
        """The variants of a model with their engines, and why an engine cannot run one; the default plan; and the
        newest stored measurement of this model, if any."""
        name = model or rules.opens_with(request)
        rules.check_model(request, name)
        known, _ = catalog.split(name)
        variants = catalog.variants(known)
        models = rules.models(request)
        return {
            "model": known,
            "models": models if known in models else [known, *models],
            "origin": catalog.describe(known),
            "variants": [_row(variant) for variant in variants],
            "plan": DEFAULT.model_dump(mode="json"),
            "latest": _latest(known) if rules.visitor(request) is None else "",
        }

    @routes.post("/plan")
    def plan(spec: MeasureSpec) -> dict[str, int]:
        """What a measurement takes: the number of variants, loads, generations, and steps (both together)."""
        addresses = spec.distinct
        steps = Pace(addresses, spec.plan).total
        return {
            "variants": len(addresses),
            "loads": len(addresses),
            "generations": steps - len(addresses),
            "steps": steps,
        }

    @routes.post("/measure")
    def measure(spec: MeasureSpec, request: Request) -> dict[str, str]:
        """Start a measurement and return its id; `GET /stream/ID` has its rows. It ends when nobody follows it."""
        rules.owner.check(request)
        addresses = spec.distinct
        return {"id": measurements.begin(engine, addresses, spec.plan, _labels(addresses)).id}

    @routes.post("/stop")
    def stop(measurement: MeasurementId, request: Request) -> dict[str, str]:
        """Stop a measurement; what was measured stays and is stored."""
        rules.owner.check(request)
        measurements.get(measurement.id).stop()
        return {"id": measurement.id}

    @routes.post("/leave")
    def leave(measurement: MeasurementId, request: Request) -> dict[str, str]:
        """Say that the page was closed: the measurement stops unless its stream is opened again at once."""
        rules.owner.check(request)
        measurements.get(measurement.id).readers.leave()
        return {"id": measurement.id}

    return routes


def _row(variant: Variant) -> dict[str, Any]:
    return {
        "id": variant.id,
        "label": variant.label,
        "size": size(variant),
        "reference": variant.is_reference,
        "source": variant.source,
        "options": [
            asdict(option)
            | {"title": report.engine_title(option.engine), "address": str(Address.parse(variant.id).on(option.engine))}
            for option in base.options(variant)
        ],
    }


def _labels(addresses: Sequence[str]) -> Labels:
    """Return the display names of the variants and of their models' references."""
    names = {Address.parse(name).variant for name in addresses}
    models = {catalog.split(name)[0] for name in names}
    variants = [variant for model in models for variant in catalog.variants(model)]
    return Labels({variant.id: variant for variant in variants})


def _latest(model: str) -> str:
    """Return the id of the newest measurement of this model; "" if there is none."""
    found = runs.latest("bench", model, limit=1) if database.exists() else []
    return found[0].id if found else ""
