"""The device line says what is known and nothing else."""

from __future__ import annotations

from playground.app import device_words
from playground.machine import Memory, Probe

RAM = Memory(total=23_400_000_000, available=20_300_000_000)


def probe(device: str = "cpu", name: str = "Xeon", bandwidth: float | None = 29.2e9) -> Probe:
    return Probe(device, name, 0, 0, "2.10", 2, bandwidth)  # type: ignore[arg-type]


def test_a_cpu() -> None:
    assert device_words(probe(), RAM, 2) == "CPU · 2 cores · 29 GB/s · 3.1 of 23 GB used"


def test_what_is_unknown_is_left_out() -> None:
    assert device_words(None, RAM, 2) == "3.1 of 23 GB used"
    assert device_words(probe(bandwidth=None), RAM, 1) == "CPU · 1 core · 3.1 of 23 GB used"
    assert device_words(None, RAM, 2, {"device": "cpu"}) == "CPU · 2 cores · 3.1 of 23 GB used"


def test_a_gpu_shows_its_own_memory_once_its_engine_runs() -> None:
    gpu = probe("cuda", "NVIDIA H100", 3.0e12)
    assert device_words(gpu, RAM, 16) == "NVIDIA H100 · 3000 GB/s"
    health = {"device": "cuda", "memory_used_bytes": 2e9, "memory_total_bytes": 80e9}
    assert device_words(gpu, RAM, 16, health) == "NVIDIA H100 · 3000 GB/s · 2.0 of 80 GB used"
