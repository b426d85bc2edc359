"""The owner's login on a public page: a token becomes a cookie that scripts cannot read and other sites cannot send.

The token is compared in constant time and nowhere kept but in the settings; attempts are counted per visitor. What a
cookie holds is random, and only its hash is here: after a restart everybody logs in again.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass, field

import gradio as gr
from limits import parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from playground.errors import PlaygroundError, TooMany, WrongLogin
from playground.web.visitor import header, visitor

COOKIE = "playground_owner"
HEADER = "x-playground-token"
HOURS = 12
ATTEMPTS = parse_many("5/minute; 30/hour")
MOST = 100  # logins that hold at once


@dataclass
class Logins:
    """token: what the owner logs in with; "" where nobody can."""

    token: str = field(default="", repr=False)
    _until: dict[str, float] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _attempts: MovingWindowRateLimiter = field(
        default_factory=lambda: MovingWindowRateLimiter(MemoryStorage()), repr=False
    )

    def enter(self, token: str, who: str) -> str:
        """The value of the cookie. Raises WrongLogin, TooMany."""
        self._compare(token, who)
        made = secrets.token_urlsafe(32)
        with self._lock:
            now = time.monotonic()
            held = sorted((until, name) for name, until in self._until.items() if until > now)
            self._until = {name: until for until, name in held[-MOST + 1 :]}
            self._until[_hashed(made)] = now + HOURS * 3600
        return made

    def leave(self, request: gr.Request) -> None:
        with self._lock:
            for value in _cookies(request):
                self._until.pop(_hashed(value), None)

    def knows(self, request: gr.Request | None) -> bool:
        """Whether the request carries the cookie of a login, or the token itself in a header (a script's)."""
        if request is None or not self.token:
            return False
        with self._lock:
            now = time.monotonic()
            if any(self._until.get(_hashed(value), 0.0) > now for value in _cookies(request)):
                return True
        sent = header(request, HEADER)
        if len(sent) != 1:
            return False
        try:
            self._compare(sent[0], visitor(request))
        except PlaygroundError:
            return False
        return True

    def _compare(self, token: str, who: str) -> None:
        """Only wrong attempts count: the owner's script may ask as often as it likes."""
        if not all(self._attempts.test(window, who) for window in ATTEMPTS):
            raise TooMany("Too many attempts to log in.", hint="Wait a minute, then try again.")
        if self.token and hmac.compare_digest(_hashed(token), _hashed(self.token)):
            return
        for window in ATTEMPTS:
            self._attempts.hit(window, who)
        raise WrongLogin("That is not the owner’s token.", hint="It is what PLAYGROUND_OWNER_TOKEN was set to.")


def _hashed(text: str) -> str:
    """Of one length whatever the text's, so that comparing tells not even that."""
    return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()


def _cookies(request: gr.Request) -> list[str]:
    found = (request.cookies or {}).get(COOKIE)
    return [str(found)] if found else []
