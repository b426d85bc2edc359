"""lm-eval's HFLM over a loaded variant; tells the Journal of batches, truncated answers and prompts, and own words."""

from __future__ import annotations

from typing import Any

from lm_eval.models.huggingface import HFLM

from playground.evaluate.harness import Journal

THINK_END = "</think>"


class LocalModel(HFLM):  # type: ignore[misc]  # lm-eval has no types
    """HFLM over a loaded model (`engines.host.loading.Resident`)."""

    def __init__(self, resident: Any, batch_size: int, strip_thinking: bool) -> None:
        from transformers import GenerationConfig

        super().__init__(
            trust_remote_code=False,
            pretrained=resident.model,
            tokenizer=resident.tokenizer,
            batch_size=batch_size,
            think_end_token=think_end(resident.tokenizer) if strip_thinking else None,
        )
        self._eos = resident.eos
        self._prompts: list[tuple[int, int]] = []
        self.cache_hook: Journal
        # Penalties and suppressed tokens of a generation_config.json would not apply to the model's GGUF file.
        defaults = resident.model.generation_config
        resident.model.generation_config = GenerationConfig(
            bos_token_id=defaults.bos_token_id,
            pad_token_id=defaults.pad_token_id,
            eos_token_id=sorted(resident.eos) or None,
        )

    def _model_call(self, *arguments: Any, **named: Any) -> Any:
        self.cache_hook.begin_batch()
        return super()._model_call(*arguments, **named)

    def _model_generate(self, context: Any, max_length: int, stop: list[str], **named: Any) -> Any:
        import torch

        self.cache_hook.begin_batch()
        if named.get("do_sample"):
            named.setdefault("top_k", 0)  # transformers' default is 50, other engines' is off
        rows = super()._model_generate(context, max_length, stop, **named)
        begin = context.shape[1]
        cut = [self._is_cut(row[begin:].tolist(), stop, max_length - begin) for row in rows]
        self.cache_hook.generated(cut, self._prompts)
        answers, ends = rows[:, begin:], torch.tensor(sorted(self._eos), dtype=rows.dtype, device=rows.device)
        answers[torch.isin(answers, ends)] = self.tokenizer.pad_token_id  # end tokens that are not special have a text
        return rows

    def tok_batch_encode(
        self, strings: list[str], padding_side: str = "left", left_truncate_len: int | None = None, **named: Any
    ) -> tuple[Any, Any]:
        """Encode prompts as HFLM does, and remember which were truncated, for the Journal."""
        ids, mask = super().tok_batch_encode(strings, padding_side, None, **named)
        room = left_truncate_len or ids.shape[1]
        self._prompts = [(length, min(length, room)) for length in mask.sum(dim=1).tolist()]
        return ids[:, -room:], mask[:, -room:]

    def _loglikelihood_tokens(self, requests: Any, *arguments: Any, **named: Any) -> Any:
        self.cache_hook.scored(requests, self.max_length + 1)
        return super()._loglikelihood_tokens(requests, *arguments, **named)

    def _select_cont_toks(self, logits: Any, contlen: Any = None, inplen: Any = None) -> Any:
        """Select as HFLM does, and announce what the model itself would have written there."""
        selected = super()._select_cont_toks(logits, contlen, inplen)
        self.cache_hook.greedy(selected.argmax(dim=-1).tolist(), self.tokenizer.decode)
        return selected

    def _is_cut(self, ids: list[int], stop: list[str], budget: int) -> bool:
        """Return whether an answer fills its budget and contains no end token or stop sequence."""
        if len(ids) < budget or not self._eos.isdisjoint(ids):
            return False
        text = self.tokenizer.decode(ids)
        return not any(sequence and sequence in text for sequence in stop)

    def get_model_info(self) -> dict[str, Any]:
        """Return nothing: lm-eval would request the model's commit from the hub."""
        return {}


def think_end(tokenizer: Any) -> str | int:
    """Return the end of a reasoning trace as text, or as token id if it is special and so missing in decoded text."""
    special = THINK_END in tokenizer.all_special_tokens
    return int(tokenizer.convert_tokens_to_ids(THINK_END)) if special else THINK_END
