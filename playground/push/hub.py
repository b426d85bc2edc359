"""A plan goes to the hub: one repository, one commit, so that the hub has all of a variant or nothing of it.

The upload runs in a child process, which can be ended at once wherever it is. The token reaches it through a pipe and
is nowhere else: in no argument, environment, file, log or error. What the hub and its library say about an upload
becomes our errors (`typed`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass

from playground import process
from playground.core import Progress
from playground.errors import (
    CatalogError,
    HubUnreachable,
    MissingToken,
    NameTaken,
    NoRights,
    PlaygroundError,
    PushError,
    WrongToken,
)
from playground.push.plan import README, Plan, check_repository
from playground.settings import settings

QUIET_S = 60.0  # as long as the hub may say nothing
SETTINGS_PAGE = "huggingface.co/settings/tokens"
_TOKEN = re.compile(r"[\x21-\x7e]{1,512}")
RETRY = "push again: what has arrived is not sent twice."
LONGEST = 300  # characters of the hub's own words


@dataclass(frozen=True, slots=True)
class Pushed:
    """What is on the hub now.

    url      the repository's page
    commit   its new commit
    private  as the hub says: a repository that was there keeps what it was
    bytes    of all files; `sent`: those of them that the hub did not have yet
    """

    repository: str
    url: str
    commit: str
    private: bool
    files: int
    bytes: int
    sent: int

    def as_row(self) -> dict[str, object]:
        """The documented JSON of `push`."""
        return asdict(self)


def push(
    plan: Plan,
    token: str,
    *,
    private: bool = True,
    replace: bool = False,
    report: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    quiet_s: float = QUIET_S,
) -> Pushed:
    """Create the repository where there is none, upload, commit.

    replace  a repository that holds something else gets these files instead; its history keeps the others

    Raises MissingToken, WrongToken, NoRights, NameTaken, HubUnreachable, PushError, InvalidRequest, Cancelled.
    """
    check_repository(plan.repository)
    _check(token)
    check_online()
    request = {
        "token": token,
        "repository": plan.repository,
        "private": private,
        "replace": replace,
        "paths": {name: str(path) for name, path in plan.files.paths.items()},
        "texts": {**plan.files.texts, README: plan.card},
        "message": f"{plan.variant.rpartition(':')[2]}, made with Quantization Playground",
        "quiet_s": quiet_s,
    }
    refused: PlaygroundError | None = None
    try:
        found = process.run(
            "playground.push.upload", [], report, stop, f"Pushing {plan.repository}", json.dumps(request)
        )
    except PlaygroundError as error:
        refused = _without(error, token)
    if refused is not None:  # raised out here: else the first error, as it came, would hang on it
        raise refused
    return Pushed(plan.repository, files=len(plan.files.names), bytes=plan.bytes, **found)


def check_online() -> None:
    """Raises HubUnreachable where this machine was told not to ask the hub."""
    from huggingface_hub import constants

    variable = "PLAYGROUND_OFFLINE" if settings().offline else "HF_HUB_OFFLINE"
    if settings().offline or constants.is_offline_mode():
        raise HubUnreachable(
            f"{variable} is set, so nothing is sent to the hub.", hint="Unset it, start again and push once more."
        )


def _check(token: str) -> None:
    if not token:
        raise MissingToken(
            "No token was given.", hint=f"Make one with write access at {SETTINGS_PAGE}; it is used once and not kept."
        )
    if not _TOKEN.fullmatch(token):
        raise WrongToken("That is not a token.", hint=f"Copy it whole, without spaces, from {SETTINGS_PAGE}.")


def _without(error: PlaygroundError, token: str) -> PlaygroundError:
    """The same error, whatever the hub or the library put into it. One that nobody foresaw is a PushError."""
    kind = PushError if type(error) is CatalogError else type(error)
    message, hint, log_tail = (text.replace(token, "…") for text in (error.message, error.hint, error.log_tail))
    return kind(message, hint=hint, log_tail=log_tail)


# Errors.


def typed(error: Exception, repository: str) -> PlaygroundError:
    """The typed error for what went wrong while pushing to `repository`."""
    import httpx
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, PlaygroundError):
        return error
    if isinstance(error, HfHubHTTPError):
        return _refusal(error.response.status_code, _server_message(error), repository)
    if isinstance(error, httpx.TransportError):
        return unreachable(error)
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):  # how the library wraps an upload
        return typed(error.__cause__, repository)
    if isinstance(error, OSError):
        return PushError(f"A file could not be read: {error.strerror}.", hint="Is the variant still there?")
    return PushError(f"The push failed: {str(error)[:LONGEST] or type(error).__name__}", hint=f"You can {RETRY}")


def _server_message(error: Exception) -> str:
    """The hub's own words, "" without any."""
    return " ".join(str(getattr(error, "server_message", None) or "").split())[:LONGEST]


def _refusal(status: int, said: str, repository: str) -> PlaygroundError:
    words = f" It says: {said}" if said else ""
    owner = repository.partition("/")[0]
    if status == 401:
        return WrongToken("The hub does not know this token.", hint="It was revoked, or a character of it is missing.")
    if status in (403, 404):
        return NoRights(
            f"This token may not write to {repository}.{words}",
            hint=f"Use one with write access to {owner}, or push under your own name.",
        )
    if status in (409, 412):
        return NameTaken(f"{repository} changed on the hub meanwhile.{words}", hint="Push again.")
    return PushError(f"The hub refused it ({status}).{words}", hint="Nothing was changed there.")


def unreachable(error: Exception, *, committing: bool = False) -> HubUnreachable:
    """No answer: none at all, or one that broke off. After a commit was sent nobody here knows what became of it."""
    import httpx

    silent = isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout)
    lost = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    what = "The hub stopped answering." if silent else "The hub cannot be reached." if lost else "The connection broke."
    if committing and not lost:
        return HubUnreachable(what, hint="It may have taken the commit all the same: look at the repository first.")
    return HubUnreachable(what, hint=f"Check the connection, then {RETRY}")
