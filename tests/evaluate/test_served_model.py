"""lm-eval's local-completions over a server of this program: what it is sent, what is made of its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from playground.engines import subjects
from playground.engines.base import missing_vllm
from playground.engines.router import Engines
from playground.errors import EngineDied, EngineError, EvaluationError
from playground.evaluate import models
from playground.evaluate.spec import Conditions
from playground.models import endpoints
from playground.models.endpoints import Endpoint
from tests.evaluate.conftest import Ask
from tests.fakes.endpoint import serving
from tests.fakes.openai_server import MODEL, WORDS

KEY = "sk-secret"

pytestmark = pytest.mark.filterwarnings("ignore")
Body = dict[str, Any]


class Server:
    """Answers `/v1/completions` as vLLM does. `texts` for every prompt of a batch, the first cut off."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.bodies: list[Body] = []

    def __call__(self, body: Body) -> Body:
        self.bodies.append(body)
        prompts = body["prompt"]
        if body.get("echo"):
            return {"choices": [self._scored(n, ids) for n, ids in enumerate(prompts)]}
        choices = [
            {"index": n, "text": self.texts[n % len(self.texts)], "finish_reason": "stop" if n else "length"}
            for n in range(len(prompts))
        ]
        return {"choices": choices[::-1]}

    @staticmethod
    def _scored(n: int, ids: list[int]) -> Body:
        """Each token as probable as its id says, and the one that was generated at the end."""
        logprobs = [-float(one) / 100 for one in [*ids, 1]]
        top = [{"a": value, "b": -9.0} for value in logprobs]
        return {"index": n, "text": "", "logprobs": {"token_logprobs": logprobs, "top_logprobs": top}}


Make = Callable[..., Any]


@pytest.fixture
def served(tiny: Path) -> Make:
    from playground.evaluate.served_model import ServedModel

    def make(ask: Any, batch_size: int = 4, tokenizer: str = str(tiny), **more: Any) -> Any:
        thinking, fields = more.get("strip_thinking", False), more.get("fields")
        return ServedModel(ask, "tiny", tokenizer, more.get("context", 1024), batch_size, 7, thinking, fields)

    return make


CONDITIONS = Conditions(tasks=("gsm8k",), limit=6, few_shot=0, generation={"max_gen_toks": 12}, batch_size=4)


def test_answers_come_in_the_order_of_their_prompts(ask: Ask, served: Make, loaded: Callable[..., Any]) -> None:
    server = Server("#### 2", "#### 4")
    items = ask(CONDITIONS, lm=served(server))["gsm8k"].items
    assert [len(body["prompt"]) for body in server.bodies] == [4, 2]
    body = server.bodies[0]
    assert (body["model"], body["max_tokens"], body["temperature"], body["seed"]) == ("tiny", 12, 0.0, 7)
    assert "Question:" in body["stop"]
    assert sum(item.truncated for item in items) == 2, "the first of each batch"
    assert {item.answer for item in items if item.truncated} == {"#### 2"}
    tokenizer = loaded(CONDITIONS).tokenizer
    assert {tokenizer.decode(ids) for body in server.bodies for ids in body["prompt"]} == {one.prompt for one in items}


def test_choices_are_scored_by_their_tokens(ask: Ask, served: Make, loaded: Callable[..., Any]) -> None:
    conditions = Conditions(tasks=("arc_easy",), limit=2, batch_size=2)
    items = ask(conditions, lm=served(Server(), 2))["arc_easy"].items
    tokenizer = loaded(conditions).tokenizer
    for item in items:
        likelihoods = item.loglikelihoods or ()
        assert len(likelihoods) in (3, 4)
        assert likelihoods[1] == pytest.approx(-sum(tokenizer(" the river").input_ids) / 100)


def test_end_tokens_go_along_where_text_is_generated(ask: Ask, served: Make) -> None:
    server = Server("#### 2")
    ask(CONDITIONS, lm=served(server, fields={"stop_token_ids": [2, 40], "temperature": 9.0}))
    assert {(*body["stop_token_ids"], body["temperature"]) for body in server.bodies} == {(2, 40, 0.0)}
    scoring = Server()
    ask(Conditions(tasks=("arc_easy",), limit=2), lm=served(scoring, fields={"stop_token_ids": [2, 40]}))
    assert not any("stop_token_ids" in body for body in scoring.bodies)


def test_prompts_that_the_context_cuts_are_kept_with_their_items(
    ask: Ask, served: Make, loaded: Callable[..., Any]
) -> None:
    context, budget = 80, 12
    conditions = Conditions(tasks=("gsm8k", "arc_easy"), few_shot=0, generation={"max_gen_toks": budget}, batch_size=4)
    found = ask(conditions, lm=served(Server("#### 2"), context=context))
    tokenizer = loaded(conditions).tokenizer
    for item in found["gsm8k"].items:
        tokens, room = len(tokenizer(item.prompt).input_ids), context - 1 - budget
        assert item.cut_prompt == ((tokens, room) if tokens > room else None)
    assert {item.cut_prompt is None for item in found["gsm8k"].items} == {True, False}


def test_thoughts_are_stripped(ask: Ask, served: Make) -> None:
    server = Server("<think>#### 9</think> #### 2")
    items = ask(CONDITIONS, lm=served(server, strip_thinking=True))["gsm8k"].items
    assert {item.answer for item in items} == {"#### 2"}


def test_a_server_that_dies_is_asked_no_more(ask: Ask, served: Make) -> None:
    asked = []

    def dying(body: Body) -> Body:
        asked.append(body)
        raise EngineDied("vLLM died.")

    with pytest.raises(EngineDied):
        ask(CONDITIONS, lm=served(dying))
    assert len(asked) == 1


def test_an_answer_too_few_is_an_error(ask: Ask, served: Make) -> None:
    with pytest.raises(EngineError, match="did not answer every prompt"):
        ask(CONDITIONS, lm=served(lambda _: {"choices": [{"index": 0, "text": "x"}]}))


def test_text_goes_as_text_where_the_tokenizer_is_not_known(ask: Ask, served: Make) -> None:
    server = Server("#### 2")
    items = ask(CONDITIONS, lm=served(server, tokenizer=""))["gsm8k"].items
    assert {prompt for body in server.bodies for prompt in body["prompt"]} == {item.prompt for item in items}


@pytest.fixture
def endpoint(offline: Path) -> Iterator[str]:
    """A real server in a process of its own, added as `lab`."""
    with serving("ids", key=KEY) as url:
        endpoints.add(Endpoint("lab", url, KEY, model=MODEL))
        yield url


def test_a_remote_endpoint_answers_what_generates(endpoint: str, ask: Ask) -> None:
    (subject,) = subjects.find(["@lab"])
    assert (subject.engine, subject.spec) == ("remote", None)
    with models.open_model(subject, CONDITIONS, lambda: pytest.fail("no engine is needed"), lambda _: None) as asked:
        items = ask(CONDITIONS, lm=asked.lm)["gsm8k"].items
    assert {item.answer for item in items} == {"".join(WORDS)}
    facts = subject.facts(asked.loaded, "")
    assert (facts["engine"], facts["bytes"], facts["loaded_bytes"]) == ("remote", None, None)
    bodies = [one["body"] for one in httpx.get(f"{endpoint}/seen").json() if one["path"] == "/v1/completions"]
    batches = [body["prompt"] for body in bodies if not body.get("stream")]
    assert [len(batch) for batch in batches] == [4, 2]
    assert {prompt for batch in batches for prompt in batch} == {item.prompt for item in items}
    asked_for = [
        (body["repetition_penalty"], body["top_k"], body["top_p"]) for body in bodies if not body.get("stream")
    ]
    assert asked_for == [(1.0, 0, 1.0)] * 2, "no generation_config.json of the endpoint's decides"


@pytest.mark.usefixtures("endpoint")
def test_what_a_remote_endpoint_cannot_be_asked() -> None:
    (subject,) = subjects.find(["@lab"])
    with pytest.raises(EvaluationError, match="asked for text alone"):
        models.check(subject, CONDITIONS, frozenset({"generate_until", "multiple_choice"}))
    chat = Conditions(tasks=("gsm8k",), chat_template=True)
    with pytest.raises(EvaluationError, match="template is not known"):
        models.check(subject, chat, frozenset({"generate_until"}))
    models.check(subject, CONDITIONS, frozenset({"generate_until"}))


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(bool(missing_vllm()), reason=f"{missing_vllm()}: run `make vllm`")
def test_vllm_answers_as_transformers_does(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled model on both: log-probabilities as near as BF16 summed in another order, most answers the same."""
    monkeypatch.setenv("PLAYGROUND_VLLM_EAGER", "1")
    monkeypatch.setenv("PLAYGROUND_VLLM_MAX_MODEL_LEN", "1024")
    conditions = Conditions(
        tasks=("bundled_facts", "bundled_math"), limit=8, generation={"max_gen_toks": 48}, batch_size=4
    )
    engines = Engines()
    try:
        found = []
        for subject in subjects.find(["smollm2", "smollm2@vllm"]):
            with models.open_model(subject, conditions, lambda: engines, lambda _: None) as asked:
                found.append(ask(conditions, lm=asked.lm))
        assert asked.loaded.engine == "vllm"
    finally:
        engines.close()
    for one, other in zip(*(side["bundled_facts"].items for side in found), strict=True):
        assert one.prompt_hash == other.prompt_hash
        assert other.loglikelihoods == pytest.approx(one.loglikelihoods, rel=0.05, abs=0.3)
    pairs = list(zip(*(side["bundled_math"].items for side in found), strict=True))
    assert sum(one.answer[:40] == other.answer[:40] for one, other in pairs) >= 4
    assert all(one.truncated == other.truncated for one, other in pairs if one.answer == other.answer)
