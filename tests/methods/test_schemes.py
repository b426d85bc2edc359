"""The table of schemes is compressed-tensors' own presets, argument for argument."""

from __future__ import annotations

import pytest

from playground.errors import InvalidRecipe
from playground.methods import TABLE, schemes
from playground.methods.schemes import SCHEMES, scheme

pytestmark = pytest.mark.filterwarnings("ignore")  # what llm-compressor's imports warn of is not ours

PRESETS = {"UNQUANTIZED", "INT8"}  # no format, and another name of W8A8


def test_the_names_are_llm_compressors() -> None:
    from compressed_tensors.quantization.quant_scheme import PRESET_SCHEMES

    assert set(PRESET_SCHEMES) - PRESETS == set(SCHEMES)


@pytest.mark.parametrize("name", SCHEMES)
def test_the_arguments_are_llm_compressors(name: str) -> None:
    from compressed_tensors.quantization.quant_scheme import QuantizationScheme, preset_name_to_scheme

    found = SCHEMES[name]
    ours = QuantizationScheme(
        targets=["Linear"],
        weights=schemes.weight_arguments(found, 128),
        input_activations=schemes.input_arguments(found),
    )
    assert ours == preset_name_to_scheme(name, ["Linear"])


@pytest.mark.parametrize("name", SCHEMES)
def test_what_needs_calibration_is_what_llm_compressor_calibrates(name: str) -> None:
    from llmcompressor.modifiers.quantization import QuantizationModifier

    modifier = QuantizationModifier(scheme=name, targets=["Linear"])
    assert modifier.requires_calibration_data is SCHEMES[name].needs_calibration


def test_an_unknown_scheme_is_answered_with_the_nearest() -> None:
    assert scheme("w4a16").name == "W4A16"
    with pytest.raises(InvalidRecipe, match="Did you mean 'FP8_DYNAMIC'"):
        scheme("fp8_dynamc")


def test_every_llm_compressor_row_offers_known_schemes() -> None:
    for row in TABLE:
        if "llmcompressor" in row.requires:
            assert set(row.schemes) <= set(SCHEMES), row.name
            assert row.group_size
            assert row.hardware


def test_calibration_is_a_matter_of_method_and_scheme() -> None:
    by_name = {row.name: row for row in TABLE}
    assert by_name["fp8"].calibrates("FP8")
    assert not by_name["fp8"].calibrates("FP8_DYNAMIC")
    assert by_name["gptq"].calibrates("W4A16")
    assert not by_name["rtn"].calibrates("W4A16")
    assert by_name["nvfp4"].calibrates("NVFP4")
