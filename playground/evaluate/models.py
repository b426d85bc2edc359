"""Open a subject as a language model of lm-eval: loaded in this process, in vLLM, or at a remote endpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from playground import models
from playground.core import Loaded, Progress
from playground.engines.router import Engines
from playground.engines.subjects import Subject
from playground.errors import EvaluationError
from playground.evaluate.prepare import SEEDS
from playground.evaluate.spec import Conditions
from playground.models import endpoints, names

if TYPE_CHECKING:
    from playground.engines.vllm.engine import VllmEngine

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class OpenModel:
    """lm-eval's language model, and the facts of what was loaded."""

    lm: Any
    loaded: Loaded


def template_hash(subject: Subject) -> str:
    """Return the first 16 hex digits of the chat template's sha256; "" without one, and for remote models."""
    if subject.spec is None:
        return ""
    from playground.engines.host.loading import load_tokenizer

    template = load_tokenizer(subject.spec.path).chat_template
    return hashlib.sha256(str(template).encode()).hexdigest()[:16] if template else ""


@contextmanager
def open_model(
    subject: Subject, conditions: Conditions, engines: Callable[[], Engines], on_progress: OnProgress
) -> Iterator[OpenModel]:
    """Load the subject and yield it; a vLLM server is stopped and remote connections are closed afterwards.

    engines  returns the engines of this process; called only for vLLM

    Raises CatalogError, EngineError.
    """
    match subject.engine:
        case "transformers":
            opened = _in_process(subject, conditions, on_progress)
        case "vllm":
            opened = _in_vllm(subject, conditions, engines(), on_progress)
        case _:
            opened = _remote(subject, conditions, on_progress)
    with opened as model:
        yield model


def check(subject: Subject, conditions: Conditions, kinds: frozenset[str]) -> None:
    """Raise EvaluationError if a remote subject cannot run tasks of these kinds or a chat template."""
    if subject.engine != "remote":
        return
    if kinds != {"generate_until"}:
        raise EvaluationError(
            f"{subject.id} is a remote endpoint, which is asked for text alone; these tasks score choices or texts.",
            hint="Take tasks that generate (gsm8k, coqa), or run the model here.",
        )
    if conditions.chat_template:
        raise EvaluationError(
            f"{subject.id} is a remote endpoint, whose chat template is not known here.",
            hint="Leave the chat template out.",
        )


@contextmanager
def _in_process(subject: Subject, conditions: Conditions, on_progress: OnProgress) -> Iterator[OpenModel]:
    from playground.engines.host.loading import DeviceMemory, device_of_choice, load
    from playground.evaluate.local_model import LocalModel

    assert subject.spec is not None  # noqa: S101  only a remote one has none
    resident = load(subject.spec, DeviceMemory(device_of_choice()), on_progress)
    yield OpenModel(LocalModel(resident, conditions.batch_size, conditions.strip_thinking), resident.facts)


@contextmanager
def _in_vllm(
    subject: Subject, conditions: Conditions, engines: Engines, on_progress: OnProgress
) -> Iterator[OpenModel]:
    from playground.engines import http

    assert subject.spec is not None  # noqa: S101
    loaded = engines.load(f"{subject.variant.id}@vllm", on_progress, lambda: False)
    servers = cast("VllmEngine", engines.engine("vllm")).servers
    try:
        with servers.using(loaded.id) as process, http.new_client() as client:

            def ask(body: dict[str, Any]) -> Mapping[str, Any]:
                return http.post(client, process, "/v1/completions", body)

            ends = {"stop_token_ids": list(subject.spec.end_ids)}
            yield OpenModel(_served(ask, loaded.id, subject.spec.path, loaded.context, conditions, ends), loaded)
    finally:
        servers.stop(loaded.id)


@contextmanager
def _remote(subject: Subject, conditions: Conditions, on_progress: OnProgress) -> Iterator[OpenModel]:
    from playground.engines.remote.engine import RemoteEngine
    from playground.engines.remote.http import RemoteHttp

    parsed = names.parse(subject.variant.id)
    endpoint = endpoints.find(parsed.endpoint)
    engine = RemoteEngine()
    try:
        loaded = engine.load(subject.variant.id, on_progress, lambda: False)
        neutral = engine.neutral(subject.variant.id)
    finally:
        engine.close()
    http = RemoteHttp()

    def ask(body: dict[str, Any]) -> Mapping[str, Any]:
        answer = http.ask(endpoint, f"{endpoint.url}/completions", body, answer_s=ANSWER_S)
        return answer if isinstance(answer, dict) else {}

    model = parsed.repo or endpoint.model or models.variant(subject.variant.id).label
    try:
        yield OpenModel(_served(ask, model, "", loaded.context, conditions, neutral), loaded)
    finally:
        http.close()


ANSWER_S = 600.0  # a batch of long answers from a remote endpoint


def _served(
    ask: Any, model: str, tokenizer: str, context: int, conditions: Conditions, fields: Mapping[str, Any]
) -> Any:
    from playground.evaluate.served_model import ServedModel

    seed = SEEDS[2] if conditions.seed is None else conditions.seed
    return ServedModel(ask, model, tokenizer, context, conditions.batch_size, seed, conditions.strip_thinking, fields)
