"""A variant behind an OpenAI-compatible server as lm-eval's own `local-completions`, over this program's connections.

lm-eval's transport would resolve names, follow redirects and log answers by its own rules, and try a server that died
again and again; here a request is checked and fails as everywhere in this program. A batch is one request.
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
UNKNOWN_CONTEXT = 1 << 20  # tokens: the server refuses what it cannot take


class ServedModel(LocalCompletionsAPI):  # type: ignore[misc]  # lm-eval has no types
    """`/v1/completions` of a server.

    ask        sends one body, returns the answer. Raises PlaygroundError
    tokenizer  folder of the variant's tokenizer: prompts go as token ids. "": they go as text, and choices cannot be
               scored
    context    tokens that the server takes; 0 where nobody tells
    fields     of a generation's body where a task does not set them: end tokens, the server's own defaults turned off
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
            base_url="http://127.0.0.1",  # nobody connects to it
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
        self._lengths: dict[str, int] = {}  # tokens of a prompt before it is cut
        self._sent: list[int] = []  # tokens of each prompt of the last batch
        self.cache_hook: Journal

    def tok_encode(self, string: Any, *arguments: Any, **named: Any) -> Any:
        found = super().tok_encode(string, *arguments, **named)
        if not isinstance(string, str):
            self._lengths.update(zip(string, map(len, found), strict=True))
        return found

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
        """The answers in the order of their prompts; which of both were cut goes to the journal."""
        choices = sorted(outputs["choices"], key=lambda choice: choice["index"])
        sent = [(self._lengths.get(prompt, kept), kept) for prompt, kept in zip(contexts, self._sent, strict=True)]
        self.cache_hook.generated((choice.get("finish_reason") == "length" for choice in choices), sent)
        end = THINK_END if self._strip_thinking else None
        return [postprocess_generated_text(choice["text"] or "", None, end) for choice in choices]
