"""Samples of a data set on the hub, streamed: only its first HUB_ROWS rows are read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from playground.errors import HubUnreachable, InvalidCalibration, InvalidRequest, PlaygroundError
from playground.settings import settings
from playground.texts.rows import Sample, sample

HUB_ROWS = 4096
TIMEOUT_S = 10.0
_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_NAME = re.compile(rf"(?P<repo>{_PART}/{_PART})(?::(?P<first>{_PART}))?(?::(?P<second>{_PART}))?")
_QUOTED = re.compile(r"'([^']+)'")
_SPLIT = re.compile(r"(?:train|test|valid|validation|dev)(?:[._-].*)?")
INSTEAD = "Use bundled, or a .jsonl or .txt file."


@dataclass(frozen=True, slots=True)
class Dataset:
    """The name of a data set; `config` "" is the default one."""

    repo: str
    config: str = ""
    split: str = "train"


def parse(source: str) -> Dataset | None:
    """Parse `owner/name[:config][:split]`; None for other text. A single part like train… is a split."""
    match = _NAME.fullmatch(source)
    if match is None or ".." in source:
        return None
    repo, first, second = match["repo"], match["first"] or "", match["second"] or ""
    if second or not _SPLIT.fullmatch(first):
        return Dataset(repo, first, second or "train")
    return Dataset(repo, split=first)


def check(source: str, otherwise: str) -> str:
    """`source` itself when it names a data set of the hub, else InvalidRequest with what to do `otherwise`."""
    if parse(source) is None:
        raise InvalidRequest(
            f"{source[:80]!r} is no data set of the hub." if source else "No data set is named.",
            hint=f"Write owner/name, {otherwise}.",
        )
    return source


def read(dataset: Dataset) -> Iterator[Sample | None]:
    """The first rows of a data set, None for one that cannot be used. Raises HubUnreachable, InvalidCalibration.

    Requests the commit from the hub first: `datasets` alone retries for 25 s if there is no connection.
    """
    if settings().offline:
        raise HubUnreachable(
            f"The data set {dataset.repo} is on the hub, and PLAYGROUND_OFFLINE is set.", hint=f"Unset it. {INSTEAD}"
        )
    import datasets
    from huggingface_hub import HfApi

    try:
        commit = HfApi().dataset_info(dataset.repo, timeout=TIMEOUT_S).sha
        stream = datasets.load_dataset(
            dataset.repo, dataset.config or None, split=dataset.split, revision=commit, streaming=True
        )
        for number, row in enumerate(stream.take(HUB_ROWS), 1):
            yield sample(row, f"Row {number} of {dataset.repo}")
    except PlaygroundError:
        raise
    except Exception as error:  # the library raises whatever its readers and the network raise
        raise _typed(error, dataset) from error


def _typed(error: Exception, dataset: Dataset) -> PlaygroundError:
    """Our error for an exception of `datasets` or the hub."""
    import httpx
    from datasets import exceptions
    from huggingface_hub import errors

    name = dataset.repo
    is_missing = isinstance(error, exceptions.DatasetNotFoundError)
    if isinstance(error, errors.GatedRepoError) or (is_missing and "gated" in str(error)):
        return InvalidCalibration(
            f"The data set {name} wants you to accept its terms.",
            hint="Accept them on its page on the hub, then set HF_TOKEN or run `hf auth login`.",
        )
    if isinstance(error, errors.RepositoryNotFoundError) or is_missing:
        return InvalidCalibration(
            f"The hub has no data set {name}, or it is private.",
            hint=f"Check the name; if it is private, set HF_TOKEN or run `hf auth login`. {INSTEAD}",
        )
    if isinstance(error, errors.HfHubHTTPError):
        return HubUnreachable(
            f"The hub answered {error.response.status_code} for the data set {name}.", hint=f"Try again. {INSTEAD}"
        )
    if isinstance(error, ConnectionError | httpx.HTTPError | errors.OfflineModeIsEnabled | TimeoutError):
        return HubUnreachable(
            f"The hub cannot be reached for the data set {name}.", hint=f"Check the connection. {INSTEAD}"
        )
    listed = ", ".join(_QUOTED.findall(str(error).partition("vailable")[2])[:20])  # from the library's message
    if isinstance(error, ValueError) and ("BuilderConfig" in str(error) or "onfig name is missing" in str(error)):
        configurations = f"no configuration {dataset.config!r}" if dataset.config else "several configurations"
        return InvalidCalibration(
            f"The data set {name} has {configurations}.", hint=f"Write {name}:config:split; it has: {listed}."
        )
    if isinstance(error, ValueError) and "split" in str(error):
        return InvalidCalibration(
            f"The data set {name} has no split {dataset.split!r}.", hint=f"Write {name}:split; it has: {listed}."
        )
    return InvalidCalibration(
        f"The data set {name} cannot be read ({type(error).__name__}).",
        hint=f"It may need code of its own, which is not run here. {INSTEAD}",
    )
