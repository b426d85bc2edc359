"""GGUF files made here: llama.cpp's types and blocks, the reference's tokenizer, and answers that make sense."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, dequantize
from gguf import quantize as quantize_in_python

from playground import models
from playground.core import Finish, Generation, Message, Progress, Sampling, Token
from playground.engines.llamacpp.engine import LlamaCppEngine
from playground.errors import BrokenCheckpoint, Cancelled, InvalidRecipe, QuantizeFailed, UnsupportedModel
from playground.methods.recipe import Recipe
from playground.metrics.weights import LayerError
from playground.models import bundled
from playground.models.gguf import GgufHeader, read_header
from playground.quantize import gguf, gguf_convert
from tests.fakes.model import make_tiny

ASK: list[Message] = [{"role": "user", "content": "What is gravity?"}]
TEXTS = ("What is gravity?", "Grüße 你好 🙂🦊漢字", "a  b\n\n\tc   12345 1,234.5", "def f(x):\n    return x**2  # ok")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("gguf") / "tiny")


@pytest.fixture(scope="module")
def smollm2() -> Path:
    """The user's own restored copy, so that it is restored once per machine and not once per run."""
    return Path(models.resolve("smollm2").path)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppEngine]:
    def refuse(folder: str, source: object) -> Any:
        raise AssertionError("a .gguf file is tokenized by llama.cpp itself")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(tmp_path_factory.mktemp("home")))
        found = LlamaCppEngine(refuse)
        yield found
        found.close()


def make(
    source: Path,
    folder: Path,
    recipe: Recipe | str,
    cancel: Callable[[], bool] = lambda: False,
    lost: Callable[[LayerError], None] = lambda _: None,
) -> GgufHeader:
    recipe = Recipe(method="gguf", scheme=recipe) if isinstance(recipe, str) else recipe
    folder.mkdir(parents=True, exist_ok=True)
    gguf.make(source, folder, recipe, (), lambda _: None, cancel, lost)
    (path,) = folder.iterdir()
    assert path.name == gguf.file_name(recipe.scheme)
    return read_header(path)


def kinds(header: GgufHeader) -> dict[str, int]:
    return dict(Counter(tensor.dtype for tensor in header.tensors if len(tensor.shape) > 1))


def blob(path: Path, header: GgufHeader, name: str) -> bytes:
    size = next(tensor.bytes for tensor in header.tensors if tensor.name == name)
    with path.open("rb") as file:
        file.seek(header.offsets[name])
        return file.read(size)


def answer(engine: LlamaCppEngine, variant: str, ids: tuple[int, ...], count: int) -> list[int]:
    sampling = Sampling(max_tokens=count)
    items = list(engine.generate(Generation(variant, ids, sampling, request_id="r")))
    assert isinstance(items[-1], Finish)
    return [item.id for item in items if isinstance(item, Token)]


# The mixtures


def mixture(scheme: str, *, layers: int = 32, columns: int = 4096, **shape: Any) -> dict[str, str]:
    """Types of a Llama of the usual shape."""
    parts = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    names = [f"blk.{layer}.{part}.weight" for layer in range(layers) for part in parts]
    names += ["token_embd.weight", "output.weight"]
    size = {"heads": 32, "kv_heads": 8} | shape
    found = gguf.choose(scheme, gguf.Shape("llama", layers, **size), [(name, columns) for name in reversed(names)])
    return {name: choice.kind for name, choice in found.items()}


def test_q4_k_m_gives_more_bits_to_half_of_the_values_and_of_the_ways_down() -> None:
    """The counts of every published Llama-3-8B-Q4_K_M.gguf: 193 Q4_K and 33 Q6_K matrices."""
    found = mixture("Q4_K_M")
    assert Counter(found.values()) == {"Q4_K": 193, "Q6_K": 33}
    assert found["blk.0.attn_v.weight"] == found["blk.0.ffn_down.weight"] == found["output.weight"] == "Q6_K"
    assert found["token_embd.weight"] == "Q4_K"


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("Q5_K_M", {"Q5_K": 193, "Q6_K": 33}),
        ("Q4_K_S", {"Q4_K": 217, "Q5_K": 8, "Q6_K": 1}),
        ("Q3_K_M", {"Q3_K": 129, "Q4_K": 92, "Q5_K": 4, "Q6_K": 1}),
        ("Q2_K", {"Q2_K": 129, "Q3_K": 64, "Q4_K": 32, "Q6_K": 1}),
        ("Q6_K", {"Q6_K": 226}),
        ("Q8_0", {"Q8_0": 226}),
        ("Q4_0", {"Q4_0": 225, "Q6_K": 1}),
    ],
)
def test_the_mixtures_of_llama_3_8b(scheme: str, expected: dict[str, int]) -> None:
    assert Counter(mixture(scheme).values()) == expected


def test_rows_that_hold_no_super_blocks_fall_back_to_small_ones() -> None:
    found = mixture("Q4_K_M", columns=576)
    assert set(found.values()) == {"Q5_0", "Q8_0"}
    assert gguf.fits("Q2_K", 33) == "F16"


@pytest.mark.parametrize(
    ("counts", "shared"),
    [
        ({"head_count": 64, "head_count_kv": 8}, 8),
        ({"head_count": 32}, 1),
        ({"head_count": [16, 32], "head_count_kv": [0, 8]}, 4),
    ],
)
def test_a_file_says_how_many_heads_share_their_values(counts: dict[str, Any], shared: int) -> None:
    """One that names no heads for keys and values has as many of them as of queries."""
    fields = {f"llama.attention.{name}": count for name, count in counts.items()}
    assert gguf.Shape.of({"general.architecture": "llama", **fields}, ()).grouped == shared


def test_eight_experts_keep_keys_and_values_in_8_bits() -> None:
    found = mixture("Q4_K_M", experts=8)
    assert found["blk.3.attn_k.weight"] == found["blk.3.attn_v.weight"] == "Q8_0"
    assert found["blk.3.attn_output.weight"] == "Q5_K"


@pytest.mark.parametrize("name", ["blk.0.attn_norm.weight", "blk.0.ffn_gate_inp.weight", "blk.0.attn_q.bias"])
def test_small_and_routing_tensors_are_never_quantized(name: str) -> None:
    assert not gguf.quantizable(name, 2)


# The kernels


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "BF16"])
def test_the_kernels_agree_with_the_gguf_package(kind: str) -> None:
    values = np.random.default_rng(0).standard_normal((70, 512)).astype(np.float32)
    found = gguf_convert.quantize(values, kind, 2, lambda: False)
    assert np.array_equal(found, quantize_in_python(values, GGMLQuantizationType[kind]).view(np.uint8))


@pytest.mark.parametrize(
    ("kind", "error"), [("Q6_K", 0.02), ("Q5_K", 0.04), ("Q4_K", 0.08), ("Q3_K", 0.16), ("Q2_K", 0.31)]
)
def test_k_quants_come_back_near_what_they_were(kind: str, error: float) -> None:
    """Chunks of several threads land where they belong: every row comes back, not only the first."""
    values = np.random.default_rng(0).standard_normal((5000, 512)).astype(np.float32)
    back = dequantize(gguf_convert.quantize(values, kind, 2, lambda: False), GGMLQuantizationType[kind])
    assert np.sqrt(((values - back) ** 2).mean(axis=1)).max() < 1.5 * error


def test_a_stack_of_experts_is_quantized_row_by_row() -> None:
    values = np.random.default_rng(0).standard_normal((3, 8, 64)).astype(np.float32)
    found = gguf_convert.quantize(values, "Q4_0", 1, lambda: False)
    assert found.shape == (24, 36)
    assert np.array_equal(found[8:16], gguf_convert.quantize(values[1], "Q4_0", 1, lambda: False))


@pytest.mark.parametrize(
    "kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "F16", "BF16", "F32"]
)
def test_blocks_are_read_as_the_gguf_package_reads_them(kind: str) -> None:
    values = np.random.default_rng(0).standard_normal((3000, 512)).astype(np.float32)
    blocks = gguf_convert.quantize(values, kind, 2, lambda: False)
    halves = blocks.view(np.float16) if kind == "F16" else blocks
    expected = dequantize(halves.view(np.float32) if kind == "F32" else halves, GGMLQuantizationType[kind])
    assert np.allclose(gguf_convert.dequantize(blocks, kind), expected, rtol=0, atol=1e-6)
    error = np.linalg.norm(expected - values) / np.linalg.norm(values)
    assert gguf_convert.relative_error(values.reshape(30, 100, 512), blocks, kind, 2) == pytest.approx(
        error, rel=1e-4, abs=1e-9
    )


def test_nan_in_the_weights_is_a_sentence() -> None:
    values = np.full((4, 256), np.nan, dtype=np.float32)
    with pytest.raises(QuantizeFailed, match="NaN"):
        gguf_convert.quantize(values, "Q8_0", 1, lambda: False)


# The tokenizer


def test_the_rule_names_the_pre_tokenizer(tiny: Path, smollm2: Path) -> None:
    def read(folder: Path) -> Any:
        return json.loads((folder / "tokenizer.json").read_text())

    assert gguf_convert.pre_tokenizer(read(tiny)) == "gpt-2"
    assert gguf_convert.pre_tokenizer(read(smollm2)) == "smollm"
    assert gguf_convert.pre_tokenizer(read(tiny) | {"normalizer": {"type": "Lowercase"}}) is None
    assert gguf_convert.pre_tokenizer({"pre_tokenizer": {"type": "Whitespace"}}) is None


# Files


def test_every_scheme_writes_a_complete_file(tiny: Path, tmp_path: Path) -> None:
    previous = 1 << 60
    for scheme in ("BF16", "Q8_0", "Q6_K", "Q5_1", "Q4_0"):
        header = make(tiny, tmp_path / scheme, scheme)
        size = sum(tensor.bytes for tensor in header.tensors)
        assert size <= previous
        previous = size
        assert header.fields["general.file_type"] == {"BF16": 32, "Q8_0": 7, "Q6_K": 18, "Q5_1": 9, "Q4_0": 2}[scheme]
        assert header.fields["tokenizer.ggml.eos_token_id"] == 2
        assert header.fields["tokenizer.ggml.pre"] == "gpt-2"
        assert header.fields["tokenizer.ggml.merges"]
    assert make(tiny, tmp_path / "Q2_K", "Q2_K").fields["tokenizer.chat_template"].startswith("{% for message")


def test_the_card_tells_what_fell_back(tiny: Path, tmp_path: Path) -> None:
    make(tiny, tmp_path, "Q4_K_M")
    count, fallback = gguf.notes(tmp_path, Recipe(method="gguf", scheme="Q4_K_M"))
    assert count.startswith("16 matrices: ")
    assert fallback.startswith("15 of 16 matrices fell back to blocks of 32 (")
    assert "rows of 64, 128 values" in fallback
    make(tiny, tmp_path / "wide", "BF16")
    assert gguf.notes(tmp_path / "wide", Recipe(method="gguf", scheme="BF16")) == ("16 matrices: 16 in BF16.",)


def test_progress_counts_the_bytes_of_the_file(tiny: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    gguf.make(tiny, tmp_path, Recipe(method="gguf", scheme="Q8_0"), (), seen.append, lambda: False)
    steps = [progress for progress in seen if progress.stage == "Quantizing"]
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    header = read_header(tmp_path / "model-Q8_0.gguf")
    assert steps[-1].done == steps[-1].total == sum(tensor.bytes for tensor in header.tensors)


def blocks_by_hand(values: Any, scheme: str) -> Any:
    """What Q8_0 and Q4_0 make of a matrix, as their definition says: a half-precision scale for each block of 32."""
    blocks = values.reshape(-1, 32)
    if scheme == "Q8_0":
        scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
        steps = np.round(blocks / np.where(scale, scale, 1))  # the embedding of the padding is 0
    else:
        scale = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1) / -8
        steps = np.minimum(15, np.floor(blocks / np.where(scale, scale, 1) + 8.5)) - 8
    return (steps * scale.astype(np.float16).astype(np.float32)).reshape(values.shape)


@pytest.mark.parametrize("scheme", ["Q8_0", "Q4_0"])
def test_every_tensor_tells_what_it_lost(tiny: Path, tmp_path: Path, scheme: str) -> None:
    """Against the definition of the blocks, from the original's own file. The converter permutes rows: no matter."""
    from safetensors.torch import load_file

    told: list[LayerError] = []
    make(tiny, tmp_path / "made", Recipe(method="gguf", scheme=scheme, ignore=("output",)), lost=told.append)
    found = {error.name: error.relative_error for error in told}
    weights = {name: tensor.float().numpy() for name, tensor in load_file(tiny / "model.safetensors").items()}
    names = {"attn_q": "self_attn.q_proj", "attn_output": "self_attn.o_proj", "ffn_down": "mlp.down_proj"}
    expected = {f"blk.1.{ours}": weights[f"model.layers.1.{theirs}.weight"] for ours, theirs in names.items()}
    expected["token_embd"] = weights["model.embed_tokens.weight"]
    for name, original in expected.items():
        error = np.linalg.norm(blocks_by_hand(original, scheme) - original) / np.linalg.norm(original)
        assert found[name] == pytest.approx(error, rel=1e-3), name
    assert len(found) == 15, "norms and what the recipe ignores are stored as they were"


def test_a_tensor_that_is_not_where_it_belongs_ends_it(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantize = gguf_convert.quantize
    monkeypatch.setattr(gguf_convert, "quantize", lambda values, *more: quantize(-values, *more))
    with pytest.raises(QuantizeFailed, match="is not in the file as it was written"):
        make(tiny, tmp_path, "Q8_0")


def test_keep_and_ignore_name_tensors(tiny: Path, tmp_path: Path) -> None:
    recipe = Recipe(method="gguf", scheme="Q4_0", ignore=("output",), keep=(("re:blk\\.0\\..*", "Q8_0"),))
    found = {tensor.name: tensor.dtype for tensor in make(tiny, tmp_path, recipe).tensors}
    assert found["output.weight"] == "BF16"
    assert found["blk.0.attn_q.weight"] == "Q8_0"
    assert found["blk.1.attn_q.weight"] == "Q4_0"


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(method="gguf", scheme="Q9_X"),
        Recipe(method="gguf", scheme="Q4_0", ignore=("lm_head",)),
        Recipe(method="gguf", scheme="Q4_0", keep=(("output", "W8A16"),)),
        Recipe(method="gguf", scheme="Q4_0", ignore=("re:(",)),
    ],
    ids=["scheme", "tensor", "type", "regex"],
)
def test_a_wrong_recipe_is_one_sentence(tiny: Path, tmp_path: Path, recipe: Recipe) -> None:
    with pytest.raises(InvalidRecipe) as caught:
        make(tiny, tmp_path, recipe)
    assert caught.value.hint


def test_cancel_ends_between_two_tensors(tiny: Path, tmp_path: Path) -> None:
    calls = iter([False] * 4)
    with pytest.raises(Cancelled):
        make(tiny, tmp_path, "Q4_0", lambda: next(calls, True))


def test_an_architecture_without_a_converter_is_refused(tiny: Path, tmp_path: Path) -> None:
    source = tmp_path / "odd"
    source.mkdir()
    for file in tiny.iterdir():
        (source / file.name).symlink_to(file)
    (source / "config.json").unlink()
    config = json.loads((tiny / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"architectures": ["FlapdoodleForCausalLM"]}))
    with pytest.raises(UnsupportedModel, match="FlapdoodleForCausalLM"):
        make(source, tmp_path / "out", "Q4_0")
    (source / "config.json").write_text("{")
    with pytest.raises(BrokenCheckpoint):
        make(source, tmp_path / "out", "Q4_0")


@pytest.mark.parametrize(("name", "matrices"), [("Qwen2", 16), ("Qwen3", 16), ("Gemma3", 15), ("Mixtral", 18)])
def test_other_architectures(tiny: Path, tmp_path: Path, name: str, matrices: int) -> None:
    """Converters that share a file with architectures which the installed gguf package does not know."""
    import transformers

    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = getattr(transformers, {"Gemma3": "Gemma3TextConfig"}.get(name, f"{name}Config"))(
        **sizes, vocab_size=300, num_key_value_heads=2, head_dim=16, max_position_embeddings=256
    )
    source = tmp_path / "source"
    transformers.AutoModelForCausalLM.from_config(config).bfloat16().save_pretrained(source)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (source / file).write_bytes((tiny / file).read_bytes())
    header = make(source, tmp_path / "made", "Q8_0")
    assert header.architecture == {"Mixtral": "llama"}.get(name, name.lower())
    assert sum(kinds(header).values()) == matrices


def test_an_architecture_newer_than_the_gguf_package_is_refused(tiny: Path, tmp_path: Path) -> None:
    known = gguf_convert.converter().get_model_class("TalkieForCausalLM")
    if not isinstance(known.model_arch, gguf_convert.UnknownName):
        pytest.skip("this gguf package knows it")
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tiny / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["TalkieForCausalLM"]}))
    with pytest.raises(UnsupportedModel, match="TalkieForCausalLM"):
        make(tmp_path, tmp_path / "out", "Q4_0")


# The bundled model, whole


@pytest.fixture(scope="module")
def lost() -> dict[str, list[LayerError]]:
    """By scheme, what each tensor of the bundled model lost when it was exported."""
    return {}


@pytest.fixture(scope="module")
def exported(
    smollm2: Path, tmp_path_factory: pytest.TempPathFactory, lost: dict[str, list[LayerError]]
) -> Callable[[str], Path]:
    root, made = tmp_path_factory.mktemp("exported"), dict[str, Path]()

    def export(scheme: str) -> Path:
        if scheme not in made:
            make(smollm2, root / scheme, scheme, lost=lost.setdefault(scheme, []).append)
            made[scheme] = root / scheme / gguf.file_name(scheme)
        return made[scheme]

    return export


def test_q4_1_of_the_restored_model_is_the_file_it_was_restored_from(exported: Callable[[str], Path]) -> None:
    """The bundled file was written by llama-quantize: same types, same blocks, to the last bit."""
    source, path = bundled.gguf(), exported("Q4_1")
    assert source is not None
    ours, theirs = read_header(path), read_header(source)
    assert {t.name: (t.dtype, t.shape) for t in ours.tensors} == {t.name: (t.dtype, t.shape) for t in theirs.tensors}
    for tensor in ours.tensors:
        assert blob(path, ours, tensor.name) == blob(source, theirs, tensor.name), tensor.name
    for key, value in theirs.fields.items():
        if key.startswith("tokenizer.") or (key.startswith("llama.") and key in ours.fields):
            assert ours.fields[key] == value, key


def test_the_bundled_model_loses_what_its_types_can_lose(
    exported: Callable[[str], Path], lost: dict[str, list[LayerError]]
) -> None:
    """It was restored from Q4_1: there only the rounding to BF16 is left, and Q8_0's embedding is of another type."""
    exported("Q4_1"), exported("Q4_K_M")
    on_its_grid = [error.relative_error for error in lost["Q4_1"] if error.name != "token_embd"]
    mixed = {error.name: error.relative_error for error in lost["Q4_K_M"]}
    assert len(on_its_grid) == 210 and max(on_its_grid) < 0.003
    assert len(mixed) == 211 and all(0.001 < error < 0.12 for error in mixed.values())


def test_llama_cpp_reads_text_as_the_reference_does(
    engine: LlamaCppEngine, exported: Callable[[str], Path], smollm2: Path
) -> None:
    from transformers import AutoTokenizer

    variant = str(exported("BF16"))
    engine.load(variant, lambda _: None, lambda: False)
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    for text in TEXTS:
        assert list(engine.prompt(variant, text).ids) == tokenizer.encode(text), text
    for turn in (*TEXTS, "<|im_end|> is a token"):
        messages: list[Message] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": turn}]
        expected = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        found = engine.prompt(variant, messages)
        assert (found.template, list(found.ids)) == ("chat", expected), turn


def test_bf16_answers_as_transformers_does(
    engine: LlamaCppEngine, exported: Callable[[str], Path], smollm2: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    variant = str(exported("BF16"))
    engine.load(variant, lambda _: None, lambda: False)
    ids = engine.prompt(variant, ASK).ids
    model = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.bfloat16)
    with torch.inference_mode():
        expected = model.generate(torch.tensor([ids]), max_new_tokens=24, do_sample=False)[0, len(ids) :].tolist()
    assert answer(engine, variant, ids, 24)[:20] == expected[:20]


@pytest.mark.parametrize("scheme", ["Q8_0", "Q4_0"])
def test_quantized_files_answer_in_llama_cpp(
    engine: LlamaCppEngine, exported: Callable[[str], Path], smollm2: Path, scheme: str
) -> None:
    from transformers import AutoTokenizer

    variant = str(exported(scheme))
    engine.load(variant, lambda _: None, lambda: False)
    said = AutoTokenizer.from_pretrained(smollm2).decode(answer(engine, variant, engine.prompt(variant, ASK).ids, 40))
    assert "force" in said or "gravity" in said.lower()
    assert Path(variant).stat().st_size == {"Q8_0": 144_810_912, "Q4_0": 91_726_752}[scheme]
