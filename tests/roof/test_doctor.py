"""Doctor: what runs here, and for the rest a reason and a remedy that hold."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from playground import doctor, machine
from playground.engines import base
from playground.engines.base import missing_vllm
from playground.errors import EngineUnavailable
from playground.machine import Probe
from playground.methods import TABLE as METHODS
from playground.models import bundled, checkpoint

PROBE = Probe("cpu", "a CPU", 16 * 2**30, 8 * 2**30, "2.13.0", 4, 25e9)


def fake_probe(monkeypatch: pytest.MonkeyPatch, found: Probe | EngineUnavailable) -> None:
    def probe(*, again: bool = False) -> Probe:
        if isinstance(found, EngineUnavailable):
            raise found
        return found

    monkeypatch.setattr(machine, "probe", probe)


def shown(report: dict[str, Any]) -> str:
    out = io.StringIO()
    doctor.render(report, Console(file=out, width=200, color_system=None))
    return out.getvalue()


def by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows}


@pytest.mark.parametrize(
    ("version", "bad"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 9), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_wal_reset_bug(version: tuple[int, int, int], bad: bool) -> None:
    assert doctor.has_wal_reset_bug(version) is bad


def test_the_report_is_json_and_lists_every_row(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_probe(monkeypatch, PROBE)
    report = json.loads(json.dumps(doctor.report()))
    assert [row["name"] for row in report["engines"]] == [row.name for row in base.TABLE]
    assert [row["name"] for row in report["methods"]] == [row.name for row in METHODS]
    assert [row["name"] for row in report["formats"]] == [row.name for row in checkpoint.FORMATS]
    assert report["device"]["bandwidth"] == 25e9
    assert all(row["runs"] for row in report["engines"] if row["name"] != "vllm" or not missing_vllm())
    text = shown(report)
    assert "25.0 GB/s, measured" in text
    for row in (*METHODS, *checkpoint.FORMATS):
        assert row.title in text


def test_an_engine_without_its_environment_says_how_to_get_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_probe(monkeypatch, PROBE)
    monkeypatch.setenv("PLAYGROUND_VLLM_PYTHON", str(tmp_path / "bin/python"))
    row = by_name(doctor.report()["engines"])["vllm"]
    assert (row["runs"], row["do"]) == (False, "make vllm")
    assert "Run `make vllm`" in shown(doctor.report())


def test_whatever_cannot_run_says_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_probe(monkeypatch, replace(PROBE, device="mps"))
    report = doctor.report()
    row = by_name(report["methods"])["bitsandbytes"]
    assert not row["runs"]
    assert "mps" in row["why"]
    assert row["why"] in shown(report)


def test_a_missing_package_says_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_probe(monkeypatch, PROBE)
    monkeypatch.setattr(doctor, "METHODS", (replace(METHODS[-1], requires=("no_such_package",)),))
    monkeypatch.setattr(base, "TABLE", (replace(base.TABLE[0], requires=("no-such-package",)),))
    report = doctor.report()
    for row in (*report["methods"], *report["engines"]):
        assert not row["runs"]
        assert row["why"].endswith("not installed")
        assert row["do"] == "make setup"
    assert not report["ok"]
    assert shown(report).count("Run `make setup`.") == 2


def test_a_broken_torch_does_not_break_doctor(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_probe(monkeypatch, EngineUnavailable("torch cannot be used here: no libstdc++.", hint="Run `make setup`."))
    report = doctor.report()
    assert not report["ok"]
    assert report["device"] is None
    assert not any(row["runs"] for row in (*report["engines"], *report["methods"]))
    assert "no libstdc++" in shown(report)


def test_the_bundled_model_has_three_states(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_probe(monkeypatch, PROBE)
    report = doctor.report()
    assert report["bundled_model"]["installed"]
    assert not report["bundled_model"]["restored"]
    assert "not restored yet: run `make setup`" in shown(report)
    bundled.restore()
    assert doctor.report()["bundled_model"]["restored"]
    monkeypatch.setattr(bundled, "gguf", lambda: None)
    report = doctor.report()
    assert report["bundled_model"] == {"installed": False, "restored": False, "path": None, "do": bundled.INSTALL}
    assert bundled.INSTALL in shown(report)


GPU = {"triton": "3.7.1", "kernels": "0.16.2", **{name: "99" for row in checkpoint.FORMATS for name in row.needs}}


@pytest.mark.parametrize(
    ("name", "device", "capability", "versions", "state"),
    [
        ("fp8", "cuda", (9, 0), GPU, "runs"),
        ("fp8", "cuda", (8, 6), GPU, "unpacks"),
        ("mxfp4", "cuda", (9, 0), GPU, "runs"),
        ("mxfp4", "cuda", (7, 0), GPU, "unpacks"),
        ("mxfp4", "cuda", (9, 0), {**GPU, "kernels": "0.17.0"}, "unpacks"),
        ("mxfp4", "mps", None, GPU, "unpacks"),
        ("gptq", "cuda", (9, 0), GPU, "runs"),
        ("gptq", "cuda", (9, 0), {**GPU, "optimum": None}, "missing"),
        ("awq", "cuda", (9, 0), {**GPU, "gptqmodel": None}, "missing"),
        ("bitsandbytes", "cuda", (9, 0), {**GPU, "bitsandbytes": "0.45.0"}, "missing"),
    ],
)
def test_formats_elsewhere(
    name: str, device: str, capability: checkpoint.Capability, versions: checkpoint.Versions, state: str
) -> None:
    row = next(row for row in checkpoint.FORMATS if row.name == name)
    found = checkpoint.support(row, device, capability, versions)
    assert found.state == state
    assert bool(found.why) == (state != "runs")
    assert found.do or state != "missing"


ASK_THE_QUANTIZERS = """
import json
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.quantizers.auto import AutoHfQuantizer

WEIGHTS = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32}
CONFIGS = {
    "compressed-tensors": {
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": WEIGHTS, "format": "pack-quantized"}},
        "format": "pack-quantized", "quantization_status": "compressed", "ignore": ["lm_head"],
    },
    "gptq": {"bits": 4, "group_size": 64},
    "awq": {"bits": 4, "group_size": 64},
    "auto-round": {"bits": 4, "group_size": 64},
    "fp8": {"weight_block_size": [128, 128]},
    "mxfp4": {},
    "bitsandbytes": {"load_in_4bit": True},
}


def packed_after_a_forward(quantizer):
    sizes = {"hidden_size": 64, "intermediate_size": 64, "vocab_size": 64}
    model = LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=1, num_attention_heads=2))
    quantizer._process_model_before_weight_loading(model)
    assert hasattr(model.model.layers[0].mlp.up_proj, "weight_packed")
    quantizer._process_model_after_weight_loading(model)
    model(torch.tensor([[1, 2]]))
    return hasattr(model.model.layers[0].mlp.up_proj, "weight_packed")


states = {}
for method, fields in CONFIGS.items():
    try:
        quantizer = AutoHfQuantizer.from_config({"quant_method": method, **fields}, pre_quantized=True)
        quantizer.validate_environment(device_map={"": "cpu"})
    except (ImportError, RuntimeError):
        states[method] = "missing"
        continue
    unpacked = getattr(quantizer.quantization_config, "dequantize", False)
    if method == "compressed-tensors":
        unpacked = not packed_after_a_forward(quantizer)
    states[method] = "unpacks" if unpacked else "runs"
print(json.dumps(states))
"""


def test_formats_here_are_what_the_quantizers_of_transformers_say() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "", "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1"}
    child = subprocess.run(
        [sys.executable, "-c", ASK_THE_QUANTIZERS], capture_output=True, text=True, timeout=240, env=environment
    )
    assert child.returncode == 0, child.stderr[-2000:]
    asked = json.loads(child.stdout.splitlines()[-1])
    versions = machine.versions(checkpoint.PACKAGES)
    table_says = {row.name: checkpoint.support(row, "cpu", None, versions).state for row in checkpoint.FORMATS}
    assert asked == {name: state for name, state in table_says.items() if name in asked}
    assert set(table_says) - set(asked) == {"gguf"}  # has no quantization_config to ask; the tests of models load one
