"""Models on the hub: described from their config and headers, downloaded at a pinned commit.

Endpoint, cache folder, token and offline mode are the hub library's settings. Its exceptions are converted by `typed`.
Its cache folder says which revisions are cached and at which commit a branch was.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playground import process
from playground.core import Progress
from playground.errors import (
    BrokenCheckpoint,
    CatalogError,
    GatedModel,
    HubUnreachable,
    PlaygroundError,
    UnknownModel,
    UnsupportedModel,
)
from playground.methods import did_you_mean
from playground.metrics import weights
from playground.metrics.weights import Tensor
from playground.models import checkpoint, gguf
from playground.models.checkpoint import Checkpoint
from playground.models.names import BUNDLED, HUB_MODELS, Model
from playground.settings import settings

TIMEOUT_S = 5.0
FRESH_S = 300.0  # how long a branch's commit is cached
FIRST_READ = 256 << 10  # bytes; holds the header of most shards
INDEX = "model.safetensors.index.json"
_TOKENIZER = re.compile(r"[\w.-]+\.(json|jinja|model|txt|tiktoken)")
_SKIPPED = re.compile(r"(.*\.index\.json|README.*|LICENSE.*|.*eval.*|requirements.*)")


LOG_IN = "set HF_TOKEN or run `hf auth login`"
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit: bytes by file name; the licence of its card, "" without one."""

    repo: str
    commit: str
    files: Mapping[str, int]
    license: str = ""


_listings: dict[tuple[str, str, str | None], tuple[float, Listing]] = {}
_described: dict[tuple[str, str], Checkpoint] = {}


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


@contextmanager
def _hub_errors(model: Model) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise typed(error, model.repo, model.revision) from error


def _offline() -> bool:
    from huggingface_hub import constants

    return settings().offline or constants.is_offline_mode()


def listing(model: Model) -> Listing:
    """Return files and commit of a repository, cached for FRESH_S. Raises CatalogError."""
    key = (_endpoint(), model.repo, model.revision)
    cached = _listings.get(key)
    if cached is not None and time.monotonic() - cached[0] < FRESH_S:
        return cached[1]
    if _offline():
        raise unreachable(model.repo)
    from huggingface_hub import HfApi

    with _hub_errors(model):
        info = HfApi(endpoint=key[0]).model_info(
            model.repo, revision=model.revision, files_metadata=True, timeout=TIMEOUT_S
        )
    files = {entry.rfilename: entry.size or 0 for entry in info.siblings or ()}
    if info.sha is None or not COMMIT.fullmatch(info.sha):
        raise HubUnreachable(f"The hub named no commit for {model.repo}.", hint="Try again later.")
    license_ = getattr(info.card_data, "license", None)
    result = Listing(model.repo, info.sha, files, license_ if isinstance(license_, str) else "")
    _listings[key] = (time.monotonic(), result)
    return result


def _from_cache(model: Model) -> Checkpoint | None:
    """Describe the cached copy; None unless it is complete."""
    cached = snapshot(model)
    if cached is None:
        return None
    path, commit = cached
    try:
        source = f"hub, commit {commit[:7]}"
        if model.file:
            return checkpoint.from_gguf(model.name, path, source, commit)
        return checkpoint.from_folder(model.name, path, source, commit)
    except BrokenCheckpoint:
        return None


def open_checkpoint(model: Model) -> Checkpoint:
    """Describe a repository without its weights, or the cached copy if the hub is unreachable. Raises CatalogError."""
    if model.revision and COMMIT.fullmatch(model.revision) and (cached := _from_cache(model)) is not None:
        return cached
    try:
        listed = listing(model)
        key = (model.name, listed.commit)
        if key not in _described:
            _described[key] = _describe_gguf(model, listed) if model.file else _describe(model, listed)
        return _described[key]
    except HubUnreachable:
        if (cached := _from_cache(model)) is not None:
            return cached
        raise


def _describe(model: Model, listed: Listing) -> Checkpoint:
    config, generation = checkpoint.screen(model.name, list(listed.files), lambda name: _small(model, listed, name))
    source = f"hub, commit {listed.commit[:7]}"
    if "model.safetensors" in listed.files:
        tensors = _remote_header(model, listed, "model.safetensors")
    else:
        shards = _shards(model, listed)
        with ThreadPoolExecutor(8) as pool:
            headers = pool.map(lambda name: _remote_header(model, listed, name), sorted(set(shards.values())))
            headers_by_shard = dict(zip(sorted(set(shards.values())), headers, strict=True))
        tensors = weights.merge_shards(shards, headers_by_shard, INDEX)
    return checkpoint.assemble(model.name, model.repo, config, tensors, source, listed.commit, generation)


def _shards(model: Model, listed: Listing) -> dict[str, str]:
    shards = weights.parse_index(_small(model, listed, INDEX), INDEX)
    if missing := sorted(set(shards.values()) - set(listed.files)):
        raise BrokenCheckpoint(
            f"{model.repo} lacks {len(missing)} of its weight files, {missing[0]} first.", hint="Use another revision."
        )
    return shards


def _describe_gguf(model: Model, listed: Listing) -> Checkpoint:
    size = _file_bytes(model, listed)
    data, end = b"", min(size, 4 << 20)
    while True:
        data += _range(model, listed, model.file, len(data), end)
        try:
            header = gguf.parse_header(data, size, model.file)
            break
        except gguf.NeedMore as more:
            end = min(size, max(more.size, 2 * len(data)))
            if end > weights.MAX_HEADER:
                raise BrokenCheckpoint(f"The header of {model.file} is too large.", hint="Use another file.") from more
    source = f"hub, commit {listed.commit[:7]}"
    return checkpoint.from_gguf_header(model.name, f"{model.repo}/{model.file}", header, source, listed.commit)


def _file_bytes(model: Model, listed: Listing) -> int:
    if model.file not in listed.files:
        ggufs = [name for name in listed.files if name.endswith(".gguf")]
        raise UnknownModel(
            f"{model.repo} has no file {model.file}.", hint=f"It has: {', '.join(ggufs[:5]) or 'no GGUF files'}."
        )
    return listed.files[model.file]


def _small(model: Model, listed: Listing, name: str) -> bytes:
    size = listed.files[name]
    if size > checkpoint.MAX_JSON:
        raise BrokenCheckpoint(f"{name} of {model.repo} is too large to be a config file.")
    return _range(model, listed, name, 0, size) if size else b""


def _remote_header(model: Model, listed: Listing, name: str) -> list[Tensor]:
    size = listed.files[name]
    data = _range(model, listed, name, 0, min(size, FIRST_READ))
    length = weights.header_length(data, size, name)
    if 8 + length > len(data):
        data += _range(model, listed, name, len(data), 8 + length)
    return weights.parse_safetensors_header(data[8 : 8 + length], size, name)


def _range(model: Model, listed: Listing, name: str, begin: int, end: int) -> bytes:
    """Return bytes `begin` to `end` of a file. If the server ignores ranges, reading stops at `end`.

    Raises BrokenCheckpoint if the file is shorter, and what `typed` returns.
    """
    from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(model.repo, name, revision=listed.commit, endpoint=_endpoint())
    headers = {**build_hf_headers(), "Range": f"bytes={begin}-{end - 1}", "Accept-Encoding": "identity"}
    data = bytearray()
    with (
        _hub_errors(model),
        get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=2 * TIMEOUT_S) as response,
    ):
        if response.is_error:
            response.read()
        hf_raise_for_status(response)
        skip = 0 if response.status_code == 206 else begin
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) >= skip + end - begin:
                break
    if len(data) < skip + end - begin:
        raise BrokenCheckpoint(f"{name} of {model.repo} is shorter than the hub says.", hint="Try again later.")
    return bytes(data[skip : skip + end - begin])


def needed(model: Model, listed: Listing) -> dict[str, int]:
    """Return the files an engine needs, with sizes: safetensors, configs, tokenizer. Raises CatalogError."""
    if model.file:
        return {model.file: _file_bytes(model, listed)}
    small = [name for name in listed.files if _TOKENIZER.fullmatch(name) and not _SKIPPED.fullmatch(name)]
    if "model.safetensors" in listed.files:
        weights = ["model.safetensors"]
    else:
        weights = [INDEX, *sorted(set(_shards(model, listed).values()))]
    return {name: listed.files[name] for name in [*small, *weights]}


def is_downloaded(model: Model) -> bool:
    """Return whether `download` would fetch nothing; if the hub is unreachable, whether any weights are cached."""
    try:
        listed = listing(model)
    except HubUnreachable:
        return is_cached(model)
    cached = snapshot(Model(model.name, "hub", repo=model.repo, file=model.file, revision=listed.commit))
    return cached is not None and complete(cached[0], needed(model, listed))


def download(
    model: Model, report: Callable[[Progress], None], stop: Callable[[], bool], *, force: bool = False
) -> Path:
    """Download a model at the commit of its description; return its folder or `.gguf` file.

    Without the hub a complete cached copy is returned. Raises CatalogError, Cancelled.
    """
    try:
        listed = listing(model)
    except HubUnreachable:
        cached = snapshot(model)
        if cached is None or _from_cache(model) is None:
            raise
        return cached[0]
    files = needed(model, listed)
    cached = snapshot(Model(model.name, "hub", repo=model.repo, file=model.file, revision=listed.commit))
    if not force and cached is not None and complete(cached[0], files):
        return cached[0]
    request = {"repo": model.repo, "commit": listed.commit, "files": files, "force": force}
    fetched = process.run("playground.models.fetch", [json.dumps(request)], report, stop, f"Downloading {model.repo}")
    record_commit(model, listed.commit)
    return Path(fetched["path"])


# Errors.


def typed(error: Exception, repo: str, revision: str | None = None) -> PlaygroundError:
    """Return the PlaygroundError for an exception of the hub library."""
    import httpx
    from huggingface_hub import errors

    if isinstance(error, PlaygroundError):
        return error
    if isinstance(error, errors.GatedRepoError):
        return GatedModel(
            f"{repo} wants you to accept its terms before it can be downloaded.",
            hint=f"Accept them on its page on the hub, then {LOG_IN}.",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        near = did_you_mean(repo, HUB_MODELS).split(" Known:")[0]
        guess = f"{near} " if near.startswith("Did you mean") else ""
        return UnknownModel(
            f"The hub has no model {repo}, or it is private.",
            hint=f"{guess}Check the name; if it is private, {LOG_IN}.",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UnknownModel(
            f"{repo} has no revision {(revision or 'of that name')[:80]}.", hint="Check what follows the '@'."
        )
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return unreachable(repo)
    if isinstance(error, errors.EntryNotFoundError):
        return BrokenCheckpoint(f"A file of {repo} is missing on the hub.", hint="Check its page on the hub.")
    if isinstance(error, errors.DisabledRepoError):
        return UnsupportedModel(f"The hub has disabled {repo}.", hint="Choose another model.")
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return GatedModel(
                f"The hub does not let you read {repo}.", hint=f"To log in, {LOG_IN}; check the token's rights."
            )
        return HubUnreachable(
            f"The hub answered {status} for {repo}.", hint="Try again later; cached models still work."
        )
    if isinstance(error, errors.HFValidationError):
        return UnknownModel(f"{repo} is not a repository name.", hint="Use owner/name.")
    if isinstance(error, httpx.HTTPError):
        return unreachable(repo)
    if isinstance(error, OSError):
        return CatalogError(
            f"{repo} could not be stored: {error.strerror or 'the download was incomplete'}.", hint="Check the disk."
        )
    return CatalogError(f"{repo} could not be read from the hub ({type(error).__name__}).", hint="Try again.")


def unreachable(repo: str) -> HubUnreachable:
    """Return the error for a repository that is not cached while the hub is unreachable or offline mode is on."""
    return HubUnreachable(
        f"The hub cannot be reached, and {repo} is not completely on this machine.",
        hint=f"Check the connection, or use {BUNDLED} or a local folder.",
    )


# The cache.


def _store(model: Model) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{model.repo.replace('/', '--')}"


def snapshot(model: Model) -> tuple[Path, str] | None:
    """Return folder (or file) and commit of the cached copy of a revision, complete or not; None without one."""
    store = _store(model)
    commit = model.revision or "main"
    if not COMMIT.fullmatch(commit):
        try:
            commit = (store / "refs" / commit).read_text().strip()
        except OSError:
            return None
    folder = store / "snapshots" / commit
    path = folder / model.file if model.file else folder
    return (path, commit) if COMMIT.fullmatch(commit) and path.exists() else None


def is_cached(model: Model) -> bool:
    """Return whether weights of this revision are cached, judged by file names."""
    cached = snapshot(model)
    if cached is None:
        return False
    path = cached[0]
    return path.is_file() or (path / "model.safetensors").exists() or any(path.glob("model-*.safetensors"))


def complete(path: Path, files: Mapping[str, int]) -> bool:
    """Return whether every file exists with its size."""
    try:
        if path.is_file():
            return path.stat().st_size == next(iter(files.values()))
        return all((path / name).stat().st_size == size for name, size in files.items())
    except OSError:
        return False


def record_commit(model: Model, commit: str) -> None:
    """Store the commit of a branch as the hub library does, so that the branch's name works offline."""
    name = model.revision or "main"
    if COMMIT.fullmatch(name):
        return
    ref = _store(model) / "refs" / name
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text(commit)
