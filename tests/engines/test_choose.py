"""What an address means, and which engine a variant gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from playground import models
from playground.core import Variant
from playground.engines import base
from playground.errors import EngineUnavailable, UnknownModel
from playground.models.address import Address
from tests.fakes.catalog import fake_variant

REFERENCE = replace(fake_variant("fake"), engines=("transformers", "vllm"))
GGUF = replace(fake_variant("fake:q4_1"), engines=("llamacpp",), quantize=None)


@pytest.fixture
def with_vllm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    package = tmp_path / "lib" / "python3.11" / "site-packages" / "vllm" / "__init__.py"
    for file in (python, package):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.setenv("PLAYGROUND_VLLM_PYTHON", str(python))


@pytest.fixture
def without_vllm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLAYGROUND_VLLM_PYTHON", str(tmp_path / "nothing" / "python"))


@pytest.mark.parametrize(
    ("text", "variant", "engine"),
    [
        ("smollm2", "smollm2", ""),
        (" smollm2:nf4@vllm ", "smollm2:nf4", "vllm"),
        ("owner/name@main", "owner/name@main", ""),
        ("owner/name@main:nf4@transformers", "owner/name@main:nf4", "transformers"),
        ("@lab/owner/name", "@lab/owner/name", ""),
        ("@vllm", "@vllm", ""),
    ],
)
def test_an_address_ends_with_a_known_engine_or_has_none(text: str, variant: str, engine: str) -> None:
    assert Address.parse(text) == Address(model=variant, engine=engine)
    assert Address.parse(str(Address.parse(text))) == Address.parse(text)


def test_every_engine_is_an_option_with_a_reason_where_it_cannot(with_vllm: None) -> None:
    for variant in (REFERENCE, GGUF):
        found = base.options(variant)
        assert {option.engine for option in found} == {row.name for row in base.TABLE}
        assert all(option.runs or option.why for option in found)
        assert "on the Compare page" in next(option.why for option in found if option.engine == "remote")
    assert [o.engine for o in base.options(REFERENCE) if o.runs] == ["transformers", "vllm"]
    assert base.default(REFERENCE) == "transformers" and base.default(GGUF) == "llamacpp"
    assert base.default(REFERENCE, "vllm") == "vllm"


def test_a_missing_environment_says_what_to_run(without_vllm: None) -> None:
    assert "not there" in base.missing_vllm()
    with pytest.raises(EngineUnavailable) as caught:
        base.check(REFERENCE, "vllm")
    assert "make vllm" in caught.value.hint
    base.check(REFERENCE, "transformers")
    assert base.default(REFERENCE, "vllm") == "transformers"


def test_the_first_ones_engine_is_everybodys_who_can(with_vllm: None) -> None:
    assert base.common([REFERENCE, GGUF, REFERENCE]) == ["transformers", "llamacpp", "transformers"]
    assert base.common([]) == []


def test_what_was_chosen_stays_and_what_is_unknown_is_left_alone(with_vllm: None) -> None:
    assert base.common([REFERENCE, REFERENCE, GGUF], ["vllm", "", ""]) == ["vllm", "vllm", "llamacpp"]
    assert base.common([REFERENCE, REFERENCE], ["vllm", "transformers"]) == ["vllm", "transformers"]
    assert base.common([REFERENCE, None], ["vllm", ""]) == ["vllm", ""]


def test_the_addresses_of_one_run_name_an_engine_only_where_it_is_not_the_variants_own(
    with_vllm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def variant(name: str) -> Variant:
        if name == "nothing":
            raise UnknownModel("There is no model.")
        return GGUF if name == "fake:q4_1" else REFERENCE

    monkeypatch.setattr(models, "variant", variant)
    assert base.together(["fake", "fake:bf16"]) == ["fake", "fake:bf16"]
    assert base.together(["fake@vllm", "fake:bf16", "fake:q4_1", "nothing"]) == [
        "fake@vllm",
        "fake:bf16@vllm",
        "fake:q4_1",
        "nothing",
    ]
    assert base.together(["fake:bf16", "fake@vllm"]) == ["fake:bf16", "fake@vllm"]
