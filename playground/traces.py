"""The panes of a comparison as JSON: everything that is needed to show them again, token by token, with no engine.

Nothing is rounded and nothing is summed up: every metric can be computed again from what is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from playground.compare import PaneResult
from playground.core import Alternative, Token
from playground.forced import ForcedResult


def pane(result: PaneResult, label: str) -> dict[str, Any]:
    """An entry of `panes`: that of `generate --json`, with every token and what the engine loaded."""
    loaded = result.loaded
    return result.as_json() | {
        "label": label,
        "loaded": loaded.as_dict() if loaded else None,
        "tokens": [_token(token) for token in result.tokens],
    }


def forced(result: ForcedResult) -> dict[str, Any]:
    """An entry of `forced`: the `divergence` of `generate --json`, and every position it was measured at."""
    return result.as_json() | {
        "total": result.total,
        "positions": [
            {
                "kld": one.kld,
                "agrees": one.agrees,
                "logprob_reference": one.logprob_reference,
                "logprob": one.logprob,
                "top_reference": _alternatives(one.top_reference),
                "top": _alternatives(one.top),
            }
            for one in result.tokens
        ],
    }


def _token(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "text": token.text,
        "piece": token.piece,
        "time_s": token.time_s,
        "step_s": token.step_s,
        "logprob": token.logprob,
        "top": _alternatives(token.top),
    }


def _alternatives(top: Sequence[Alternative]) -> list[list[Any]]:
    return [[one.id, one.text, one.logprob] for one in top]
