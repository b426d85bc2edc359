"""The arithmetic of an estimate: sizes of saved checkpoints, ranges that only grow, refusals with their reasons."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.errors import EngineUnavailable, InvalidRecipe
from playground.estimate import Measured, spread
from playground.methods.recipe import Recipe
from playground.metrics.weights import Tensor
from playground.models import checkpoint
from playground.models.checkpoint import Checkpoint
from playground.models.gguf import read_header
from playground.models.variants import open_checkpoint
from playground.quantize import machine_speed
from playground.quantize.estimate import FRESH_SHARE, Facts, Job, Matrix, estimate, facts, memory, seconds
from playground.quantize.machine_speed import Speed

SPEED = Speed(
    imports_s=10.0, base_bytes=550_000_000, gemm=1e11, gemm_fp32=1e11, factorize=1e10,
    column_s=1e-4, column_row_s=1e-7, round=5e7, write=5e8,
)  # fmt: skip
GIB = 2**30
HERE = Facts(SPEED, 64 * GIB, 500 * GIB)


def model(hidden: int = 256, layers: int = 2, *, tied: bool = True, vocabulary: int = 1000) -> Checkpoint:
    """A Llama's tensor list; nothing of it exists on a disk."""
    shapes = {
        "self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (hidden // 2, hidden),
        "self_attn.v_proj": (hidden // 2, hidden), "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (2 * hidden, hidden), "mlp.up_proj": (2 * hidden, hidden),
        "mlp.down_proj": (hidden, 2 * hidden),
    }  # fmt: skip
    tensors = [Tensor("model.embed_tokens.weight", "BF16", (vocabulary, hidden))]
    for n in range(layers):
        tensors += [Tensor(f"model.layers.{n}.{name}.weight", "BF16", shape) for name, shape in shapes.items()]
        tensors += [Tensor(f"model.layers.{n}.input_layernorm.weight", "BF16", (hidden,))]
    if not tied:
        tensors.append(Tensor("lm_head.weight", "BF16", (vocabulary, hidden)))
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "tie_word_embeddings": tied,
        "hidden_size": hidden, "intermediate_size": 2 * hidden, "vocab_size": vocabulary,
        "num_hidden_layers": layers, "num_attention_heads": 4, "num_key_value_heads": 2,
    }  # fmt: skip
    return checkpoint.assemble("owner/name", "owner/name", config, tensors, "a test")


def recipe(method: str = "rtn", scheme: str = "W4A16", samples: int = 0, length: int = 256, **more: Any) -> Recipe:
    calibration = {"samples": samples, "max_length": length} if samples else {}
    return Recipe(method=method, scheme=scheme, calibration=calibration, **more)


def test_the_estimate_of_a_scheme_by_hand() -> None:
    found = estimate(model(), recipe(), HERE)
    linear = 2 * (256 * 256 * 2 + 128 * 256 * 2 + 512 * 256 * 3)
    modules = 2 * 7
    kept = 2 * (1000 * 256 + 2 * 256)
    assert found.bytes_after == kept + linear // 2 + 2 * (linear // 128) + 16 * modules
    assert found.bytes_is_exact
    assert found.bits_per_weight == pytest.approx(8 * found.bytes_after / (linear + kept // 2))
    assert found.file_bytes > found.bytes_after
    assert found.fits
    assert json.loads(json.dumps(found.as_dict()))["peak_memory"] == list(found.peak_memory)


def test_the_saved_checkpoint_of_the_bundled_model() -> None:
    """What llm-compressor 0.14.0.1 wrote for SmolLM2-135M: the sizes of its model.safetensors, in bytes."""
    for made, written in (
        (recipe("rtn", "W4A16"), 113_175_416),
        (recipe("gptq", "W8A8"), 163_226_688),
        (recipe("fp8", "FP8_DYNAMIC"), 163_227_736),
    ):
        found = estimate(open_checkpoint("smollm2"), made, HERE)
        assert (found.file_bytes, found.bytes_is_exact) == (written, True)


def test_spinquant_unties_the_head() -> None:
    tied, untied = model(), model(tied=False)
    assert estimate(tied, recipe("spinquant"), HERE).bytes_after == estimate(untied, recipe(), HERE).bytes_after
    assert estimate(tied, recipe("spinquant"), HERE).bytes_after > estimate(tied, recipe(), HERE).bytes_after


def test_layers_that_are_kept_or_ignored_stay_wide() -> None:
    plain = estimate(model(), recipe(), HERE).bytes_after
    wide = 2 * 2 * 512 * 256  # down_proj of both layers in BF16
    ignored = estimate(model(), recipe(ignore=(r"re:.*down_proj$",)), HERE).bytes_after
    kept = estimate(model(), recipe(keep=((r"re:.*down_proj$", "BF16"),)), HERE).bytes_after
    eight = estimate(model(), recipe(keep=((r"re:.*down_proj$", "W8A16"),)), HERE).bytes_after
    assert ignored == kept == plain + wide - wide // 4 - 2 * (2 * 512 * 256 // 128) - 2 * 16
    assert eight == plain + wide // 4


def test_what_is_stored_wider_than_its_name_says_so() -> None:
    found = estimate(model(), recipe("gptq", "W4A8", samples=8), HERE)
    assert any("8 bits per weight" in reason for reason in found.reasons)
    assert found.bytes_after > estimate(model(), recipe("gptq", "W4A16", samples=8), HERE).bytes_after


def test_gguf_by_block_types() -> None:
    linear = 2 * (256 * 256 * 2 + 128 * 256 * 2 + 512 * 256 * 3)
    norms = 2 * 256 * 4
    found = estimate(model(), recipe("gguf", "Q8_0"), HERE)
    assert found.bytes_after == (linear + 1000 * 256) // 32 * 34 + norms
    assert found.bytes_is_exact
    assert not estimate(model(), recipe("gguf", "Q4_K_M"), HERE).bytes_is_exact


def test_gguf_against_the_bundled_file() -> None:
    """The bundled Q4_1 holds its output matrix, the embedding, as llama.cpp chose; every matrix as the mixture says."""
    from playground.models import bundled

    source = bundled.gguf()
    assert source is not None
    real = sum(tensor.bytes for tensor in read_header(source).tensors)
    found = estimate(open_checkpoint("smollm2"), recipe("gguf", "Q4_1"), HERE)
    assert found.bytes_after == pytest.approx(real, rel=1e-3)


def test_layers_left_out_of_a_gguf_file_or_of_bitsandbytes_are_counted_in_their_own_type() -> None:
    down = 256 * 512
    plain = estimate(model(), recipe("gguf", "Q8_0"), HERE).bytes_after
    wide = estimate(model(), recipe("gguf", "Q8_0", ignore=(r"re:blk\.\d+\.ffn_down",)), HERE).bytes_after
    mixed = estimate(model(), recipe("gguf", "Q8_0", keep=((r"re:blk\.\d+\.ffn_down", "Q4_0"),)), HERE).bytes_after
    assert (wide - plain, plain - mixed) == (2 * (2 * down - down // 32 * 34), 2 * down // 32 * 16)
    int8 = estimate(model(), recipe("bitsandbytes", "int8"), HERE).bytes_after
    left = estimate(model(), recipe("bitsandbytes", "int8", ignore=("mlp.down_proj",)), HERE).bytes_after
    assert left - int8 == 2 * (2 * down - (down + 4 * 256 + 1))


@pytest.mark.parametrize(
    ("method", "scheme", "wrong", "words"),
    [
        ("gguf", "Q8_0", {"ignore": ("lm_head",)}, "No tensor of this model is called 'lm_head'"),
        ("gguf", "Q8_0", {"ignore": ("re:(",)}, "not a regular expression"),
        ("gguf", "Q8_0", {"keep": (("re:.*", "W8A16"),)}, "no tensor type 'W8A16'"),
        ("bitsandbytes", "nf4", {"keep": (("re:.*", "INT8"),)}, "one scheme for all layers"),
        ("bitsandbytes", "nf4", {"ignore": ("re:.*down_proj",)}, "takes names, not patterns"),
        ("bitsandbytes", "nf4", {"ignore": ("no_such_layer",)}, "No layer matches 'no_such_layer'"),
    ],
)
def test_patterns_that_a_method_cannot_follow_are_refused_beforehand(
    method: str, scheme: str, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidRecipe, match=re.escape(words)) as caught:
        estimate(model(), recipe(method, scheme, **wrong), HERE)
    assert caught.value.hint


def test_refusals_say_what_is_missing_and_what_to_do() -> None:
    tight = estimate(model(), recipe("gptq", samples=8), replace(HERE, memory_available=10**8))
    assert not tight.fits
    assert "of memory" in tight.refusal
    assert "fewer or shorter calibration samples" in tight.hint
    full = estimate(model(), recipe(), replace(HERE, disk_free=10**6))
    assert not full.fits
    assert "disk" in full.refusal
    assert "another disk" in full.hint


def test_the_disk_keeps_a_tenth() -> None:
    need = estimate(model(), recipe(), HERE).disk_bytes
    assert not estimate(model(), recipe(), replace(HERE, disk_free=need)).fits
    assert estimate(model(), recipe(), replace(HERE, disk_free=int(need * 1.11))).fits


def test_a_range_that_straddles_what_is_free_is_a_warning() -> None:
    low, high = estimate(model(), recipe("gptq", samples=8), HERE).peak_memory
    free = (low + high) // 2 + int(FRESH_SHARE * SPEED.base_bytes)
    found = estimate(model(), recipe("gptq", samples=8), replace(HERE, memory_available=free))
    assert found.fits
    assert any("At worst" in reason for reason in found.reasons)


def test_the_process_that_checks_has_to_fit_beside_the_worker() -> None:
    low, _ = estimate(model(), recipe(), HERE).peak_memory
    tight = estimate(model(), recipe(), replace(HERE, memory_available=low + 1))
    assert not tight.fits
    assert "memory" in tight.refusal
    by_itself = estimate(model(), recipe("gguf", "Q8_0"), HERE).peak_memory[0]  # it is checked when the worker is done
    assert estimate(model(), recipe("gguf", "Q8_0"), replace(HERE, memory_available=by_itself + 1)).fits


def test_what_idle_models_hold_can_be_had() -> None:
    need = estimate(model(), recipe(), HERE).room
    short = replace(HERE, memory_available=1000)
    assert not estimate(model(), recipe(), short).fits
    found = estimate(model(), recipe(), replace(short, memory_held=need))
    assert found.fits
    assert any("Idle models are unloaded" in reason for reason in found.reasons)
    scarce = estimate(model(), recipe(), replace(short, memory_held=1000))
    assert not scarce.fits
    assert "without what is loaded" in scarce.refusal


def test_an_unmeasured_machine_has_no_time() -> None:
    assert estimate(model(), recipe(), replace(HERE, speed=None)).seconds is None


def test_a_recipe_that_cannot_run_is_refused_by_the_recipe() -> None:
    with pytest.raises(InvalidRecipe, match="divisible"):
        estimate(model(hidden=192), recipe("fp8", "FP8_BLOCK"), HERE)


MATRICES = st.lists(
    st.builds(Matrix, st.integers(1, 40).map(lambda n: 128 * n), st.integers(1, 40).map(lambda n: 128 * n)),
    min_size=1,
    max_size=6,
)
METHODS = ("rtn", "gptq", "awq", "smoothquant", "fp8", "autoround", "gguf")


def built(method: str, block: list[Matrix], samples: int, layers: int = 1) -> Job:
    weights = sum(matrix.weights for matrix in block) * layers
    return Job(
        method=method, blocks=(tuple(block),) * layers, weight_bytes=2 * weights, other_weights=1000,
        saved_bytes=weights // 2, hidden=block[0].columns, vocabulary=1000, samples=samples, length=128,
        iterations=20 if method == "autoround" else 0,
    )  # fmt: skip


def not_less(less: Job, more: Job) -> None:
    for one, other in (
        (memory(less, SPEED.base_bytes).total, memory(more, SPEED.base_bytes).total),
        (seconds(less, SPEED).total, seconds(more, SPEED).total),
    ):
        assert one[0] <= one[1]
        assert one[0] <= other[0]
        assert one[1] <= other[1]


@given(method=st.sampled_from(METHODS), block=MATRICES, samples=st.integers(0, 64), more=st.integers(1, 64))
def test_more_samples_or_layers_never_cost_less(method: str, block: list[Matrix], samples: int, more: int) -> None:
    base = built(method, block, samples)
    not_less(base, built(method, block, samples + more))
    not_less(base, built(method, block, samples, layers=1 + more))
    not_less(base, replace(base, saved_bytes=base.saved_bytes + more))


@given(bits=st.integers(2, 7), hidden=st.sampled_from((256, 512, 1024)))
def test_more_bits_never_cost_less(bits: int, hidden: int) -> None:
    fewer = estimate(model(hidden), recipe("rtn", "W8A16" if bits == 7 else f"W{_offered(bits)}A16"), HERE)
    wide = estimate(model(hidden), recipe("rtn", "W8A16"), HERE)
    assert fewer.bytes_after <= wide.bytes_after
    assert fewer.disk_bytes <= wide.disk_bytes
    assert fewer.peak_memory[1] <= wide.peak_memory[1]


def _offered(bits: int) -> int:
    return min((2, 3, 4), key=lambda offered: abs(offered - bits))


def test_calibration_and_search_cost_time() -> None:
    plain = estimate(model(), recipe(), HERE).seconds
    gptq = estimate(model(), recipe("gptq", samples=32), HERE).seconds
    awq = estimate(model(), recipe("awq", samples=32), HERE).seconds
    longer = estimate(model(), recipe("awq", samples=32, options={"n_grid": 40}), HERE).seconds
    assert plain
    assert gptq
    assert awq
    assert longer
    assert plain[0] < gptq[0]
    assert plain[0] < awq[0] < longer[0]


def test_the_time_of_a_reload_by_hand() -> None:
    """Each weight is unpacked once; each, and the output head, meets 96 tokens with two operations."""
    low, high = seconds(built("rtn", [Matrix(1000, 1000)], 0), SPEED).of["reloading"]
    assert low == high == pytest.approx(1e6 / SPEED.round + 2 * 96 * (1e6 + 1000) / SPEED.gemm)


@pytest.mark.parametrize("method", ["rtn", "gptq", "fp8"])
def test_a_heavier_model_takes_as_much_more_memory(method: str) -> None:
    """All of it at worst; at best a tenth of its pages are gone."""
    light = built(method, [Matrix(256, 256)], 8)
    before, after = (memory(job, 0).total for job in (light, replace(light, weight_bytes=light.weight_bytes + GIB)))
    assert (after[0] - before[0], after[1] - before[1]) == pytest.approx((0.9 * GIB, GIB))


def test_experience_moves_and_narrows_the_range() -> None:
    parts = seconds(built("gptq", [Matrix(512, 512)], 8), SPEED)
    middle = sum(parts.total) / 2
    fresh = spread(parts, "gptq")
    slow = spread(parts, "gptq", [Measured("gptq", 100, 300), Measured("gptq", 50, 150), Measured("awq", 1, 100)])
    assert slow[0] < 3 * middle < slow[1]
    assert slow[1] / slow[0] < fresh[1] / fresh[0]
    assert spread(parts, "gptq", [Measured("awq", 1, 100)]) == fresh
    far = spread(parts, "gptq", [Measured("gptq", 100, 50), Measured("gptq", 100, 200)])
    assert far[0] <= middle / 2
    assert far[1] >= middle * 2
    assert spread(parts, "gptq", [Measured("gptq", 0, 10)]) == fresh


def test_a_busy_machine_moves_the_upper_end_only() -> None:
    idle, busy = (estimate(model(), recipe(), replace(HERE, busy=load)) for load in (0.0, 3.0))
    assert idle.seconds
    assert busy.seconds
    assert busy.seconds == (idle.seconds[0], pytest.approx(4 * idle.seconds[1]))
    assert any("busy" in reason for reason in busy.reasons)


def test_facts_of_this_machine(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[int] = []
    monkeypatch.setattr(machine_speed, "_measure_in_child", lambda: asked.append(1) or SPEED)
    assert facts(measure=False).speed is None
    assert facts().speed == facts(str(tmp_path / "not" / "there")).speed == SPEED
    assert len(asked) == 1
    found = facts(measure=False)
    assert found.speed == SPEED
    assert found.memory_available > 0
    assert found.disk_free > 0
    assert found.busy >= 0


def test_the_best_of_all_readings_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slower = replace(SPEED, imports_s=20.0, gemm=1e10, write=9e8)
    monkeypatch.setattr(machine_speed, "_measure_in_child", lambda: SPEED)
    machine_speed.speed()
    monkeypatch.setattr(machine_speed, "_measure_in_child", lambda: slower)
    assert machine_speed.speed(again=True) == replace(SPEED, write=9e8)


@pytest.mark.parametrize("stored", ["", "[]", "{}", '{"key": "another", "speed": {}}'])
def test_a_foreign_or_broken_cache_is_not_believed(home: Path, stored: str) -> None:
    (home / "cache").mkdir()
    (home / "cache/speed.json").write_text(stored)
    assert machine_speed.cached() is None


def test_a_machine_without_llm_compressor_is_one_sentence(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_speed.py").write_text("import no_such_module")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(machine_speed, "MODULE", "broken_speed")
    with pytest.raises(EngineUnavailable, match="llm-compressor cannot be used here"):
        machine_speed.speed()


@pytest.mark.slow
def test_this_machine_can_be_measured(home: Path) -> None:
    found = machine_speed.speed()
    assert all(value > 0 for value in (found.imports_s, found.gemm, found.gemm_fp32, found.round, found.write))
    assert found.base_bytes > 100_000_000
    assert machine_speed.cached() == found
