"""The recipe file is what llm-compressor itself reads, for every method and scheme."""

from __future__ import annotations

import pytest
import yaml

from playground.methods import TABLE
from playground.methods.llm_compressor import to_yaml
from playground.methods.recipe import Recipe
from playground.methods.table import method as row_of
from playground.quantize.writers import WRITERS, writer

pytestmark = pytest.mark.filterwarnings("ignore")
CASES = [(row.name, scheme) for row in TABLE if row.modifiers for scheme in row.schemes]


def parsed(recipe: Recipe) -> list[object]:
    from llmcompressor.recipe import Recipe as Theirs

    return list(Theirs.create_instance(to_yaml(row_of(recipe.method).modifiers(recipe))).modifiers)


@pytest.mark.parametrize(("method", "scheme"), CASES, ids=["-".join(case) for case in CASES])
def test_llm_compressor_reads_it(method: str, scheme: str) -> None:
    wanted = list(row_of(method).modifiers(Recipe(method=method, scheme=scheme, group_size=64)))
    found = parsed(Recipe(method=method, scheme=scheme, group_size=64, ignore=("lm_head",)))
    assert [type(one).__name__ for one in found] == wanted
    assert found[-1].ignore == ["lm_head"]  # type: ignore[attr-defined]


def test_group_size_cache_and_other_schemes_arrive() -> None:
    recipe = Recipe(
        method="gptq",
        scheme="W4A16",
        group_size=64,
        ignore=("lm_head",),
        keep=(("re:.*down_proj$", "W8A16"), ("re:.*layers.0.*", "BF16")),
        kv_cache="FP8",
        options={"dampening_frac": 0.05},
    )
    (found,) = parsed(recipe)
    groups = found.resolved_config.config_groups  # type: ignore[attr-defined]
    assert {tuple(group.targets): (group.weights.num_bits, group.weights.group_size) for group in groups.values()} == {
        ("Linear",): (4, 64),
        ("re:.*down_proj$",): (8, 64),
    }
    assert found.ignore == ["lm_head", "re:(?!.*(?:attn|attention)$).*layers.0.*"]  # type: ignore[attr-defined]
    assert found.kv_cache_scheme.type == "float"  # type: ignore[attr-defined]
    assert found.dampening_frac == 0.05  # type: ignore[attr-defined]


def test_a_preset_is_named_and_not_spelled_out() -> None:
    found = yaml.safe_load(
        to_yaml(row_of("fp8").modifiers(Recipe(method="fp8", scheme="FP8_DYNAMIC", ignore=("lm_head",))))
    )
    modifiers = found["default_stage"]["default_modifiers"]
    assert modifiers == {
        "QuantizationModifier": {"scheme": "FP8_DYNAMIC", "targets": ["Linear"], "ignore": ["lm_head"]}
    }


def test_every_method_of_a_job_has_modifiers_or_is_a_whole_writer() -> None:
    for row in TABLE:
        assert row.job == (row.modifiers is not None or row.name in WRITERS), row.name
        assert not (row.modifiers and row.name in WRITERS), row.name
    for name in WRITERS:
        made = writer(name)
        assert callable(made.check) and callable(made.make) and callable(made.notes)
