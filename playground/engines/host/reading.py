"""A text on its way through a model, pass by pass, with the inputs and the state that the model itself asks for.

The measure is transformers' `generate`: each architecture says in `prepare_inputs_for_generation` what a pass takes,
and in `_update_model_kwargs_for_generation` what it hands to the next pass.
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

# A pass of several tokens starts these from an empty state, whatever was read before: the prompt must be one pass.
_ONE_PASS = frozenset({"falcon_mamba", "jamba", "mamba", "minimax", "zamba"})
# The state of these is held by their modules, where two generations would share it.
_STATE_IN_MODULES = frozenset({"recurrent_gemma"})
_STATES = frozenset({"past_key_values", "cache_params", "state"})  # parameters of `forward` that carry a state

TRIAL = 16  # tokens
TRIAL_ENDS = (8, 15, 16)  # of its passes
# Measured by scripts/prove/load_check.py on 13 forms of the bundled model: lost positions deviate by 1.3 to 1.5; sound
# ones by 0.1 at most, by 0.3 with activations of 8 bits and by 1.0 with 4, where passes without a state do the same.
MAX_DEVIATION = 0.2
MAX_NOISE = 3.0  # times what passes without a state deviate


class Reading:
    """One text and the state that a model keeps of it; batch 1. The model is given to each pass and not held here.

    cached  False: the model keeps no state, and every pass reads the whole text again
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
        """Where the passes over a prompt of `total` tokens end, in passes of `chunk` tokens if the model allows it."""
        if self.one_pass:
            return [total]
        first = min(chunk, total)
        if self._rope_limit is not None and total > self._rope_limit:
            first = max(first, self._rope_limit + 1)  # a shorter pass would be rotated by the factors of short texts
        return [*range(first, total, chunk), total]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def read(self, model: Any, ids: torch.Tensor, keep: int = 1) -> torch.Tensor:
        """Read on to the end of `ids` [1, n], the text from its beginning. Logits of the last `keep` positions
        [keep, vocabulary]; `keep` at most the tokens that are new."""
        end = ids.shape[1]
        start = self._read if self.cached else 0
        if self._rope_limit is not None and start <= self._rope_limit < end:
            start = 0  # the keys of what was read are rotated by the factors of short texts
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
            inputs["logits_to_keep"] = keep  # some models insist on the number of their configuration
        output = model(**inputs, return_dict=True)
        self._state = model._update_model_kwargs_for_generation(output, self._state)
        self._read = end
        return output.logits[0, -keep:]

    def _empty(self, model: Any) -> dict[str, Any]:
        if self.cached and model._supports_default_dynamic_cache():
            return {"use_cache": True, self._cache_name: new_cache(model.config)}
        return {"use_cache": self.cached}  # MiniMax and RWKV make a state of their own

    @property
    def kv_bytes(self) -> int:
        """Bytes of the keys and values held."""
        cache = self._state.get(self._cache_name)
        return cached_bytes(cache) if isinstance(cache, Cache) else 0


def _rope_limit(config: Any) -> int | None:
    """Tokens up to which LongRoPE rotates by its short factors; None for every other kind of positions."""
    parameters = getattr(config, "rope_parameters", None) or {}
    for rope in (parameters, *parameters.values()):  # of all layers, or by the kind of layer
        if isinstance(rope, dict) and rope.get("rope_type") == "longrope":
            limit = rope.get("original_max_position_embeddings")
            return limit or getattr(config, "original_max_position_embeddings", None)
    return None


def trial(model: Any, texts: Sequence[Sequence[int]]) -> tuple[bool, int]:
    """Hold passes of 8, 7 and 1 tokens against one pass of 16; of 15 and 1 where a prompt must be one pass.

    texts  16 token ids each, of plain text: where a model was never trained its answer is noise. The first decides
           alone if it deviates little, else all of them against what passes without a state deviate

    Returns whether the model may keep a state between passes, and the bytes that one position adds to it.
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
    """(the largest deviation at the ends of the passes, bytes of keys and values that the last token added)."""
    text = torch.tensor([list(ids)], device=model.device)
    whole = Reading(model).read(model, text, keep=TRIAL)
    sizes, deviations = [0], [0.0]
    for end in TRIAL_ENDS[reading.cached and reading.one_pass :]:
        logits = reading.read(model, text[:, :end])
        sizes.append(reading.kv_bytes)
        deviations.append(deviation(whole[end - 1 : end], logits))
    return max(deviations), sizes[-1] - sizes[-2]


def deviation(expected: torch.Tensor, logits: torch.Tensor) -> float:
    """Root mean square of the difference over the standard deviation of what is expected; both [n, vocabulary].
    Infinite where one of them is not finite."""
    expected, logits = expected.float(), logits.float()
    value = float((expected - logits).square().mean().sqrt() / expected.std())
    return math.inf if math.isnan(value) else value
