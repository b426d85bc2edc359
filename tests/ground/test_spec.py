"""What can be asked for: errors name the field and what is allowed, and rows of other versions are read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from playground.core import Sampling
from playground.errors import InvalidRequest
from playground.evaluate.spec import Conditions, DivergenceSpec, EvaluateSpec, Passage
from playground.methods.recipe import Recipe
from playground.quantize.spec import QuantizeSpec
from playground.review.make import PromptSet, Terms
from playground.review.spec import ReviewSpec
from playground.spec import Spec
from playground.speed.spec import Plan

QUANTIZE = QuantizeSpec(
    model="smollm2",
    recipe=Recipe(method="awq", scheme="W4A16", group_size=64, keep=(("re:.*k_proj$", "W8A16"),), options={"n": 1}),
    name="mine",
)
EVALUATE = EvaluateSpec(
    variants=("smollm2", "smollm2:nf4@vllm"),
    conditions=Conditions(tasks=("gsm8k",), limit=5, generation={"temperature": 0.6}),
    engine="vllm",
    divergence=Passage(tokens=64),
)
REVIEW = ReviewSpec(
    variants=("a", "b"),
    prompts=PromptSet(name="pasted", prompts=("Why?",), hash="0"),
    terms=Terms(places=2),
    sampling=Sampling(max_tokens=6, stop=("\n",)),
)
NESTED = ("recipe", "divergence", "prompts", "terms", "sampling")
ALL = [QUANTIZE, EVALUATE, DivergenceSpec(variants=("a", "b")), REVIEW, Plan(depths=(0, 8), concurrency=(1, 2))]


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: type(spec).__name__)
def test_a_stored_row_of_any_version_is_read(spec: Spec) -> None:
    row = json.loads(json.dumps(spec.model_dump(mode="json")))
    assert type(spec).from_stored(row) == spec
    nested = {name: {**value, "of": "later"} for name, value in row.items() if name in NESTED}
    assert type(spec).from_stored({**row, **nested, "of": "later"}) == spec


def test_a_row_with_the_first_fields_alone_is_read() -> None:
    assert QuantizeSpec.from_stored({"model": "m", "recipe": {"method": "rtn", "scheme": "W4A16"}}).recipe.keep == ()
    assert EvaluateSpec.from_stored({"variants": ["m"], "tasks": ["gsm8k"]}).conditions.batch_size == 8
    assert DivergenceSpec.from_stored({"variants": ["m", "n"]}).text == "bundled"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Recipe(method="rtn", scheme=4), "scheme is 4. Allowed: text."),
        (lambda: Recipe(method="rtn"), "scheme is missing. Allowed: text."),
        (lambda: Recipe(method="rtn", scheme="W4A16", group_size="64"), "group size is '64'. Allowed: a whole number."),
        (
            lambda: Recipe(method="rtn", scheme="W4A16", kv_cache="FP3"),
            "KV-cache scheme is 'FP3'. Allowed: empty, FP8 or INT8.",
        ),
        (
            lambda: DivergenceSpec(variants=("a", "b"), max_length=8),
            "max length is 8. Allowed: a whole number from 16 to 4,096.",
        ),
        (
            lambda: Conditions(tasks=("t",), limit=0),
            "The limit of items is 0. Allowed: a whole number, 1 or more.",
        ),
        (lambda: Conditions(tasks="gsm8k"), "tasks is 'gsm8k'. Allowed: a list of texts."),
        (lambda: Conditions(tasks=("t",), speed=[]), "There is no field 'speed'."),
        (lambda: Plan(runs=True), "runs is True. Allowed: a whole number."),
        (lambda: Terms(places=True), "places is True. Allowed: a whole number from 0 to 200."),
        (lambda: QUANTIZE.changed(recipe={"method": 1}), "method is 1. Allowed: text."),
        (lambda: REVIEW.changed(sampling={"max_tokens": "many"}), "max tokens is 'many'."),
        (lambda: Plan.model_validate(["runs"]), "['runs'] cannot be read. Give fields by their names."),
    ],
)
def test_what_is_wrong_is_named(make: Any, says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        make()
    assert str(caught.value).startswith(says)


def test_a_spec_is_not_changed_in_place() -> None:
    with pytest.raises(InvalidRequest, match="method"):
        QUANTIZE.recipe.changed(method=None)
    with pytest.raises(Exception, match="frozen"):
        QUANTIZE.model = "other"  # type: ignore[misc]
