"""Divergence of real models against plain transformers and float64; resumed, bounded, refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from playground import models as catalog
from playground.core import NOISE_FLOOR, LoadSpec, Progress
from playground.engines.host.loading import DeviceMemory, device_of_choice
from playground.errors import DifferentTokenizer, EvaluationError, InvalidRequest, OutOfMemory
from playground.evaluate import divergence
from playground.evaluate.divergence import measure, noise_floor, plan_windows
from playground.texts import prose
from playground.texts.prose import Text
from tests.cases import checkpoints
from tests.fakes.model import make_tiny

ROOT = Path(__file__).parents[2]
PROSE = Text("prose", "0" * 64, [one.text[:500] for one in prose.bundled()][:6])
Rows = list[dict[str, Any]]


class Heard:
    """A report that keeps what it hears."""

    def __init__(self) -> None:
        self.stages: list[Progress] = []
        self.notes: list[str] = []

    def progress(self, item: Progress) -> None:
        self.stages.append(item)

    def note(self, text: str) -> None:
        self.notes.append(text)

    @property
    def loads(self) -> list[str]:
        return [item.stage for item in self.stages if item.stage.endswith("warming up")]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadSpec, LoadSpec]:
    """A tiny reference, and another whose weights differ a little."""
    base = tmp_path_factory.mktemp("pair")
    one, two = make_tiny(base / "one"), make_tiny(base / "two")
    model = AutoModelForCausalLM.from_pretrained(two, dtype=torch.bfloat16)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=generator).to(weight.dtype) * weight.abs().mean()
        model.lm_head.weight *= 20
    model.save_pretrained(two)
    reference = AutoModelForCausalLM.from_pretrained(one, dtype=torch.bfloat16)
    with torch.no_grad():
        reference.lm_head.weight *= 20  # distributions that are not nearly flat
    reference.save_pretrained(one)
    return LoadSpec("tiny", str(one)), LoadSpec("tiny:other", str(two))


def log_softmax(logits: torch.Tensor) -> np.ndarray:
    values = logits.double().numpy()
    shifted = values - values.max(-1, keepdims=True)
    found: np.ndarray = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return found


def independent(one: Any, two: Any, tokenizer: Any, documents: list[str], length: int) -> dict[str, float]:
    """Mean KLD, perplexities and agreement of two plain models, in float64; windows overlap by one token."""
    kld, nll, nll_reference, agrees, dp = [], [], [], [], []
    for document in documents:
        ids = tokenizer(document)["input_ids"]
        for start in range(0, len(ids) - 1, length - 1):
            window = torch.tensor([ids[start : start + length]])
            with torch.no_grad():
                p, q = (log_softmax(model(window).logits[0, :-1].float()) for model in (one, two))
            at = np.arange(len(p)), window[0, 1:].numpy()
            kld += (np.exp(p) * (p - q)).sum(-1).tolist()
            nll += (-q[at]).tolist()
            nll_reference += (-p[at]).tolist()
            agrees += (p.argmax(-1) == q.argmax(-1)).tolist()
            dp += (np.exp(q[at]) - np.exp(p[at])).tolist()
    return {
        "kld_mean": float(np.mean(kld)),
        "kld_max": float(np.max(kld)),
        "ppl": float(np.exp(np.mean(nll))),
        "ppl_ratio": float(np.exp(np.mean(nll) - np.mean(nll_reference))),
        "top1_agreement": float(np.mean(agrees)),
        "dp_rms": float(np.sqrt(np.mean(np.square(dp)))),
        "tokens": len(kld),
    }


def test_against_plain_transformers_in_float64(pair: tuple[LoadSpec, LoadSpec], tmp_path: Path) -> None:
    reference, other = pair
    rows = measure(reference, [other], PROSE, 0, tmp_path, Heard(), max_length=96)
    assert [row["variant"] for row in rows] == ["tiny", NOISE_FLOOR, "tiny:other"]
    models = [AutoModelForCausalLM.from_pretrained(one.path, dtype=torch.bfloat16).eval() for one in pair]
    expected = independent(*models, AutoTokenizer.from_pretrained(reference.path), PROSE.documents, 96)
    assert expected["kld_mean"] > 0.01, "the two differ"
    for name, value in expected.items():
        assert rows[2][name] == pytest.approx(value, rel=1e-4), name
    fp32 = AutoModelForCausalLM.from_pretrained(reference.path, dtype=torch.float32).eval()
    floor = independent(models[0], fp32, AutoTokenizer.from_pretrained(reference.path), PROSE.documents, 96)
    for name in ("kld_mean", "ppl", "top1_agreement"):
        assert rows[1][name] == pytest.approx(floor[name], rel=1e-3), name


def test_perplexity_is_that_of_transformers_own_loss(pair: tuple[LoadSpec, LoadSpec], tmp_path: Path) -> None:
    reference, other = pair
    rows = measure(reference, [other], PROSE, 0, tmp_path, Heard(), max_length=64)
    tokenizer = AutoTokenizer.from_pretrained(reference.path)
    for spec, row in ((reference, rows[0]), (other, rows[2])):
        model = AutoModelForCausalLM.from_pretrained(spec.path, dtype=torch.bfloat16).eval()
        total = 0.0
        for document in plan_windows(PROSE, tokenizer, 0, 64).documents:
            for window in document:
                ids = torch.tensor([window.ids])
                with torch.no_grad():
                    total += float(model(ids, labels=ids).loss) * window.predicted
        assert row["ppl"] == pytest.approx(np.exp(total / row["tokens"]), rel=1e-4)


def test_the_reference_against_itself(pair: tuple[LoadSpec, LoadSpec], tmp_path: Path) -> None:
    reference, _ = pair
    again = LoadSpec("tiny:again", reference.path)
    own, floor, same = measure(reference, [again], PROSE, 0, tmp_path, Heard())
    assert own["kld_max"] == 0 and own["top1_agreement"] == 1 and own["ppl_ratio"] == 1
    assert same["kld_mean"] <= 1e-6 < floor["kld_mean"] < 1e-2
    assert same["ppl"] == own["ppl"] and same["top1_agreement"] == 1
    assert floor["tokens"] == own["tokens"] == same["tokens"]


def test_the_other_path_of_an_fp32_reference_is_bf16() -> None:
    spec = LoadSpec("m", "m", "float32", weight_bytes=400)
    assert noise_floor(spec) == LoadSpec(NOISE_FLOOR, "m", "bfloat16", weight_bytes=200)
    assert noise_floor(LoadSpec("m", "m", "float16", weight_bytes=200)).weight_bytes == 400


def test_progress_and_the_budget(pair: tuple[LoadSpec, LoadSpec], tmp_path: Path) -> None:
    heard = Heard()
    loaded: list[str] = []
    rows = measure(*(pair[0], [pair[1]], PROSE, 700, tmp_path, heard), on_loaded=lambda facts: loaded.append(facts.id))
    assert [row["tokens"] for row in rows] == [700] * 3 and loaded == ["tiny", "tiny:other"]
    last = [item for item in heard.stages if item.stage == "comparing tiny:other (2 of 2)"][-1]
    assert (last.done, last.total, last.unit) == (700, 700, "tokens")
    assert heard.loads == [f"loading {name}: warming up" for name in ("tiny", NOISE_FLOOR, "tiny:other")]
    assert heard.notes == []
    assert measure(pair[0], [], PROSE, 10**9, tmp_path, heard)[0]["tokens"] < 10**9
    assert "were asked for" in heard.notes[0]


KILLED = """
import os, signal, sys
from pathlib import Path
from playground.core import LoadSpec
from playground.evaluate.divergence import DocumentFiles, measure
from tests.evaluate.test_divergence import PROSE, Heard

write, left = DocumentFiles.write, [9]

def counted(self, number, document):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)  # in the second side, with a document measured and not written
    left[0] -= 1
    write(self, number, document)

DocumentFiles.write = counted
one, two, folder = sys.argv[1:]
measure(LoadSpec("tiny", one), [LoadSpec("tiny:other", two)], PROSE, 0, Path(folder), Heard())
"""


def test_killed_in_the_middle_it_goes_on_to_the_same_numbers(pair: tuple[LoadSpec, LoadSpec], tmp_path: Path) -> None:
    reference, other = pair
    expected = measure(reference, [other], PROSE, 0, tmp_path / "whole", Heard())
    folder = tmp_path / "killed"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, reference.path, other.path, str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")}
    assert len(before) == 9
    heard = Heard()
    assert measure(reference, [other], PROSE, 0, folder, heard) == expected
    assert {path: path.stat().st_mtime_ns for path in before} == before, "nothing is measured twice"
    assert heard.loads == ["loading tiny: warming up", "loading tiny:other: warming up"], "the noise floor was done"
    heard = Heard()
    assert measure(reference, [other], PROSE, 0, folder, heard) == expected
    assert heard.loads == [], "and now all of it is"


def test_a_damaged_file_is_measured_again(pair: tuple[LoadSpec, LoadSpec], tmp_path: Path) -> None:
    expected = measure(pair[0], [pair[1]], PROSE, 300, tmp_path, Heard())
    first, second, *_ = sorted(tmp_path.rglob("*.npz"))
    first.write_bytes(first.read_bytes()[:100])
    second.write_bytes(b"")
    assert measure(pair[0], [pair[1]], PROSE, 300, tmp_path, Heard()) == expected


def test_another_question_does_not_get_the_same_answer(pair: tuple[LoadSpec, LoadSpec], tmp_path: Path) -> None:
    rows: dict[str, Rows] = {}
    rows["first"] = measure(pair[0], [pair[1]], PROSE, 300, tmp_path, Heard())
    rows["window"] = measure(pair[0], [pair[1]], PROSE, 300, tmp_path, Heard(), max_length=32)
    rows["tokens"] = measure(pair[0], [pair[1]], PROSE, 200, tmp_path, Heard())
    other = Text("prose", "1" * 64, PROSE.documents[1:])
    rows["text"] = measure(pair[0], [pair[1]], other, 300, tmp_path, Heard())
    rows["turned"] = measure(pair[1], [pair[0]], PROSE, 300, tmp_path, Heard())
    assert len({json.dumps([row["kld_mean"] for row in found]) for found in rows.values()}) == 5


@pytest.mark.filterwarnings("ignore")
def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    """Each window has 10 MB of logits, twice; the long text 40 of them, 800 MB in all."""
    folder = make_tiny(tmp_path / "wide")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    wide = LlamaForCausalLM(LlamaConfig(vocab_size=40_960, tie_word_embeddings=True, **sizes))
    wide.to(torch.bfloat16).save_pretrained(folder)
    spec = LoadSpec("wide", str(folder))
    memory = DeviceMemory(device_of_choice())
    peaks = []
    for windows in (4, 40):
        memory.release()
        memory.reset_peak()
        before = memory.used()
        text = Text("letters", str(windows), ["the river " * 64] * windows)
        (row, _) = measure(spec, [], text, 0, tmp_path / str(windows), Heard(), max_length=128)
        assert row["documents"] == windows
        peaks.append(memory.peak() - before)
    assert peaks[1] - peaks[0] < 40e6, peaks


@pytest.mark.filterwarnings("ignore")  # transformers' own, that FP8 is unpacked here
@pytest.mark.parametrize("hidden", [160, 320])  # two scales, which divide it into other blocks; three, which do not
def test_fp8_blocks_that_do_not_divide_a_size_are_those_of_the_configuration(hidden: int, tmp_path: Path) -> None:
    plain, packed = checkpoints.with_fp8_blocks(tmp_path, hidden)
    specs = LoadSpec("bf16", str(plain)), LoadSpec("fp8", str(packed))
    _, _, row = measure(specs[0], [specs[1]], PROSE, 100, tmp_path / "work", Heard())
    assert row["kld_max"] == 0, "both hold the same numbers"


def test_markup_in_the_text_is_text(pair: tuple[LoadSpec, LoadSpec], tmp_path: Path) -> None:
    (tmp_path / "evil.txt").write_text("<img src=x onerror=alert(1)> [bold] <|im_end|> and so on, for a while.")
    rows = measure(pair[0], [pair[1]], prose.text(str(tmp_path / "evil.txt")), 0, tmp_path / "work", Heard())
    assert rows[0]["documents"] == 1 and rows[0]["kld_stderr"] is None


@pytest.mark.parametrize(("document", "said"), [("", "has 0 tokens"), ("a", "has 1 token")])
def test_a_text_without_a_next_token(pair: tuple[LoadSpec, LoadSpec], tmp_path: Path, document: str, said: str) -> None:
    with pytest.raises(EvaluationError, match=said):
        measure(pair[0], [pair[1]], Text("short.txt", "0", [document]), 0, tmp_path, Heard())


def test_another_tokenizer_is_refused_before_anything_is_loaded(
    pair: tuple[LoadSpec, LoadSpec], tmp_path: Path
) -> None:
    folder = make_tiny(tmp_path / "foreign")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    first, second = sorted(vocabulary, key=vocabulary.__getitem__)[-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(content))
    heard = Heard()
    with pytest.raises(DifferentTokenizer, match="tiny:foreign and tiny have different tokenizers") as caught:
        measure(pair[0], [LoadSpec("tiny:foreign", str(folder))], PROSE, 0, tmp_path / "work", heard)
    assert caught.value.hint and heard.loads == []


def test_the_same_vocabulary_written_differently_is_one_tokenizer(
    pair: tuple[LoadSpec, LoadSpec], tmp_path: Path
) -> None:
    folder = make_tiny(tmp_path / "rewritten")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["pre_tokenizer"]["add_prefix_space"] = True
    path.write_text(json.dumps(content))
    rows = measure(pair[0], [LoadSpec("tiny:gguf", str(folder))], PROSE, 100, tmp_path / "work", Heard())
    assert rows[2]["tokens"] == 100


@pytest.mark.filterwarnings("ignore")
def test_another_number_of_words_is_refused(pair: tuple[LoadSpec, LoadSpec], tmp_path: Path) -> None:
    folder = checkpoints.with_padded_rows(make_tiny(tmp_path / "padded"), 384)
    with pytest.raises(DifferentTokenizer, match="tiny:padded among 384"):
        measure(pair[0], [LoadSpec("tiny:padded", str(folder))], PROSE, 100, tmp_path / "work", Heard())


def test_what_does_not_fit_is_refused(
    pair: tuple[LoadSpec, LoadSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = LoadSpec("tiny:huge", pair[1].path, weight_bytes=10**15)
    with pytest.raises(OutOfMemory, match="tiny:huge needs 1000000"):
        measure(pair[0], [huge], PROSE, 100, tmp_path, Heard())
    long = Text("long", "2", ["the river " * 2000])
    with pytest.raises(EvaluationError, match="512 tokens at once, less than a window of 600"):
        measure(pair[0], [pair[1]], long, 0, tmp_path, Heard(), max_length=600)


def test_tokens_without_an_embedding_are_refused_with_the_first(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "tiny")
    rows = checkpoints.with_more_tokens_than_rows(folder, "<|extra|>")
    text = Text("chat", "0" * 64, ["the river <|extra|> and the bridge"])
    with pytest.raises(InvalidRequest, match=rf"Token id {rows} .* {rows} embedding rows"):
        measure(LoadSpec("tiny", str(folder)), [LoadSpec("tiny:b", str(folder))], text, 0, tmp_path / "d", Heard())


def test_a_variant_that_computes_nothing_finite(pair: tuple[LoadSpec, LoadSpec], tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "broken")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    with torch.no_grad():
        model.lm_head.weight[5] = torch.nan
    model.save_pretrained(folder)
    with pytest.raises(EvaluationError, match="tiny:broken gives no finite divergence"):
        measure(pair[0], [LoadSpec("tiny:broken", str(folder))], PROSE, 100, tmp_path / "work", Heard())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_nf4_of_the_bundled_model_against_plain_transformers(tmp_path: Path) -> None:
    from transformers import BitsAndBytesConfig

    reference, other = catalog.resolve("smollm2"), catalog.resolve("smollm2:nf4")
    text = Text("prose", "3" * 64, PROSE.documents[:3])
    rows = measure(reference, [other], text, 0, tmp_path, Heard(), max_length=128)
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    models = [
        AutoModelForCausalLM.from_pretrained(reference.path, dtype=torch.bfloat16).eval(),
        AutoModelForCausalLM.from_pretrained(
            reference.path, dtype=torch.bfloat16, quantization_config=nf4, device_map={"": "cpu"}
        ).eval(),
    ]
    expected = independent(*models, AutoTokenizer.from_pretrained(reference.path), text.documents, 128)
    for name, value in expected.items():
        assert rows[2][name] == pytest.approx(value, rel=1e-4), name
    assert 0.02 < rows[2]["kld_mean"] < 1 and rows[1]["kld_mean"] < rows[2]["kld_mean"] / 20


def test_divergence_needs_no_torch_to_be_described() -> None:
    code = "import sys, playground.evaluate.divergence; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    assert divergence.TOKENS > 0
