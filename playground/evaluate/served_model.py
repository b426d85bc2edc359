"""lm-eval's `local-completions` over this program's HTTP client, for variants behind an OpenAI-compatible server.

lm-eval's transport has its own rules for names, redirects and logs, and retries a dead server; with this program's
client requests are checked and fail as everywhere else. A batch is one request.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from lm_eval.models.openai_completions import LocalCompletionsAPI
from lm_eval.models.utils import postprocess_generated_text

from playground.errors import EngineError
from playground.evaluate.harness import Journal

Ask = Callable[[dict[str, Any]], Mapping[str, Any]]
THINK_END = "</think>"
UNKNOWN_CONTEXT = 1 << 20  # tokens; the server refuses longer prompts itself


class ServedModel(LocalCompletionsAPI):  # type: ignore[misc]  # lm-eval has no types
    """`/v1/completions` of a server.

    ask        sends a request body and returns the response. Raises PlaygroundError
    tokenizer  folder of the variant's tokenizer: prompts are sent as token ids. "": they are sent as text, and choices
               cannot be scored
    context    context length in tokens; 0 if unknown
    fields     defaults of the request body: end tokens, values that turn the server's defaults off
    """

    def __init__(
        self,
        ask: Ask,
        model: str,
        tokenizer: str,
        context: int,
        batch_size: int,
        seed: int,
        strip_thinking: bool,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            base_url="http://127.0.0.1",  # unused
            model=model,
            tokenizer=tokenizer or None,
            tokenizer_backend="huggingface" if tokenizer else "none",
            tokenized_requests=bool(tokenizer),
            max_length=context or UNKNOWN_CONTEXT,
            batch_size=batch_size,
            seed=seed,
            max_retries=1,
        )
        self._ask, self._strip_thinking, self._fields = ask, strip_thinking, dict(fields or {})
        self._lengths: dict[str, int] = {}  # tokens of a prompt before truncation
        self._sent: list[int] = []  # tokens of each prompt of the last batch, as sent
        self.cache_hook: Journal

    def tok_encode(self, string: Any, *arguments: Any, **named: Any) -> Any:
        ids = super().tok_encode(string, *arguments, **named)
        if not isinstance(string, str):
            self._lengths.update(zip(string, map(len, ids), strict=True))
        return ids

    def _loglikelihood_tokens(self, requests: Any, **named: Any) -> Any:
        self.cache_hook.scored(requests, self.max_length)
        return super()._loglikelihood_tokens(requests, **named)

    def model_call(
        self,
        messages: Any,
        *,
        generate: bool = True,
        gen_kwargs: dict[str, Any] | None = None,
        **named: Any,
    ) -> Mapping[str, Any]:
        self.cache_hook.begin_batch()
        body = self._create_payload(
            self.create_message(messages),
            generate=generate,
            gen_kwargs=copy.deepcopy(gen_kwargs),
            seed=self._seed,
            eos=self.eos_string,
            **named,
        )
        self._sent = list(map(len, messages))
        answer = self._ask({**self._fields, **body} if generate else body)
        if len(answer.get("choices") or ()) != len(messages):
            raise EngineError("The server did not answer every prompt of a batch.", hint="Take a batch of 1.")
        return answer

    def parse_generations(self, outputs: Any, contexts: Any = (), **_: Any) -> list[str]:
        """Return the answers in the order of their prompts; report truncated answers and prompts to the Journal."""
        choices = sorted(outputs["choices"], key=lambda choice: choice["index"])
        sent = [
            (self._lengths.get(prompt, length), length) for prompt, length in zip(contexts, self._sent, strict=True)
        ]
        self.cache_hook.generated((choice.get("finish_reason") == "length" for choice in choices), sent)
        end = THINK_END if self._strip_thinking else None
        return [postprocess_generated_text(choice["text"] or "", None, end) for choice in choices]
