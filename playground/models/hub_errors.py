"""The hub library's exceptions as ours: one sentence, and what to do."""

from __future__ import annotations

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
from playground.models.names import BUNDLED, HUB_MODELS

LOG_IN = "set HF_TOKEN or run `hf auth login`"


def typed(error: Exception, repo: str, revision: str | None = None) -> PlaygroundError:
    """The typed error for what the hub said about `repo`."""
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
    """The hub does not answer, or must not be asked, and the cache does not hold what is needed."""
    return HubUnreachable(
        f"The hub cannot be reached, and {repo} is not completely on this machine.",
        hint=f"Check the connection, or use {BUNDLED} or a local folder.",
    )
