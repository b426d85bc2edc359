"""The model card: front matter that the hub reads, stored numbers only, nothing of this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from playground.errors import BrokenCheckpoint, UnknownVariant
from playground.methods import TABLE
from playground.methods.recipe import Recipe
from playground.push import plan
from playground.push.card import origin
from playground.report.card import code, fence, plain
from playground.store import runs
from playground.store.schema import Run, StoredVariant
from tests.fakes.hub import Hub
from tests.fakes.variants import made
from tests.models.conftest import make_folder

EVIL = "<img src=x onerror=alert(1)> | ``` [a](javascript:1)"


def measured(variant: StoredVariant, **values: Any) -> Run:
    """An evaluation of a task with divergence and speed, as a job stores it."""
    rows = [
        {"variant": "smollm2", "task": "bundled_facts", "metric": "acc", "n": 100, "score": 0.5, "stderr": 0.05,
         "recovery": 100.0, "diff_ci95": None, "verdict": "reference", "warnings": []},
        {"variant": "mine", "task": "bundled_facts", "metric": "acc", "n": 100, "score": 0.4567, "stderr": 0.0498,
         "recovery": 91.34, "diff_ci95": [-0.11, 0.02], "verdict": "not distinguishable", "warnings": ["Few items."]},
    ]  # fmt: skip
    divergence = [
        {"variant": "smollm2", "kld_mean": 0.0, "tokens": 4096},
        {"variant": "noise-floor", "kld_mean": 0.0003, "kld_stderr": 0.0001, "kld_p99": 0.004, "top1_agreement": 0.998,
         "ppl_ratio": 1.0001, "tokens": 4096},
        {"variant": "mine", "kld_mean": 0.1503, "kld_stderr": 0.0042, "kld_p99": 1.25, "top1_agreement": 0.7712,
         "ppl_ratio": 1.1432, "tokens": 4096},
    ]  # fmt: skip
    speed = {"decode_tok_s": 23.94, "sd": 0.31, "engine": "vllm"}
    described = [
        {"id": "smollm2", "content_hash": "cd" * 32, "speed": speed | {"decode_tok_s": 16.02}},
        {"id": "mine", "content_hash": variant.content_hash, "speed": speed},
    ]
    run = Run(
        **{
            "id": runs.new_id(),
            "kind": "evaluation",
            "title": "",
            "model": variant.model,
            "created_at": 1.0,
            "settings": {},
            "versions": {},
            "device": {"name": "two cores"},
            "variants": described,
            "result": {"tasks": [{"name": "bundled_facts", "bundled": True}], "rows": rows, "divergence": divergence},
            **values,
        }
    )
    runs.add(run)
    return run


def front(card: str) -> Any:
    return yaml.safe_load(card.split("---\n", 2)[1])


def test_the_front_matter_is_the_hubs(variant: StoredVariant) -> None:
    assert front(plan(variant.id).card) == {
        "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "base_model_relation": "quantized",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": "apache-2.0",
        "tags": ["compressed-tensors", "awq", "w4a16_asym", "quantized", "quantization-playground"],
    }


def test_the_front_matter_has_the_newest_result_of_each_task_for_the_hub(variant: StoredVariant) -> None:
    measured(variant, created_at=1.0)
    newer = measured(variant, created_at=2.0)
    newer.result["rows"][1]["score"] = 0.4601
    runs.remove(newer.id)
    runs.add(Run(**newer.as_row()))
    (entry,) = front(plan(variant.id, "me/tiny-awq").card)["model-index"]
    assert entry["name"] == "tiny-awq"
    found = {metric["type"]: metric["value"] for one in entry["results"] for metric in one["metrics"]}
    assert found == {"acc": 0.4601, "kld_mean": 0.1503, "top1_agreement": 0.7712, "ppl_ratio": 1.1432}


def test_what_was_made_of_what_and_how(variant: StoredVariant) -> None:
    card = plan(variant.id, "me/x").card
    assert "4-bit integer weights with zero points, 16-bit activations, in groups of 64" in card
    assert "| weights on disk | 269.0 MB | 113.9 MB |" in card and "| bits per weight | 16.00 | 6.78 |" in card
    assert "2.36 times smaller" in card and "Group size 64: 128 does not divide 576." in card
    assert "| `model.layers.2.mlp.down_proj` | 6.20% | 30.0 dB |" in card
    assert "python -m playground quantize smollm2 --method awq --scheme W4A16_ASYM --group-size 64 --samples 32" in card
    assert "default_stage:\n  default_modifiers:\n    AWQModifier: {}" in card
    assert f"SHA-256 `{'ab' * 32}`" in card and "32 samples of the bundled text" in card
    assert "No evaluation of these weights is stored." in card


@pytest.mark.parametrize("row", [row for row in TABLE if row.job], ids=lambda row: row.name)
def test_only_the_engines_of_the_methods_table_are_named(home: Path, row: Any) -> None:
    variant = made(
        "x",
        method=row.name,
        scheme=row.schemes[0],
        recipe=Recipe(method=row.name, scheme=row.schemes[0]).model_dump(mode="json"),
    )
    if row.name == "gguf":
        (Path(variant.path) / "model.safetensors").rename(Path(variant.path) / "model-Q8_0.gguf")
    card = plan(variant.id, "me/x").card
    titles = {"transformers": "### transformers", "vllm": "### vLLM", "llamacpp": "### llama.cpp"}
    assert {name for name, title in titles.items() if title in card} == set(row.engines)
    assert front(card)["library_name"] == ("gguf" if row.name == "gguf" else "transformers")
    assert ("--hf-repo me/x --hf-file model-Q8_0.gguf" in card) == (row.name == "gguf")
    for block in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
        compile(block, "card", "exec")


def test_the_code_of_a_preview_has_a_place_to_fill(variant: StoredVariant) -> None:
    assert "vllm serve OWNER/NAME" in plan(variant.id).card


def test_a_stored_evaluation_is_in_the_table_with_its_run(variant: StoredVariant) -> None:
    run = measured(variant)
    card = plan(variant.id).card
    row = (
        "| bundled_facts¹ | acc | 100 | 0.5000 ± 0.0500 | 0.4567 ± 0.0498 | 91.3% | −0.1100 to +0.0200 "
        f"| not distinguishable | `{run.id}` |"
    )
    assert row in card and "¹ A task that comes with Quantization Playground" in card
    assert "- bundled_facts: Few items." in card
    assert f"| quantized | 0.1503 ± 0.0042 | 1.25 | 77.1% | 1.1432 | 4,096 | `{run.id}` |" in card
    assert f"| noise floor | 0.0003 ± 0.0001 | 0.004 | 99.8% | 1.0001 | 4,096 | `{run.id}` |" in card
    assert f"| vllm | 16.0 ± 0.3 | 23.9 ± 0.3 | two cores | `{run.id}` |" in card
    assert "No evaluation" not in card


def test_the_newest_run_counts_and_other_weights_do_not(variant: StoredVariant) -> None:
    old, new = measured(variant), measured(variant, created_at=2.0)
    other = measured(made("other", content_hash="ef" * 32), created_at=3.0)
    card = plan(variant.id).card
    assert new.id in card and old.id not in card and other.id not in card


def test_a_divergence_run_of_its_own_comes_first(variant: StoredVariant) -> None:
    measured(variant)
    rows = [{"variant": "smollm2"}, {"variant": "noise-floor", "kld_mean": 0.0}, {"variant": "mine", "kld_mean": 0.25}]
    run = measured(variant, kind="divergence", result={"rows": rows})
    assert f"| quantized | 0.25 | – | – | – | – | `{run.id}` |" in plan(variant.id).card


def test_nothing_of_this_machine_is_in_it(home: Path, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "my model")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    calibration = {
        "source": "/home/me/private/mails.jsonl", "text": "", "samples": 4, "max_length": 64, "seed": 0,
        "content_hash": "12" * 32,
    }  # fmt: skip
    recipe = Recipe(method="awq", scheme="W4A16_ASYM", group_size=64, calibration=calibration).model_dump(mode="json")
    variant = made("x", model="local", recipe=recipe, card={"recipe_path": None, "path": str(tmp_path)})
    variant.model = str(folder)
    from playground.push.card import card
    from playground.store.folders import MARKER

    text = card(variant, "AWQ", origin(str(folder)), "", [], "me/x")
    assert str(tmp_path) not in text and "mails" not in text and "private" not in text and MARKER not in text
    assert "quantize 'my model' " in text and "--calibration FILE" in text
    assert "an uploaded file" in text or "FILE" in text
    assert f"Token ids: SHA-256 `{'12' * 32}`" in text
    assert "base_model" not in front(text) and front(text)["license"] == "mit"
    pasted = recipe | {"calibration": calibration | {"source": "pasted", "text": "my own words"}}
    assert "my own words" not in plan(made("pasted", recipe=pasted, card={"recipe_path": None}).id).card


def test_the_licence_of_a_hub_model_is_what_its_card_says(hub: Hub, tmp_path: Path) -> None:
    hub.add("acme/tiny", make_folder(tmp_path / "m"), license="llama3.2")
    found = origin("acme/tiny@main")
    assert (found.title, found.repository, found.license) == ("tiny", "acme/tiny", "llama3.2")


def test_without_the_hub_the_licence_is_left_out(hub: Hub) -> None:
    hub.status = 500
    assert origin("acme/tiny").license == ""


def test_no_name_is_markup(variant: StoredVariant) -> None:
    layers = [{"name": EVIL, "relative_error": 0.1, "snr_db": None}]
    text = plan(made("evil", card={"reasons": [EVIL], "layers": layers}).id).card
    assert "<img" not in text.replace("\\<img", "").replace("`<img", "")
    assert plain(EVIL) == "\\<img src=x onerror=alert(1)\\> \\| \\`\\`\\` \\[a\\](javascript:1)"
    assert plain("a\n# b_c _d_") == "a \\# b_c \\_d\\_"
    assert code("a`b|c\nd") == "`abc d`"
    assert fence("```\nx\n````") == "`````\n```\nx\n````\n`````"


def test_what_is_gone_says_so(variant: StoredVariant) -> None:
    (Path(variant.path) / "model.safetensors").unlink()
    with pytest.raises(BrokenCheckpoint, match="holds no weights"):
        plan(variant.id)
    with pytest.raises(UnknownVariant):
        plan("smollm2:nothing")
