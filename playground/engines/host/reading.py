"""Forward passes over a text with the inputs and the state that the model's architecture needs.

As in transformers' `generate`, each architecture defines the inputs of a pass in `prepare_inputs_for_generation`, and
the state for the next pass in `_update_model_kwargs_for_generation`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from statistics import mean
from typing import Any

import torch
from transformers import Cache

from playground.engines.host.cache import cached_bytes, new_cache

# A pass of several tokens resets the state of these: the prompt must be one pass.
_ONE_PASS = frozenset({"falcon_mamba", "jamba", "mamba", "minimax", "zamba"})
# The modules of these hold the state, so that two generations would share it.
_STATE_IN_MODULES = frozenset({"recurrent_gemma"})
_STATES = frozenset({"past_key_values", "cache_params", "state"})  # parameters of `forward` that carry a state

TRIAL = 16  # tokens
TRIAL_ENDS = (8, 15, 16)  # of its passes
# Measured by scripts/prove/load_check.py on 13 forms of the bundled model: lost positions deviate by 1.3 to 1.5; sound
# ones by 0.1 at most, by 0.3 with activations of 8 bits and by 1.0 with 4, where passes without a state do the same.
MAX_DEVIATION = 0.2
MAX_NOISE = 3.0  # times the deviation of passes without a state


class Reading:
    """The state (KV cache) of a text; batch 1. The model is an argument of each pass and not referenced here.

    cached  False: no state is kept, and every pass recomputes the whole text
    """

    def __init__(self, model: Any, cached: bool = True) -> None:
        config = model.config.get_text_config(decoder=True)
        takes = inspect.signature(model.forward).parameters
        self.cached = cached and bool(_STATES & set(takes)) and config.model_type not in _STATE_IN_MODULES
        self.one_pass = not self.cached or config.model_type in _ONE_PASS  # of a prompt
        self._rope_limit = _rope_limit(config)
        self._cache_name = "cache_params" if "cache_params" in takes else "past_key_values"
        self._takes_positions = "position_ids" in takes
        self._takes_keep = "logits_to_keep" in takes
        self._read = 0  # tokens
        self._state: dict[str, Any] = {}

    def ends(self, total: int, chunk: int) -> list[int]:
        """Return the end positions of the passes over `total` tokens, `chunk` tokens each if the model allows it."""
        if self.one_pass:
            return [total]
        first = min(chunk, total)
        if self._rope_limit is not None and total > self._rope_limit:
            first = max(first, self._rope_limit + 1)  # a shorter pass would use the rotary factors of short texts
        return [*range(first, total, chunk), total]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def read(self, model: Any, ids: torch.Tensor, keep: int = 1) -> torch.Tensor:
        """Process the new tokens of `ids` [1, n], the whole text so far. Return the logits of the last `keep` positions
        [keep, vocabulary]; `keep` is at most the number of new tokens.
        """
        end = ids.shape[1]
        start = self._read if self.cached else 0
        if self._rope_limit is not None and start <= self._rope_limit < end:
            start = 0  # the cached keys were rotated by the factors of short texts
        if start == 0:
            self._state = self._empty(model)
        state = dict(self._state)
        if self._takes_positions:
            state["position_ids"] = torch.arange(start, end, device=ids.device)[None]
        inputs = model.prepare_inputs_for_generation(
            ids, next_sequence_length=end - start, is_first_iteration=start == 0, **state
        )
        inputs |= self._state  # Phi-3 drops a cache at its rope limit, also an empty one
        if self._takes_keep:
            inputs["logits_to_keep"] = keep  # some models override it with the value of their config
        output = model(**inputs, return_dict=True)
        self._state = model._update_model_kwargs_for_generation(output, self._state)
        self._read = end
        return output.logits[0, -keep:]

    def _empty(self, model: Any) -> dict[str, Any]:
        if self.cached and model._supports_default_dynamic_cache():
            return {"use_cache": True, self._cache_name: new_cache(model.config)}
        return {"use_cache": self.cached}  # MiniMax and RWKV create their own state

    @property
    def kv_bytes(self) -> int:
        """Return the bytes of the cached keys and values."""
        cache = self._state.get(self._cache_name)
        return cached_bytes(cache) if isinstance(cache, Cache) else 0


def _rope_limit(config: Any) -> int | None:
    """Return the tokens up to which LongRoPE uses its short factors; None for other position embeddings."""
    parameters = getattr(config, "rope_parameters", None) or {}
    for rope in (parameters, *parameters.values()):  # of all layers, or by the kind of layer
        if isinstance(rope, dict) and rope.get("rope_type") == "longrope":
            limit = rope.get("original_max_position_embeddings")
            return limit or getattr(config, "original_max_position_embeddings", None)
    return None


def trial(model: Any, texts: Sequence[Sequence[int]]) -> tuple[bool, int]:
    """Compare passes of 8, 7 and 1 tokens with one pass of 16; of 15 and 1 if a prompt must be one pass.

    texts  16 token ids each, of plain text, because logits for untypical text are noise. If the first text deviates by
           at most MAX_DEVIATION, it decides; else the mean of all, relative to passes without a state

    Returns whether the state may be kept between passes, and the bytes that one position adds to it.
    """
    deviations: list[float] = []
    noise: list[float] = []
    kv_bytes = 0
    for ids in texts:
        reading = Reading(model)
        if not reading.cached:
            return False, 0
        largest, kv_bytes = _held_against_one_pass(model, reading, ids)
        if not deviations and largest <= MAX_DEVIATION:
            return True, kv_bytes
        deviations.append(largest)
        noise.append(_held_against_one_pass(model, Reading(model, cached=False), ids)[0])
    cached = mean(deviations) <= max(MAX_DEVIATION, MAX_NOISE * mean(noise))
    return cached, kv_bytes if cached else 0


def _held_against_one_pass(model: Any, reading: Reading, ids: Sequence[int]) -> tuple[float, int]:
    """Return the largest deviation at the ends of the passes, and the bytes that the last token added to the cache."""
    text = torch.tensor([list(ids)], device=model.device)
    whole = Reading(model).read(model, text, keep=TRIAL)
    sizes, deviations = [0], [0.0]
    for end in TRIAL_ENDS[reading.cached and reading.one_pass :]:
        logits = reading.read(model, text[:, :end])
        sizes.append(reading.kv_bytes)
        deviations.append(deviation(whole[end - 1 : end], logits))
    return max(deviations), sizes[-1] - sizes[-2]


def deviation(expected: torch.Tensor, logits: torch.Tensor) -> float:
    """Return the RMS of the difference divided by the standard deviation of `expected`; both [n, vocabulary].

    Infinite if the result is not a number.
    """
    expected, logits = expected.float(), logits.float()
    value = float((expected - logits).square().mean().sqrt() / expected.std())
    return math.inf if math.isnan(value) else value
