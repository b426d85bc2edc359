"""What the hub and its library say about an upload, as our errors: one sentence, and what to do."""

from __future__ import annotations

from playground.errors import HubUnreachable, NameTaken, NoRights, PlaygroundError, PushError, WrongToken

AGAIN = "push again: what has arrived is not sent twice."
LONGEST = 300  # characters of the hub's own words


def typed(error: Exception, repository: str) -> PlaygroundError:
    """The typed error for what went wrong while pushing to `repository`."""
    import httpx
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, PlaygroundError):
        return error
    if isinstance(error, HfHubHTTPError):
        return _refusal(error.response.status_code, _said(error), repository)
    if isinstance(error, httpx.TransportError):
        return unreachable(error)
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):  # how the library wraps an upload
        return typed(error.__cause__, repository)
    if isinstance(error, OSError):
        return PushError(f"A file could not be read: {error.strerror}.", hint="Is the variant still there?")
    return PushError(f"The push failed: {str(error)[:LONGEST] or type(error).__name__}", hint=f"You can {AGAIN}")


def _said(error: Exception) -> str:
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
    return HubUnreachable(what, hint=f"Check the connection, then {AGAIN}")
