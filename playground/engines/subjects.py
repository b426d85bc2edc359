"""The variants that a run measures: which weights, on which engine, and the facts that a run keeps of each."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playground import models
from playground.core import Loaded, LoadSpec, Progress, Variant
from playground.engines import base
from playground.errors import EvaluationError, PlaygroundError
from playground.methods import did_you_mean
from playground.metrics.weights import content_hash
from playground.models import checkpoint, names
from playground.models.address import Address

ENGINES = ("transformers", "vllm", "remote")
OnProgress = Callable[[Progress], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Subject:
    """A variant that is measured.

    id            its address as requested, "smollm2:nf4" or "smollm2@vllm"
    spec          load specification for an engine; None of a remote variant
    content_hash  hash of the weights in memory: with a suffix if loading quantizes or casts them
    left_out      settings of its generation_config.json that requests do not use; None of a remote variant
    """

    id: str
    engine: str
    variant: Variant
    spec: LoadSpec | None
    content_hash: str
    left_out: Mapping[str, Any] | None = None

    def facts(self, loaded: Loaded | None, template_hash: str) -> dict[str, Any]:
        """Return its entry in the `variants` of a run; `speed` is None until it is measured."""
        bits = self.variant.bits_per_weight
        return {
            "id": self.id,
            "label": self.variant.label,
            "method": self.variant.method,
            "scheme": self.variant.scheme,
            "bytes": self.variant.bytes,
            "bits_per_weight": None if bits is None else round(bits, 4),
            "content_hash": self.content_hash,
            "engine": self.engine,
            "dtype": loaded.dtype if loaded else self.variant.dtype,
            "loaded_bytes": (loaded.weight_bytes or None) if loaded else None,
            "kernel": loaded.kernel if loaded else "",
            "weights": (loaded.weights or None) if loaded else None,
            "template_hash": template_hash,
            "left_out": None if self.left_out is None else dict(self.left_out),
            "speed": None,
        }


def find(addresses: Sequence[str], engine: str = "", on_progress: OnProgress = lambda _: None) -> list[Subject]:
    """Return the subjects of the names, the reference first, and download missing files.

    `engine` is for names without an engine.

    Raises CatalogError, EngineUnavailable, EvaluationError.
    """
    if engine and engine not in ENGINES:
        raise EvaluationError(f"There is no engine {engine[:40]!r} for tasks.", hint=did_you_mean(engine, ENGINES))
    twice = sorted({name for name in addresses if addresses.count(name) > 1})
    if twice:
        raise EvaluationError(f"{twice[0]} is named twice.", hint="Name each variant once.")
    return [_subject(name, engine, on_progress) for name in addresses]


def _subject(name: str, engine: str, on_progress: OnProgress) -> Subject:
    address = Address.parse(name)
    variant = models.variant(address.variant)
    chosen = address.engine or engine or "transformers"
    if variant.engines == ("remote",):
        return Subject(name, "remote", variant, None, _remote_hash(variant))
    if chosen not in ("transformers", "vllm"):
        raise EvaluationError(
            f"Tasks do not run on {chosen}, which tells no log-probabilities of a prompt.",
            hint=f"Write {address.variant}@transformers or {address.variant}@vllm.",
        )
    if chosen != "transformers" or variant.unread or not variant.path.endswith(".gguf"):  # unpacked: right for scores
        base.check(variant, chosen)
    spec = models.resolve(address.variant, on_progress)
    left_out = checkpoint.from_path(spec.id, Path(spec.path)).generation_settings
    return Subject(name, chosen, variant, spec, weights_hash(spec), left_out)


def refuse_unread(variant: Variant) -> None:
    """Raise EvaluationError for a GGUF file that is another model in transformers than in llama.cpp."""
    if variant.unread:
        raise EvaluationError(
            f"{variant.id} cannot be measured: transformers takes the distribution, and {variant.unread}.",
            hint="Compare its answers in llama.cpp instead.",
        )


def known_hash(variant: Variant) -> str:
    """Return the hash of a loaded variant, from the cache if its files have not changed.

    Raises CatalogError.
    """
    if variant.engines == ("remote",):
        return _remote_hash(variant)
    return weights_hash(models.resolve(variant.id, lambda _: None), checkpoint.cached_content_hash)


def _remote_hash(variant: Variant) -> str:
    """Return a hash of an endpoint's URL and model id, since its weights are not known."""
    return f"remote-{hashlib.sha256(f'{variant.path} {variant.label}'.encode()).hexdigest()}"


def weights_hash(spec: LoadSpec, hash_of: Callable[[Path], str] = content_hash) -> str:
    """Return `content_hash` of the checkpoint, with a suffix if loading changes the weights."""
    digest = hash_of(Path(spec.path))
    stored_dtype = checkpoint.from_path(spec.id, Path(spec.path)).form.dtype
    changed = spec.quantize or (spec.dtype if spec.dtype != stored_dtype else "")
    return f"{digest}+{changed}" if changed else digest


def model_key(subject: Subject) -> str:
    """Return the store's name of a variant's model."""
    return names.key(subject.variant.model)


def described(
    name: str, label: str, variant: Variant | None, loaded: Loaded | None, ran_on: str = ""
) -> dict[str, Any]:
    """Return an entry of a run's `variants`. `content_hash` is None if the weights were not loaded."""
    where = (loaded.engine if loaded else ran_on) or Address.parse(name).engine or "transformers"
    if variant is None:
        unknown = dict.fromkeys(("method", "scheme", "bytes", "bits_per_weight", "content_hash", "dtype"))
        return {"id": name, "label": label, **unknown, "engine": where}
    digest = _hash_or_none(variant) if loaded or ran_on else None
    facts = Subject(name, where, variant, None, digest or "").facts(loaded, "")
    return facts | {"label": label, "content_hash": digest, "bytes_are_estimated": variant.bytes_are_estimated}


def _variant_name(name: str) -> str:
    return Address.parse(name).variant


def model_name(name: str) -> str:
    """Return the entry of an unknown variant: its name only."""
    try:
        return models.split(_variant_name(name))[0]
    except PlaygroundError:
        return name


def variant_or_none(name: str) -> Variant | None:
    try:
        return models.variant(_variant_name(name))
    except PlaygroundError:
        return None  # its row has the error


def _hash_or_none(variant: Variant) -> str | None:
    try:
        return known_hash(variant)
    except (PlaygroundError, OSError) as error:
        log.info("%s has no content hash: %s", variant.id, error)
        return None
