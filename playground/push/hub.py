"""Push a plan to one repository on the hub, in one commit, so that the hub has all of a variant or nothing.

The upload runs in a child process, which can be ended at any time. The token goes through a pipe and is nowhere else:
in no argument, environment, file, log or error. `typed` turns errors of the hub and its library into our own.
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

QUIET_S = 60.0  # timeout of a response
SETTINGS_PAGE = "huggingface.co/settings/tokens"
_TOKEN = re.compile(r"[\x21-\x7e]{1,512}")
RETRY = "push again: what has arrived is not sent twice."
LONGEST = 300  # characters of the hub's own words


@dataclass(frozen=True, slots=True)
class Pushed:
    """A variant on the hub.

    url      the repository's page
    commit   its new commit
    private  as the hub reports it: an existing repository keeps its visibility
    bytes    of all files
    sent     bytes that the hub did not have yet
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
    """Create the repository if there is none, upload, commit.

    replace  delete other files of an existing repository; its history keeps them
    quiet_s  timeout of a response

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
        uploaded = process.run(
            "playground.push.upload", [], report, stop, f"Pushing {plan.repository}", json.dumps(request)
        )
    except PlaygroundError as error:
        refused = _without(error, token)
    if refused is not None:  # raised outside of `except`, so that the original error is not its __context__
        raise refused
    return Pushed(plan.repository, files=len(plan.files.names), bytes=plan.bytes, **uploaded)


def check_online() -> None:
    """Raises HubUnreachable if the settings forbid requests to the hub."""
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
    """The same error without the token. A plain CatalogError, which is unexpected here, becomes a PushError."""
    kind = PushError if type(error) is CatalogError else type(error)
    message, hint, log_tail = (text.replace(token, "…") for text in (error.message, error.hint, error.log_tail))
    return kind(message, hint=hint, log_tail=log_tail)


# Errors.


def typed(error: Exception, repository: str) -> PlaygroundError:
    """Our error for an error of the hub or its library while pushing to `repository`."""
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
    """The hub's message in an error response; "" without one."""
    return " ".join(str(getattr(error, "server_message", None) or "").split())[:LONGEST]


def _refusal(status: int, server_message: str, repository: str) -> PlaygroundError:
    words = f" It says: {server_message}" if server_message else ""
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
    """The error for a failed connection. If it broke while `committing`, the commit may have succeeded."""
    import httpx

    timed_out = isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout)
    unconnected = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    if timed_out:
        message = "The hub stopped answering."
    else:
        message = "The hub cannot be reached." if unconnected else "The connection broke."
    if committing and not unconnected:
        return HubUnreachable(message, hint="It may have taken the commit all the same: look at the repository first.")
    return HubUnreachable(message, hint=f"Check the connection, then {RETRY}")
