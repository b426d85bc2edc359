"""KL divergence of variants from their reference on a text: teacher-forced, over the full vocabulary, in FP32.

Reference and variant read the same token ids in this process, window by window; six numbers are kept for each token,
no logits. The reference stays loaded, variants are loaded one after the other. Each token is predicted exactly once.

Results are stored in one file for each document, so an interruption loses at most one document.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from playground import formatting
from playground.core import NOISE_FLOOR, Loaded, LoadSpec, Progress
from playground.errors import DifferentTokenizer, EvaluationError, OutOfMemory
from playground.files import write_whole
from playground.metrics.divergence import DocumentDivergence, summarize
from playground.metrics.token_divergence import TokenDivergence, token_divergence
from playground.texts.prose import Text

if TYPE_CHECKING:
    from playground.engines.host.loading import DeviceMemory

TOKENS = 8192  # of the bundled prose: about half, with all its domains
MAX_LENGTH = 512
HEADROOM = 512 * 2**20  # bytes for the logits of one window, twice, and what a forward pass needs
REPORT_S = 0.5
_FIELDS = tuple(field.name for field in fields(TokenDivergence))
SAMPLE_TEXT = "a"  # any word will do to see the tokenizer's prefix
LOADED = "loaded.json"
_FILE_FIELDS = tuple(field.name for field in fields(DocumentDivergence))


class Report(Protocol):
    """Receives progress and notes, as `jobs.progress.Report` does."""

    def progress(self, item: Progress) -> None: ...

    def note(self, text: str) -> None: ...


def measure(
    reference: LoadSpec,
    others: Sequence[LoadSpec],
    text: Text,
    tokens: int,
    folder: Path,
    report: Report,
    *,
    max_length: int = MAX_LENGTH,
    on_loaded: Callable[[Loaded], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Return the rows of `metrics.divergence.summarize`: the reference, the noise floor, then the variants in order.

    tokens      number of tokens to predict at most, from the text's beginning; 0: all
    folder      caches results by document. Its name must include everything that could change a number and is not an
                argument: weights, device, package versions
    max_length  tokens of a window
    on_loaded   receives the facts of each model, the reference first; of a model whose documents are all cached, those
                from when they were measured

    Raises DifferentTokenizer, EvaluationError, OutOfMemory, and the errors of loading.
    """
    from playground.engines.host.loading import DeviceMemory, device_of_choice

    report.progress(Progress("reading the tokenizers"))
    plan = plan_windows(text, common_tokenizer(reference, others), tokens, max_length)
    if tokens and plan.tokens < tokens:
        report.note(f"{text.name} has {plan.tokens:,} tokens to predict; {tokens:,} were asked for.")

    def files(side: LoadSpec) -> DocumentFiles:
        return DocumentFiles(folder / _fingerprint(reference, side, text.hash, tokens, max_length))

    loader = _Loader(DeviceMemory(device_of_choice()), report, plan)
    loaded_reference = _Reference(reference, files(reference), loader)
    sides = [noise_floor(reference), *others]
    rows: list[dict[str, Any]] = []
    for number, side in enumerate(sides, 1):
        stage = f"comparing {side.id} ({number} of {len(sides)})"
        documents = _measure_side(loaded_reference, side, files(side), plan, loader, stage)
        if not rows:
            rows.append(summarize(reference.id, [_against_itself(document) for document in documents]))
        on_loaded(_loaded_facts(files(reference if side.id == NOISE_FLOOR else side)))
        rows.append(summarize(side.id, documents))
    return rows


def noise_floor(reference: LoadSpec) -> LoadSpec:
    """Return the reference in another dtype: its divergence is what two computations of one model differ by."""
    dtype = floor_dtype(reference.dtype)
    size = 2 * reference.weight_bytes if dtype == "float32" else reference.weight_bytes // 2
    return replace(reference, id=NOISE_FLOOR, dtype=dtype, weight_bytes=size)


def floor_dtype(dtype: str) -> str:
    """Return the dtype of the noise floor for a reference in `dtype`."""
    return "bfloat16" if dtype == "float32" else "float32"


def common_tokenizer(reference: LoadSpec, others: Sequence[LoadSpec]) -> Any:
    """Return the reference's tokenizer. Raises DifferentTokenizer, BrokenCheckpoint.

    Tokenizers are the same if their hashes or their vocabularies are: a GGUF file keeps only the vocabulary.
    """
    from playground.engines.host.loading import tokenizer_hash, tokenizer_of

    tokenizer = tokenizer_of(reference.path)
    for other in others:
        other_tokenizer = tokenizer_of(other.path)
        if (
            tokenizer_hash(other_tokenizer) != tokenizer_hash(tokenizer)
            and other_tokenizer.get_vocab() != tokenizer.get_vocab()
        ):
            raise DifferentTokenizer(
                f"{other.id} and {reference.id} have different tokenizers ({len(other_tokenizer):,} and "
                f"{len(tokenizer):,} tokens): their distributions are over different things and cannot be compared.",
                hint="Compare a variant with the model that it was made from.",
            )
    return tokenizer


class _Loader:
    """Loads one model after the other; unused memory is released first."""

    def __init__(self, memory: DeviceMemory, report: Report, plan: Plan) -> None:
        self.report = report
        self._memory, self._longest, self._ids = memory, plan.longest, plan.ids

    def load(self, spec: LoadSpec, files: DocumentFiles) -> Any:
        """Return the model and store its facts in `files`.

        Raises OutOfMemory, EvaluationError for windows longer than the model's context, InvalidRequest for tokens
        without an embedding, and the errors of loading.
        """
        from playground.engines.host.active import refuse_unknown_ids
        from playground.engines.host.loading import load, tokenizer_of

        self._memory.release()
        needed, free = spec.weight_bytes + HEADROOM, self._memory.free()
        if needed > free:
            raise OutOfMemory(
                f"{spec.id} needs {formatting.size(needed)} and {formatting.size(free)} are free.",
                hint="Unload other models, or choose a smaller one.",
            )

        def on_progress(item: Progress) -> None:
            self.report.progress(replace(item, stage=f"loading {spec.id}: {item.stage.lower()}"))

        resident = load(spec, self._memory, on_progress, tokenizer_of(spec.path))
        if resident.facts.context < self._longest:
            raise EvaluationError(
                f"{spec.id} reads {resident.facts.context:,} tokens at once, less than a window of {self._longest:,}.",
                hint="Take shorter windows.",
            )
        refuse_unknown_ids(resident.model, self._ids)
        files.loaded = resident.facts
        return resident.model


class _Reference:
    """The reference, loaded on first use."""

    def __init__(self, spec: LoadSpec, files: DocumentFiles, loader: _Loader) -> None:
        self.spec = spec
        self._files, self._loader = files, loader
        self._model: Any = None

    @property
    def model(self) -> Any:
        if self._model is None:
            self._model = self._loader.load(self.spec, self._files)
        return self._model


def _measure_side(
    reference: _Reference, side: LoadSpec, files: DocumentFiles, plan: Plan, loader: _Loader, stage: str
) -> list[DocumentDivergence]:
    """Return all documents of one variant: cached ones from `files`, the others measured now."""
    documents = [files.read(number) for number in range(len(plan.documents))]
    missing = [number for number, document in enumerate(documents) if document is None]
    if missing:
        models = reference.model, loader.load(side, files)
        progress = _SideProgress(loader.report, stage, plan, missing)
        for number in missing:
            parts = []
            for window in plan.documents[number]:
                parts.append(_compare(*models, window, (reference.spec.id, side.id)))
                progress.add(window.predicted)
            documents[number] = document = _concatenate(parts)
            files.write(number, document)
    return [document for document in documents if document is not None]


def _compare(reference: Any, other: Any, window: Window, names: tuple[str, str]) -> TokenDivergence:
    import torch

    with torch.inference_mode():
        ids = torch.tensor([window.ids], device=reference.device)
        rows = slice(-window.predicted - 1, -1)  # logits at position i predict token i + 1
        of_reference = reference(input_ids=ids, use_cache=False).logits[0, rows]
        of_other = other(input_ids=ids, use_cache=False).logits[0, rows]
        if of_reference.shape != of_other.shape:
            raise DifferentTokenizer(
                f"{names[0]} chooses among {of_reference.shape[-1]:,} words and {names[1]} among "
                f"{of_other.shape[-1]:,}: their distributions cannot be compared.",
                hint="Compare a variant with the model that it was made from.",
            )
        return token_divergence(of_reference, of_other, ids[0, -window.predicted :])


def _concatenate(parts: Sequence[TokenDivergence]) -> DocumentDivergence:
    """Concatenate the windows of one document."""
    return DocumentDivergence(
        **{name: np.concatenate([getattr(part, name).numpy() for part in parts]) for name in _FIELDS}
    )


def _against_itself(document: DocumentDivergence) -> DocumentDivergence:
    """Return the document with the reference compared to itself: divergence 0."""
    zero = np.zeros_like(document.kld)
    return replace(document, kld=zero, dp=zero, nll=document.nll_reference, agrees=np.ones_like(document.agrees))


def _loaded_facts(files: DocumentFiles) -> Loaded:
    facts = files.loaded
    if facts is None:
        raise EvaluationError("Facts of a model that was measured before are gone.", hint="Measure again.")
    return facts


def _fingerprint(reference: LoadSpec, side: LoadSpec, *rest: str | int) -> str:
    return hashlib.sha256(json.dumps([asdict(reference), asdict(side), *rest]).encode()).hexdigest()[:16]


class _SideProgress:
    """Reports how many tokens of a variant are done, at most every REPORT_S."""

    def __init__(self, report: Report, stage: str, plan: Plan, missing: Sequence[int]) -> None:
        self._report, self._stage, self._total = report, stage, plan.tokens
        missing_tokens = sum(window.predicted for number in missing for window in plan.documents[number])
        self._done = self._total - missing_tokens
        self._last_report = 0.0
        self.add(0)

    def add(self, tokens: int) -> None:
        self._done += tokens
        if self._done == self._total or time.monotonic() - self._last_report > REPORT_S:
            self._last_report = time.monotonic()
            self._report.progress(Progress(self._stage, self._done, self._total, "tokens"))


# Windows of a text.


@dataclass(frozen=True, slots=True)
class Window:
    """One forward pass: the model reads `ids` and predicts the last `predicted` of them."""

    ids: tuple[int, ...]
    predicted: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The windows of each document, without documents that have nothing to predict."""

    documents: tuple[tuple[Window, ...], ...]

    @property
    def tokens(self) -> int:
        """Number of predicted tokens."""
        return sum(window.predicted for document in self.documents for window in document)

    @property
    def ids(self) -> frozenset[int]:
        """All token ids that occur."""
        return frozenset(i for document in self.documents for window in document for i in window.ids)

    @property
    def longest(self) -> int:
        """Tokens of the longest window."""
        return max(len(window.ids) for document in self.documents for window in document)


def plan_windows(text: Text, tokenizer: Any, tokens: int, max_length: int) -> Plan:
    """Return the first documents of a text as windows of at most `max_length` tokens.

    tokens  number of tokens to predict at most; 0: all

    Raises EvaluationError if there is nothing to predict.
    """
    prefix = prefix_ids(tokenizer)
    if max_length < len(prefix) + 2:
        raise EvaluationError(
            f"A window of {max_length} tokens has nothing to predict.", hint="Take a longer one: 512 is usual."
        )
    documents = []
    remaining = tokens or None
    total = 0
    for document in text.documents:
        ids = tokenizer(document, add_special_tokens=False, verbose=False)["input_ids"]
        total += len(ids)
        if remaining is not None:
            ids = ids[: remaining + (not prefix)]
        if document_windows := windows(ids, prefix, max_length):
            documents.append(document_windows)
        if remaining is not None:
            remaining -= sum(window.predicted for window in document_windows)
            if remaining <= 0:
                break
    if not documents:
        raise EvaluationError(
            f"{text.name} has {total} token{'' if total == 1 else 's'}: there is no next token to predict.",
            hint="Take a longer text.",
        )
    return Plan(tuple(documents))


def prefix_ids(tokenizer: Any) -> tuple[int, ...]:
    """Return the ids that the tokenizer puts before every text: a begin-of-sequence id, or none."""
    bare = tokenizer(SAMPLE_TEXT, add_special_tokens=False)["input_ids"]
    full = tokenizer(SAMPLE_TEXT)["input_ids"]
    return tuple(full[: full.index(bare[0])])


def windows(ids: Sequence[int], prefix: Sequence[int], max_length: int) -> tuple[Window, ...]:
    """Cut the ids of one document into windows.

    Every window begins with the prefix. Without a prefix the first token of a document is not predicted, and each
    further window begins with the last token of the previous one, so that every other token is predicted.
    """
    room, shared = max_length - len(prefix), 0 if prefix else 1
    cut = []
    for start in range(0, max(0, len(ids) - shared), room - shared):
        part = ids[start : start + room]
        cut.append(Window((*prefix, *part), len(part) - shared))
    return tuple(cut)


class DocumentFiles:
    """One variant's documents by number, each an .npz that is written to a temporary name and renamed.

    The folder's name must include everything that could change a number: nothing is checked here.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, number: int) -> DocumentDivergence | None:
        """Return a document; None if its file is missing or damaged."""
        try:
            with self._file(number).open("rb") as opened, np.load(opened) as arrays:
                return DocumentDivergence(**{name: arrays[name] for name in _FILE_FIELDS})
        except (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def write(self, number: int, document: DocumentDivergence) -> None:
        arrays = io.BytesIO()
        np.savez(arrays, **{name: getattr(document, name) for name in _FILE_FIELDS})
        write_whole(self._file(number), arrays.getvalue())

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:05d}.npz"

    @property
    def loaded(self) -> Loaded | None:
        """Facts of the model from when it was last loaded; None if it never was."""
        try:
            return Loaded.from_dict(json.loads((self._folder / LOADED).read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    @loaded.setter
    def loaded(self, facts: Loaded) -> None:
        write_whole(self._folder / LOADED, json.dumps(facts.as_dict()))
