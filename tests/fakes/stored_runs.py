"""Runs as the store keeps them, made of the same objects as real ones; every metric follows from their tokens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from math import log
from typing import Any

from playground.compare.answer import Answer, ForcedAnswer
from playground.compare.stored import Compared
from playground.core import Alternative, Finish, ForcedToken, Loaded, Prompt, Sampling, Token, Variant
from playground.speed.spec import BenchRow
from playground.store import runs
from playground.store.schema import Run

GRAVITY = (
    "Gravity is a fundamental force of nature that pulls masses together : the more mass , the stronger it pulls ."
)
TOWARD = "Gravity is a force that attracts objects with mass toward each other , and it keeps planets on their way ."
WORDS, OTHER = tuple(GRAVITY.split(" ")), tuple(TOWARD.split(" "))
DEVICE = {"device": "cpu", "name": "AMD EPYC", "cores": 2, "memory": 25 * 10**9, "bandwidth": 17.1e9}
VERSIONS = {"torch": "2.13.0", "transformers": "5.17.0"}


def variant(name: str = "", label: str = "BF16", size: int = 269_030_016, bits: float = 16.0) -> dict[str, Any]:
    scheme = name or "BF16"
    return {
        "id": f"smollm2:{name}".rstrip(":"), "label": label, "method": "bitsandbytes" if name else "cast",
        "scheme": scheme, "bytes": size, "bits_per_weight": bits, "content_hash": f"{scheme.lower()}0123456789abcdef",
        "engine": "transformers", "dtype": "bfloat16",
    }  # fmt: skip


REFERENCE, NF4 = variant(), variant("nf4", "nf4", 111_900_000, 6.66)


def answer(
    facts: dict[str, Any], words: Sequence[str], first_s: float, step_s: float, prompt: Prompt, memory: int, asked: str
) -> Answer:
    found = Answer(facts["id"], source=({"role": "user", "content": asked},))
    found.add(
        Variant(
            id=facts["id"],
            model="smollm2",
            name="reference",
            label=facts["label"],
            method=facts["method"],
            scheme=facts["scheme"],
            dtype="bfloat16",
            path="/models/smollm2",
            bytes=facts["bytes"],
        )
    )
    found.add(
        Loaded(facts["id"], "transformers", "cpu", "bfloat16", memory, memory, 1024, memory, 2048, "one", True, "torch")
    )
    found.add(prompt)
    at = 0.0
    for index, word in enumerate(words):
        piece = word if not index or word in ",.:" else f" {word}"
        step = first_s if not index else step_s * (1 + 0.25 * ((index * 7) % 5 - 2) / 2)
        at += step
        share = (0.92, 0.41, 0.77, 0.99, 0.18)[index % 5]
        id_ = sum(ord(letter) * 31**place for place, letter in enumerate(piece)) % 49_152
        top = (Alternative(id_, piece, log(share)), Alternative(7, " that", log(0.6 * (1 - share))))
        found.add(Token(id_, piece, piece, at, step, log(share), top))
    found.add(Finish("stop", len(prompt.ids), len(words), peak_memory_bytes=memory))
    return found


def forced(count: int) -> ForcedAnswer:
    klds = (0.01, 0.4, 0.02, 0.0, 1.2)
    theirs = (Alternative(1, " a", log(0.62)), Alternative(2, " the", log(0.2)))
    mine = (Alternative(2, " the", log(0.55)), Alternative(1, " a", log(0.4)))
    found = ForcedAnswer(count)
    for at in range(count):
        kld = klds[at % 5]
        found.tokens.append(ForcedToken(kld, kld < 0.3, log(0.62), log(0.4), theirs, mine if kld >= 0.3 else theirs))
    return found


def comparison(
    title: str = "What is gravity?",
    asked: str = "What is gravity?",
    words: Sequence[Sequence[str]] = (WORDS, OTHER),
    steps_s: Sequence[float] = (0.2, 0.35),
    **more: Any,
) -> Run:
    """Two answers that part at the fourth token; the slower one takes 0.5 s and then some 0.35 s a token."""
    prompt = Prompt((1, 2, 3, 4, 5), f"<user>{asked}", "chat", "one")
    facts = (REFERENCE, NF4)
    found = [
        answer(one, text, 0.5, step, prompt, memory, asked)
        for one, text, step, memory in zip(facts, words, steps_s, (300_000_000, 160_000_000), strict=True)
    ]
    found[1].forced = forced(len(words[0]))
    run = Compared(tuple(found), divergence=True).run()
    assert run is not None
    result = run.result
    settings = {"sampling": asdict(Sampling()), "at_once": False, "divergence": True}
    return stored("comparison", title, result, **({"settings": settings} | more))


def bench(title: str = "Speed of two variants", scale: float = 1.0, **more: Any) -> Run:
    rows = [
        BenchRow(
            one["id"], "transformers", test, scale * speed, 0.04 * speed, 3, mbu=0.4 if test.startswith("tg") else None,
            weight_bytes=one["bytes"], address=f"{one['id']}@transformers", clock="engine", device="cpu",
            bytes_per_token=one["bytes"] * 1.02, bandwidth=17.1e9,
        ).as_dict()
        for one, speeds in ((REFERENCE, (180.0, 24.1)), (NF4, (22.0, 3.1)))
        for test, speed in zip(("pp256", "tg64"), speeds, strict=True)
    ]  # fmt: skip
    settings = {"prompt_tokens": 256, "output_tokens": 64, "depths": [0], "runs": 3, "concurrency": []}
    return stored("bench", title, {"rows": rows}, settings=settings, **more)


def quantization(title: str = "AWQ W4A16_ASYM of smollm2", **more: Any) -> Run:
    kinds = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")
    layers = [
        {"name": f"model.layers.{at}.{kind}", "relative_error": 0.02 * number + 0.001 * at, "snr_db": 30.0}
        for at in range(6)
        for number, kind in enumerate(kinds, 1)
    ]
    made = {
        "variant": "smollm2:awq-w4a16_asym-g64", "path": "/home/someone/variants/awq", "method": "awq",
        "scheme": "W4A16_ASYM", "group_size": 64, "bytes_before": 269_030_016, "bytes_after": 113_928_096,
        "bits_per_weight": 6.7756, "seconds": 178.6, "peak_memory_bytes": 1_130_000_000, "recipe_path": None,
        "content_hash": "ab" * 32, "layers": layers, "stages": {"quantize": 150.0, "reload": 20.0},
        "reload": {"max_abs_logit_difference": 0.0, "kld_mean": 0.0, "top1_agreement": 1.0},
        "reasons": ["Group size 64: 128 does not divide 576."],
    }  # fmt: skip
    awq = variant("awq-w4a16_asym-g64", "AWQ W4A16_ASYM", 113_928_096, 6.7756)
    settings = {"recipe": {"method": "awq", "scheme": "W4A16_ASYM", "group_size": 64, "ignore": ["lm_head"]}}
    result = {"row": made, "card": made, "layers": layers}
    return stored("quantization", title, result, settings=settings, **({"variants": [REFERENCE, awq]} | more))


def stored(kind: str, title: str, result: dict[str, Any], **more: Any) -> Run:
    values: dict[str, Any] = {
        "id": runs.new_id(), "kind": kind, "title": title, "model": "smollm2", "created_at": time.time(),
        "settings": {}, "versions": VERSIONS, "device": DEVICE, "variants": [REFERENCE, NF4], "result": result,
    }  # fmt: skip
    run = Run(**(values | more))
    runs.add(run)
    return run
