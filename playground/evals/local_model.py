"""A loaded variant as lm-eval's own HFLM, which also tells where a batch begins and which answers were cut off."""

from __future__ import annotations

from typing import Any

from lm_eval.models.huggingface import HFLM

from playground.evals.response_cache import Journal

THINK_END = "</think>"


class LocalModel(HFLM):  # type: ignore[misc]  # lm-eval has no types
    """HFLM over a model that this program has loaded (`transformers_host.loading.Resident`)."""

    def __init__(self, resident: Any, batch_size: int, strip_thinking: bool) -> None:
        super().__init__(
            trust_remote_code=False,
            pretrained=resident.model,
            tokenizer=resident.tokenizer,
            batch_size=batch_size,
            think_end_token=think_end(resident.tokenizer) if strip_thinking else None,
        )
        self._eos = resident.eos
        self.cache_hook: Journal

    def _model_call(self, *arguments: Any, **named: Any) -> Any:
        self.cache_hook.begin_batch()
        return super()._model_call(*arguments, **named)

    def _model_generate(self, context: Any, max_length: int, stop: list[str], **named: Any) -> Any:
        self.cache_hook.begin_batch()
        rows = super()._model_generate(context, max_length, stop, **named)
        begin = context.shape[1]
        self.cache_hook.cut(self._is_cut(row[begin:].tolist(), stop, max_length - begin) for row in rows)
        return rows

    def _is_cut(self, ids: list[int], stop: list[str], budget: int) -> bool:
        """Whether an answer fills its budget and holds nothing that would have ended it before."""
        if len(ids) < budget or not self._eos.isdisjoint(ids):
            return False
        text = self.tokenizer.decode(ids)
        return not any(sequence and sequence in text for sequence in stop)

    def get_model_info(self) -> dict[str, Any]:
        """Nothing: lm-eval would ask the hub for the model's commit."""
        return {}


def think_end(tokenizer: Any) -> str | int:
    """What ends a reasoning trace: as text, or by its id where decoding leaves it out as a special token."""
    special = THINK_END in tokenizer.all_special_tokens
    return int(tokenizer.convert_tokens_to_ids(THINK_END)) if special else THINK_END
