"""How far variants moved from their reference, on a text: teacher-forced, over the full vocabulary, in FP32.

Both read the same token ids in this process, window by window, and only six numbers of each token are kept. The
reference stays loaded, the variants come one after the other; logits live as long as their window. Windows are cut so
that each token is predicted exactly once.

What was measured of each document is in a file of its own: whoever is killed loses the document at hand and no other.
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
from playground.core import Loaded, LoadSpec, Progress
from playground.errors import DifferentTokenizer, EvaluationError, OutOfMemory
from playground.files import write_whole
from playground.metrics.divergence import DocumentDivergence, summarize
from playground.metrics.token_divergence import TokenDivergence, token_divergence
from playground.texts.prose import Text

if TYPE_CHECKING:
    from playground.engines.host.loading import DeviceMemory

NOISE_FLOOR = "noise-floor"
TOKENS = 8192  # of the bundled prose: about half, with all its domains
MAX_LENGTH = 512
HEADROOM = 512 * 2**20  # bytes for the logits of one window, twice, and what a forward pass needs
REPORT_S = 0.5
_FIELDS = tuple(field.name for field in fields(TokenDivergence))
PROBE = "a"  # any word: what a tokenizer puts before it, it puts before every text
LOADED = "loaded.json"
_FILE_FIELDS = tuple(field.name for field in fields(DocumentDivergence))


class Report(Protocol):
    """What hears how far it is: `jobs.progress.Report`, for one."""

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
    """Rows as `metrics.divergence.summarize` writes them: the reference, the noise floor, then the variants in order.

    tokens      to predict at most, from the text's beginning; 0: all
    folder      keeps what is done, document by document, for whoever measures the same again. Its name must say all
                that could change a number and is not in the arguments: the weights, the device, the packages
    max_length  tokens of a window
    on_loaded   hears what is known of each model, the reference first; of one that is not needed any more, what was
                known when it was

    Raises DifferentTokenizer, EvaluationError, OutOfMemory and what loading raises.
    """
    from playground.engines.host.loading import DeviceMemory, device_of_choice

    report.progress(Progress("reading the tokenizers"))
    wanted = plan_windows(text, common_tokenizer(reference, others), tokens, max_length)
    if tokens and wanted.tokens < tokens:
        report.note(f"{text.name} has {wanted.tokens:,} tokens to predict; {tokens:,} were asked for.")

    def files(side: LoadSpec) -> DocumentFiles:
        return DocumentFiles(folder / _fingerprint(reference, side, text.hash, tokens, max_length))

    loader = _Loader(DeviceMemory(device_of_choice()), report, wanted)
    held = _Reference(reference, files(reference), loader)
    sides = [noise_floor(reference), *others]
    rows: list[dict[str, Any]] = []
    for number, side in enumerate(sides, 1):
        stage = f"comparing {side.id} ({number} of {len(sides)})"
        documents = _complete(held, side, files(side), wanted, loader, stage)
        if not rows:
            rows.append(summarize(reference.id, [_to_itself(document) for document in documents]))
        on_loaded(_known(files(reference if side.id == NOISE_FLOOR else side)))
        rows.append(summarize(side.id, documents))
    return rows


def noise_floor(reference: LoadSpec) -> LoadSpec:
    """The same weights through another numeric path: what two computations of one model differ by."""
    dtype = other_path(reference.dtype)
    size = 2 * reference.weight_bytes if dtype == "float32" else reference.weight_bytes // 2
    return replace(reference, id=NOISE_FLOOR, dtype=dtype, weight_bytes=size)


def other_path(dtype: str) -> str:
    """The type that the noise floor computes in, where the reference computes in `dtype`."""
    return "bfloat16" if dtype == "float32" else "float32"


def common_tokenizer(reference: LoadSpec, others: Sequence[LoadSpec]) -> Any:
    """The reference's tokenizer, which cuts the text for all. Raises DifferentTokenizer, BrokenCheckpoint.

    Two that are written differently may still be one: a GGUF file keeps the vocabulary and rebuilds the rest. What
    counts is that each id means the same token.
    """
    from playground.engines.host.loading import tokenizer_hash, tokenizer_of

    own = tokenizer_of(reference.path)
    for other in others:
        its = tokenizer_of(other.path)
        if tokenizer_hash(its) != tokenizer_hash(own) and its.get_vocab() != own.get_vocab():
            raise DifferentTokenizer(
                f"{other.id} and {reference.id} have different tokenizers ({len(its):,} and {len(own):,} tokens): "
                "their distributions are over different things and cannot be compared.",
                hint="Compare a variant with the model that it was made from.",
            )
    return own


class _Loader:
    """Loads one model after the other; of what nobody holds any more the memory is given back first."""

    def __init__(self, memory: DeviceMemory, report: Report, wanted: Plan) -> None:
        self.report = report
        self._memory, self._longest, self._ids = memory, wanted.longest, wanted.ids

    def load(self, spec: LoadSpec, files: DocumentFiles) -> Any:
        """The model. Raises OutOfMemory, EvaluationError for windows that are too long, and InvalidRequest for tokens
        without an embedding; beside it what loading raises."""
        from playground.engines.host.active import refuse_unknown_ids
        from playground.engines.host.loading import load, tokenizer_of

        self._memory.release()
        needed, free = spec.weight_bytes + HEADROOM, self._memory.free()
        if needed > free:
            raise OutOfMemory(
                f"{spec.id} needs {formatting.size(needed)} and {formatting.size(free)} are free.",
                hint="Unload other models, or choose a smaller one.",
            )

        def told(item: Progress) -> None:
            self.report.progress(replace(item, stage=f"loading {spec.id}: {item.stage.lower()}"))

        resident = load(spec, self._memory, told, tokenizer_of(spec.path))
        if resident.facts.context < self._longest:
            raise EvaluationError(
                f"{spec.id} reads {resident.facts.context:,} tokens at once, less than a window of {self._longest:,}.",
                hint="Take shorter windows.",
            )
        refuse_unknown_ids(resident.model, self._ids)
        files.loaded = resident.facts
        return resident.model


class _Reference:
    """The reference, loaded when it is first needed, and then held."""

    def __init__(self, spec: LoadSpec, files: DocumentFiles, loader: _Loader) -> None:
        self.spec = spec
        self._files, self._loader = files, loader
        self._model: Any = None

    @property
    def model(self) -> Any:
        if self._model is None:
            self._model = self._loader.load(self.spec, self._files)
        return self._model


def _complete(
    reference: _Reference, side: LoadSpec, files: DocumentFiles, wanted: Plan, loader: _Loader, stage: str
) -> list[DocumentDivergence]:
    """All documents of one side: those that were measured before, and the others now."""
    found = [files.read(number) for number in range(len(wanted.documents))]
    missing = [number for number, document in enumerate(found) if document is None]
    if missing:
        models = reference.model, loader.load(side, files)
        told = _Told(loader.report, stage, wanted, missing)
        for number in missing:
            parts = []
            for window in wanted.documents[number]:
                parts.append(_compare(*models, window, (reference.spec.id, side.id)))
                told.more(window.predicted)
            found[number] = document = _joined(parts)
            files.write(number, document)
    return [document for document in found if document is not None]


def _compare(reference: Any, other: Any, window: Window, names: tuple[str, str]) -> TokenDivergence:
    import torch

    with torch.inference_mode():
        ids = torch.tensor([window.ids], device=reference.device)
        rows = slice(-window.predicted - 1, -1)  # what was said before each token that is predicted
        of_reference = reference(input_ids=ids, use_cache=False).logits[0, rows]
        of_other = other(input_ids=ids, use_cache=False).logits[0, rows]
        if of_reference.shape != of_other.shape:
            raise DifferentTokenizer(
                f"{names[0]} chooses among {of_reference.shape[-1]:,} words and {names[1]} among "
                f"{of_other.shape[-1]:,}: their distributions cannot be compared.",
                hint="Compare a variant with the model that it was made from.",
            )
        return token_divergence(of_reference, of_other, ids[0, -window.predicted :])


def _joined(parts: Sequence[TokenDivergence]) -> DocumentDivergence:
    """The windows of one document as arrays."""
    return DocumentDivergence(
        **{name: np.concatenate([getattr(part, name).numpy() for part in parts]) for name in _FIELDS}
    )


def _to_itself(document: DocumentDivergence) -> DocumentDivergence:
    """What the reference's own row is made of: no divergence, by definition."""
    zero = np.zeros_like(document.kld)
    return replace(document, kld=zero, dp=zero, nll=document.nll_reference, agrees=np.ones_like(document.agrees))


def _known(files: DocumentFiles) -> Loaded:
    facts = files.loaded
    if facts is None:
        raise EvaluationError("Facts of a model that was measured before are gone.", hint="Measure again.")
    return facts


def _fingerprint(reference: LoadSpec, side: LoadSpec, *rest: str | int) -> str:
    return hashlib.sha256(json.dumps([asdict(reference), asdict(side), *rest]).encode()).hexdigest()[:16]


class _Told:
    """Tells how many tokens of a side are done, now and then."""

    def __init__(self, report: Report, stage: str, wanted: Plan, missing: Sequence[int]) -> None:
        self._report, self._stage, self._total = report, stage, wanted.tokens
        left = sum(window.predicted for number in missing for window in wanted.documents[number])
        self._done = self._total - left
        self._said = 0.0
        self.more(0)

    def more(self, tokens: int) -> None:
        self._done += tokens
        if self._done == self._total or time.monotonic() - self._said > REPORT_S:
            self._said = time.monotonic()
            self._report.progress(Progress(self._stage, self._done, self._total, "tokens"))


# Windows of a text.


@dataclass(frozen=True, slots=True)
class Window:
    """One forward pass: the model reads `ids` and predicts the last `predicted` of them."""

    ids: tuple[int, ...]
    predicted: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: the windows of each document, documents with nothing to predict left out."""

    documents: tuple[tuple[Window, ...], ...]

    @property
    def tokens(self) -> int:
        """How many are predicted."""
        return sum(window.predicted for document in self.documents for window in document)

    @property
    def ids(self) -> frozenset[int]:
        """The token ids that are read."""
        return frozenset(i for document in self.documents for window in document for i in window.ids)

    @property
    def longest(self) -> int:
        """Tokens of the longest window."""
        return max(len(window.ids) for document in self.documents for window in document)


def plan_windows(text: Text, tokenizer: Any, tokens: int, max_length: int) -> Plan:
    """The first documents of a text, `tokens` to predict at most (0: all), in windows of `max_length` at most.

    Raises EvaluationError where there is nothing to predict.
    """
    prefix = beginning(tokenizer)
    if max_length < len(prefix) + 2:
        raise EvaluationError(
            f"A window of {max_length} tokens has nothing to predict.", hint="Take a longer one: 512 is usual."
        )
    documents = []
    left = tokens or None
    seen = 0
    for document in text.documents:
        ids = tokenizer(document, add_special_tokens=False, verbose=False)["input_ids"]
        seen += len(ids)
        if left is not None:
            ids = ids[: left + (not prefix)]
        if found := windows(ids, prefix, max_length):
            documents.append(found)
        if left is not None:
            left -= sum(window.predicted for window in found)
            if left <= 0:
                break
    if not documents:
        raise EvaluationError(
            f"{text.name} has {seen} token{'' if seen == 1 else 's'}: there is no next token to predict.",
            hint="Take a longer text.",
        )
    return Plan(tuple(documents))


def beginning(tokenizer: Any) -> tuple[int, ...]:
    """What the tokenizer puts before every text: a begin-of-sequence id, or nothing."""
    bare = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    full = tokenizer(PROBE)["input_ids"]
    return tuple(full[: full.index(bare[0])])


def windows(ids: Sequence[int], prefix: Sequence[int], max_length: int) -> tuple[Window, ...]:
    """Cut the ids of one document.

    Every window begins with the prefix. Without one the first token of a document is not predicted, and each further
    window begins with the last token of the one before, so that no other token is left out.
    """
    room, shared = max_length - len(prefix), 0 if prefix else 1
    found = []
    for start in range(0, max(0, len(ids) - shared), room - shared):
        part = ids[start : start + room]
        found.append(Window((*prefix, *part), len(part) - shared))
    return tuple(found)


class DocumentFiles:
    """One variant's documents by number, each one .npz; written aside and renamed, so that a file is whole or absent.

    The folder's name must say everything that could change a number: nothing is checked here.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, number: int) -> DocumentDivergence | None:
        """None where it has yet to be measured, or its file is damaged."""
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
        """What is known of the model that measured; None before it was loaded for the first time."""
        try:
            return Loaded.from_dict(json.loads((self._folder / LOADED).read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    @loaded.setter
    def loaded(self, facts: Loaded) -> None:
        write_whole(self._folder / LOADED, json.dumps(facts.as_dict()))
