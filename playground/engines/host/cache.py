"""A key/value cache that grows in place.

transformers' DynamicLayer concatenates the whole cache at every token, so that the n-th token copies n positions in
every layer. Here a layer has a buffer with spare positions, doubles it when it is full, and returns a view.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 256  # spare positions (tokens) of a new buffer


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """A DynamicLayer whose `keys` and `values` [1, heads, n, dim] are views of larger buffers."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self._keys: torch.Tensor | None = None
        self._values: torch.Tensor | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old = self.get_seq_length()
        new = old + key_states.shape[-2]
        if self._keys is None or self._values is None or new > self._keys.shape[-2]:
            self._keys = self._grown(self.keys, key_states, old, new)
            self._values = self._grown(self.values, value_states, old, new)
        self._keys[..., old:new, :] = key_states
        self._values[..., old:new, :] = value_states
        self.keys = self._keys[..., :new, :]
        self.values = self._values[..., :new, :]
        return self.keys, self.values

    @staticmethod
    def _grown(held: torch.Tensor, incoming: torch.Tensor, old: int, new: int) -> torch.Tensor:
        shape = (*incoming.shape[:-2], max(new + ROOM, 2 * old), incoming.shape[-1])
        buffer = incoming.new_empty(shape)
        if old:
            buffer[..., :old, :] = held
        return buffer


def new_cache(config: Any) -> DynamicCache:
    """Return an empty cache for `config`; sliding-window and recurrent layers keep transformers' own classes."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def cached_bytes(cache: DynamicCache) -> int:
    """Return the bytes of the keys and values, without spare positions."""
    total = 0
    for layer in cache.layers:
        for name in ("keys", "values"):
            tensor = getattr(layer, name, None)
            if isinstance(tensor, torch.Tensor):
                total += tensor.numel() * tensor.element_size()
    return total
