"""Divergence of a variant from its reference over a text: mean, tail and uncertainty of the values of each token.

The values of a token: `metrics.token_divergence`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from playground.errors import EvaluationError
from playground.metrics.stats import mean_stderr

CONFIDENCE = (0.0, 0.3, 0.6, 0.9, 0.99, 1.0)  # bucket edges: the reference's largest probability
LOWEST, HIGHEST, STEP = -8.0, 2.0, 0.25  # log10 nats; FP32 rounds at about 1e-7
PERCENTILES = {"kld_median": 50, "kld_p90": 90, "kld_p99": 99, "kld_p999": 99.9}


@dataclass(frozen=True, slots=True)
class DocumentDivergence:
    """Arrays with one value for each token of a document; p is the reference, q the variant, x the actual next token.

    kld            Σ p (ln p - ln q), nats
    nll_reference  -ln p(x), nats
    nll            -ln q(x), nats
    agrees         whether both have the same most probable token
    dp             q(x) - p(x)
    confidence     the largest p
    """

    kld: npt.NDArray[np.floating[Any]]
    nll_reference: npt.NDArray[np.floating[Any]]
    nll: npt.NDArray[np.floating[Any]]
    agrees: npt.NDArray[np.bool_]
    dp: npt.NDArray[np.floating[Any]]
    confidence: npt.NDArray[np.floating[Any]]


def summarize(variant: str, documents: Sequence[DocumentDivergence]) -> dict[str, Any]:
    """Return the documented row of `playground kld`. Every token has the same weight.

    kld_*           nats; kld_stderr of the mean, clustered by document, None for a single document
    ppl             exp(mean nll); ppl_ratio: ppl / the reference's
    top1_agreement  share of the tokens, 0 to 1
    dp_mean, dp_rms change of the probability of the actual token: mean (-1 to 1) and RMS (0 to 1)
    buckets         tokens by the confidence of the reference, lower edge included, upper excluded; kld_mean and
                    top1_agreement of an empty bucket are None
    histogram       tokens by log10 of their KLD; the first bin holds everything below its upper edge, 0 included, the
                    last everything above its lower edge

    Raises EvaluationError without tokens, and for values that are not finite.
    """
    tokens = [len(document.kld) for document in documents]
    if not sum(tokens):
        raise EvaluationError(f"No token of the text was compared for {variant}.", hint="Use a longer text.")
    values = {
        field.name: np.concatenate([np.asarray(getattr(document, field.name), dtype=float) for document in documents])
        for field in fields(DocumentDivergence)
    }
    _check(variant, values)
    kld, nll = values["kld"], float(values["nll"].mean())
    mean, stderr = mean_stderr(kld, np.repeat(np.arange(len(documents)), tokens))
    tail = np.percentile(kld, list(PERCENTILES.values()))
    return {
        "variant": variant,
        "tokens": sum(tokens),
        "documents": int(np.count_nonzero(tokens)),
        "ppl": math.exp(nll),
        "ppl_ratio": math.exp(nll - float(values["nll_reference"].mean())),
        "kld_mean": mean,
        **{name: float(value) for name, value in zip(PERCENTILES, tail, strict=True)},
        "kld_max": float(kld.max()),
        "kld_stderr": stderr,
        "top1_agreement": float(values["agrees"].mean()),
        "dp_mean": float(values["dp"].mean()),
        "dp_rms": math.sqrt(float(np.mean(values["dp"] ** 2))),
        "buckets": _buckets(values["confidence"], kld, values["agrees"]),
        "histogram": _histogram(kld),
    }


def _check(variant: str, values_by_field: dict[str, npt.NDArray[np.float64]]) -> None:
    broken = np.zeros(len(values_by_field["kld"]), dtype=bool)
    for values in values_by_field.values():
        broken |= ~np.isfinite(values)
    if broken.any():
        raise EvaluationError(
            f"{variant} gives no finite divergence at {np.count_nonzero(broken):,} of {len(broken):,} tokens.",
            hint="A side computes NaN or rules out a word that the other one allows: the checkpoint is broken, or its "
            "type overflows; try bfloat16 or float32.",
        )


def _buckets(
    confidence: npt.NDArray[np.float64], kld: npt.NDArray[np.float64], agrees: npt.NDArray[np.float64]
) -> list[dict[str, Any]]:
    bucket_numbers = np.digitize(confidence, CONFIDENCE[1:-1])
    buckets = []
    for number, edges in enumerate(pairwise(CONFIDENCE)):
        in_bucket = bucket_numbers == number
        tokens = int(np.count_nonzero(in_bucket))
        buckets.append(
            {
                "confidence": list(edges),
                "tokens": tokens,
                "kld_mean": float(kld[in_bucket].mean()) if tokens else None,
                "top1_agreement": float(agrees[in_bucket].mean()) if tokens else None,
            }
        )
    return buckets


def _histogram(kld: npt.NDArray[np.float64]) -> dict[str, Any]:
    edges = np.arange(LOWEST - STEP, HIGHEST + STEP / 2, STEP)
    inner = 10 ** edges[1:-1]
    counts = np.bincount(np.digitize(kld, inner), minlength=len(edges) - 1)
    return {"edges": edges.tolist(), "counts": counts.tolist()}
