"""How far a variant's distribution of the next token lies from the reference's, summed up over a text.

Per token as in `metrics.token_divergence`; here are the mean, the tail and the uncertainty of it.
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

CONFIDENCE = (0.0, 0.3, 0.6, 0.9, 0.99, 1.0)  # bucket edges: how sure the reference was
LOWEST, HIGHEST, STEP = -8.0, 2.0, 0.25  # log10 nats; FP32 rounds at about 1e-7
PERCENTILES = {"kld_median": 50, "kld_p90": 90, "kld_p99": 99, "kld_p999": 99.9}


@dataclass(frozen=True, slots=True)
class DocumentDivergence:
    """One value a token of one document; p is the reference, q the variant, x the token that came.

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
    """The documented row of `playground kld`. Every token counts the same, however long its document.

    kld_*           nats; kld_stderr of the mean, clustered by document, None of a single document
    ppl             exp(mean nll); ppl_ratio over the reference's
    top1_agreement  share of the tokens, 0 to 1
    dp_mean, dp_rms change of the probability of the token that came, 0 to 1
    buckets         tokens by the confidence of the reference, each from its lower edge to below its upper one; kld_mean
                    and top1_agreement of an empty one are None
    histogram       tokens by log10 of their KLD; the first bin holds all below its upper edge, those of 0 too, and the
                    last one all above its lower edge

    Raises EvaluationError without any token, and where a distribution is not one (a variant that computes NaN).
    """
    tokens = [len(document.kld) for document in documents]
    if not sum(tokens):
        raise EvaluationError(f"No token of the text was compared for {variant}.", hint="Use a longer text.")
    of = {
        field.name: np.concatenate([np.asarray(getattr(document, field.name), dtype=float) for document in documents])
        for field in fields(DocumentDivergence)
    }
    _check(variant, of)
    kld, nll = of["kld"], float(of["nll"].mean())
    mean, stderr = mean_stderr(kld, np.repeat(np.arange(len(documents)), tokens))
    tail = np.percentile(kld, list(PERCENTILES.values()))
    return {
        "variant": variant,
        "tokens": sum(tokens),
        "documents": int(np.count_nonzero(tokens)),
        "ppl": math.exp(nll),
        "ppl_ratio": math.exp(nll - float(of["nll_reference"].mean())),
        "kld_mean": mean,
        **{name: float(value) for name, value in zip(PERCENTILES, tail, strict=True)},
        "kld_max": float(kld.max()),
        "kld_stderr": stderr,
        "top1_agreement": float(of["agrees"].mean()),
        "dp_mean": float(of["dp"].mean()),
        "dp_rms": math.sqrt(float(np.mean(of["dp"] ** 2))),
        "buckets": _buckets(of["confidence"], kld, of["agrees"]),
        "histogram": _histogram(kld),
    }


def _check(variant: str, of: dict[str, npt.NDArray[np.float64]]) -> None:
    broken = np.zeros(len(of["kld"]), dtype=bool)
    for values in of.values():
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
    which = np.digitize(confidence, CONFIDENCE[1:-1])
    found = []
    for number, edges in enumerate(pairwise(CONFIDENCE)):
        inside = which == number
        tokens = int(np.count_nonzero(inside))
        found.append(
            {
                "confidence": list(edges),
                "tokens": tokens,
                "kld_mean": float(kld[inside].mean()) if tokens else None,
                "top1_agreement": float(agrees[inside].mean()) if tokens else None,
            }
        )
    return found


def _histogram(kld: npt.NDArray[np.float64]) -> dict[str, Any]:
    edges = np.arange(LOWEST - STEP, HIGHEST + STEP / 2, STEP)
    inner = 10 ** edges[1:-1]
    counts = np.bincount(np.digitize(kld, inner), minlength=len(edges) - 1)
    return {"edges": edges.tolist(), "counts": counts.tolist()}
