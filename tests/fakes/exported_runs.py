"""Runs of every kind as they are stored: comparison, bench and quantization; evaluations are in `evaluation_run`.

What the program computes is computed by it here too: panes from their items, the rows of a bench, the noise of a seed.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from playground.compare.answer import Answer, ForcedAnswer
from playground.core import Alternative, Finish, ForcedToken, Loaded, Prompt, Sampling, Token
from playground.speed.spec import BenchRow
from playground.store import runs
from playground.store.schema import Run
from tests.fakes.evaluation_run import VARIANTS, FakeVariant, evaluation
from tests.fakes.variants import layers

ANSWER = (
    "Gravity is a fundamental force of nature that pulls masses together . It keeps planets in their orbits around the "
    "sun , makes objects fall to the ground when they are dropped , and holds the air of our atmosphere close to the "
    "Earth . The strength of the pull depends on how much mass there is and on how far apart the bodies are : twice "
    "the distance means a quarter of the force ."
)
OTHER = "describes how mass and energy bend the geometry of space and time around them , so that light too is bent ."
PART = 7  # token at which the second answer goes its own way
PROMPT = "What is gravity? Explain it to a ten-year-old."
HASH = "5f1c" * 16


def comparison(
    variants: Sequence[FakeVariant] = VARIANTS[:2],
    *,
    prompt: str = PROMPT,
    seed: int = 0,
    forced: bool = True,
    error: dict[str, str] | None = None,
    **more: Any,
) -> Run:
    """Panes of one prompt; all but the reference leave its text at token `PART`. `error`: how the last one failed."""
    rng = np.random.default_rng(seed)
    pieces = [_words(ANSWER)] + [_words(ANSWER)[:PART] + _words(OTHER) for _ in variants[1:]]
    panes = [_pane(rng, variant, own, prompt) for variant, own in zip(variants, pieces, strict=True)]
    stored = [pane.as_row() for pane in panes]
    if error:
        stored[-1] |= {"finish_reason": "error", "error": error}
    values: dict[str, Any] = {
        "id": runs.new_id(),
        "kind": "comparison",
        "title": prompt,
        "model": "smollm2",
        "created_at": time.time(),
        "settings": {"sampling": _sampling(), "at_once": False, "divergence": forced},
        "versions": {"torch": "2.13.0", "transformers": "5.17.0"},
        "device": {"name": "AMD EPYC", "cores": 2, "memory": 25 * 10**9, "bandwidth": 17.1e9},
        "variants": [facts(variant) for variant in variants],
        "result": {
            "prompt": {
                "messages": [{"role": "user", "content": prompt}],
                "text": f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n",
                "ids": list(range(31)),
                "template": "chat",
            },
            "panes": stored,
            "verdict": [],
            "forced": [None, *(_forced(rng, panes[0], variant) for variant in variants[1:])] if forced else None,
        },
        "job_id": None,
    }
    return Run(**(values | more))


def bench(variants: Sequence[FakeVariant] = VARIANTS[:3], *, failed: bool = False, **more: Any) -> Run:
    """Prefill, decode and a sweep of each variant; `failed`: a variant more that could not be loaded."""
    rows = [row for variant in variants for row in _bench_rows(variant)]
    if failed:
        rows.append(BenchRow("smollm2:int8", "transformers", "load", address="smollm2:int8", error="Out of memory."))
    values: dict[str, Any] = {
        "id": runs.new_id(),
        "kind": "bench",
        "title": f"smollm2: speed of {len(variants)} variants",
        "model": "smollm2",
        "created_at": time.time(),
        "settings": {
            "prompt_tokens": 512,
            "output_tokens": 128,
            "depths": [0, 512],
            "runs": 5,
            "concurrency": [1, 2, 4],
        },
        "versions": {"torch": "2.13.0", "transformers": "5.17.0"},
        "device": {"name": "AMD EPYC", "cores": 2, "memory": 25 * 10**9, "bandwidth": 17.1e9},
        "variants": [facts(variant) for variant in variants],
        "result": {"rows": [row.as_dict() for row in rows]},
        "job_id": None,
    }
    return Run(**(values | more))


def quantization(*, layer_count: int = 30, **more: Any) -> Run:
    """AWQ, with the error of each layer."""
    row = {
        "variant": "smollm2:awq-w4a16_asym-g64", "path": "", "method": "awq", "scheme": "W4A16_ASYM", "group_size": 64,
        "bytes_before": 269_030_016, "bytes_after": 113_928_096, "bits_per_weight": 6.7756, "seconds": 178.6,
        "peak_memory_bytes": 1_130_000_000, "recipe_path": None, "content_hash": "ab" * 32,
        "layers": layers(layer_count), "reload": {"kld_mean": 0.0, "top1_agreement": 1.0},
        "stages": {"quantize": 150.0, "reload": 20.0}, "reasons": ["Group size 64: 128 does not divide 576."],
    }  # fmt: skip
    values: dict[str, Any] = {
        "id": runs.new_id(),
        "kind": "quantization",
        "title": "smollm2 with AWQ W4A16_ASYM",
        "model": "smollm2",
        "created_at": time.time(),
        "settings": {"recipe": {"method": "awq", "calibration": {"source": "bundled", "samples": 32}}},
        "versions": {"llmcompressor": "0.14.0.1", "torch": "2.13.0"},
        "device": {"name": "AMD EPYC", "cores": 2},
        "variants": [
            facts(VARIANTS[0]),
            facts(FakeVariant(row["variant"], "AWQ W4A16_ASYM", "awq", "W4A16_ASYM", 113_928_096, 6.78, 0, 0)),
        ],
        "result": {"row": row, "card": {"bytes_before": row["bytes_before"]}, "layers": row["layers"]},
        "job_id": "job0",
    }
    return Run(**(values | more))


def divergence(**more: Any) -> Run:
    """The divergence of an evaluation as a run of its own."""
    of = evaluation(tasks=(), files=False)
    rows = of.result["divergence"]
    result = {
        "rows": rows,
        "text": {"name": "bundled", "hash": HASH, "documents": rows[0]["documents"], "tokens": rows[0]["tokens"]},
        "warnings": [],
        "seconds": {"divergence": 190.0, "total": 201.0},
    }
    values = of.as_row() | {
        "id": runs.new_id(),
        "kind": "divergence",
        "title": "smollm2: divergence of 4 variants",
        "settings": {"text": "bundled", "tokens": 8192, "max_length": 512},
        "result": result,
    }
    return Run(**(values | more))


def facts(variant: FakeVariant) -> dict[str, Any]:
    digest = hashlib.sha256(variant.id.encode()).hexdigest()
    return {
        "id": variant.id, "label": variant.label, "method": variant.method, "scheme": variant.scheme,
        "bytes": variant.bytes, "bits_per_weight": variant.bits, "content_hash": digest,
        "engine": "transformers", "dtype": "bfloat16",
    }  # fmt: skip


def _words(text: str) -> list[str]:
    found = text.split(" ")
    return [word if number == 0 or word in ".,:" else f" {word}" for number, word in enumerate(found)]


def _pane(rng: np.random.Generator, variant: FakeVariant, pieces: Sequence[str], prompt: str) -> Answer:
    """What an engine would have sent, item by item."""
    found = Answer(variant.id, label=variant.label)
    found.add(_loaded(variant))
    found.add(Prompt(tuple(range(31)), prompt, "chat", "tokenizer"))
    at = 0.21 * (1.6 if variant.tok_s < 10 else 1.0)
    for number, piece in enumerate(pieces):
        step = at if number == 0 else float(rng.lognormal(math.log(1 / variant.tok_s), 0.12))
        at = step if number == 0 else at + step
        share = float(rng.beta(4, 1.6))
        others = [
            Alternative(1000 + n, word, math.log((1 - share) / 2 ** (n + 1)))
            for n, word in enumerate((" the", " that"))
        ]
        top = (Alternative(_id(piece), piece, math.log(share)), *others)
        found.add(Token(_id(piece), piece, piece, at, step, math.log(share), top))
    found.add(Finish("stop", 31, len(pieces), peak_memory_bytes=int(1.05 * variant.bytes)))
    return found


def _id(piece: str) -> int:
    return sum(ord(char) * 31**n for n, char in enumerate(piece)) % 49_152


def _loaded(variant: FakeVariant) -> Loaded:
    kernel = "bitsandbytes: weights are unpacked for every token" if variant.label == "nf4" else "torch"
    return Loaded(
        variant.id, "transformers", "cpu", "bfloat16", variant.bytes, variant.bytes, 23_040, variant.bytes, 8192,
        "tokenizer", True, kernel=kernel,
    )  # fmt: skip


def _forced(rng: np.random.Generator, reference: Answer, variant: FakeVariant) -> dict[str, Any]:
    """The reference's answer, as the variant saw it."""
    found = ForcedAnswer(len(reference.tokens))
    for token in reference.tokens:
        kld, share = float(variant.kld * rng.lognormal(-0.5, 1.2)), token.logprob or 0.0
        agrees = bool(rng.random() > variant.kld)
        found.tokens.append(ForcedToken(kld, agrees, share, share - kld, token.top, token.top[:1]))
    return found.as_row()


def _sampling() -> dict[str, Any]:
    found = Sampling()
    return {name: getattr(found, name) for name in Sampling.__dataclass_fields__} | {"stop": []}


def _bench_rows(variant: FakeVariant) -> list[BenchRow]:
    common: dict[str, Any] = {
        "address": variant.id, "clock": "engine", "device": "cpu", "kernel": "torch", "bandwidth": 17.1e9,
        "weight_bytes": variant.bytes, "runs": 5,
    }  # fmt: skip
    rows = [BenchRow(variant.id, "transformers", "pp512", 8 * variant.tok_s, 0.3 * variant.tok_s, **common)]
    for depth in (0, 512):
        read = variant.bytes + depth * 23_040
        speed = variant.tok_s * variant.bytes / read
        name = f"tg128 @ d{depth}" if depth else "tg128"
        rows.append(
            BenchRow(
                variant.id, "transformers", name, speed, 0.02 * speed, depth=depth, bytes_per_token=read,
                mbu=read * speed / 17.1e9, **common,
            )
        )  # fmt: skip
    for level in (1, 2, 4):
        speed = variant.tok_s * level**0.6
        rows.append(
            BenchRow(
                variant.id, "transformers", f"pp512+tg128 @ c{level}", speed, concurrency=level,
                total_tok_s=5 * speed, ttft_p50_s=0.2 * level, ttft_p99_s=0.3 * level,
                tpot_p50_s=level / speed, tpot_p99_s=1.2 * level / speed,
                **(common | {"clock": "client", "runs": 2 * level, "weight_bytes": None}),
            )
        )  # fmt: skip
    return rows
