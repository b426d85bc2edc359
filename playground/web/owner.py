"""The role of a request: owner, user (may generate) or viewer (may only look).

The owner sends requests from this machine; on a public page the owner has logged in with the owner's token, or on a
Space with one of the hub accounts in PLAYGROUND_OWNERS. Every function that changes stored state checks the role
itself, because a hidden button protects nothing. In doubt a request is refused: the command line always works.

After a login the browser has a cookie that scripts cannot read and other sites cannot send. The token is compared in
constant time and only kept in the settings; failed attempts are counted per visitor. The cookie's value is random, and
only its hash is kept, in memory: after a restart everybody logs in again.

`Rules` limit visitors of a public page: which models, how often, how many runs at once. They do not apply to the
owner. Visitors see names and numbers, but no path of this machine.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request

from playground import models
from playground.errors import (
    Cancelled,
    InvalidRequest,
    NotOffered,
    OutOfQuota,
    OwnerOnly,
    PlaygroundError,
    TooMany,
    WrongLogin,
)
from playground.models.address import split_engine
from playground.settings import settings
from playground.store import database
from playground.web.visitor import Asked, hub_login, hub_user, listed, loopback, name_of, plain, same, visitor

COOKIE = "playground_owner"
HEADER = "x-playground-token"
COMPARED = "playground.token"  # in the scope of a request: whether its header has the owner's token
HOURS = 12
ATTEMPTS = parse_many("5/minute; 30/hour")
MOST = 100  # logins that are valid at once
Role = Literal["viewer", "user", "owner"]
# Headers of a proxy: one on this machine connects from loopback for every visitor. Their values are not used.
FORWARDED = frozenset(
    ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip", "x-original-host")
)
OWNER_ONLY = "This is available to the owner only"
HINT_LOGIN = "Log in as the owner."
HINT_HERE = "Open the page on the machine that serves it."
_VARIANT = re.compile(r":[\w.-]+")
PANES = 4  # of a visitor's run, as many as the page shows
EACH = 2  # runs of a visitor at once, waiting ones included; several people may share an address
LINE = 16  # runs of visitors that may wait
POLL_S = 0.25


@dataclass
class Logins:
    """Logins by token, with cookies that expire. `token`: the owner's; "" if nobody can log in with one."""

    token: str = field(default="", repr=False)
    _until: dict[str, float] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _attempts: MovingWindowRateLimiter = field(
        default_factory=lambda: MovingWindowRateLimiter(MemoryStorage()), repr=False
    )

    def enter(self, token: str, visitor_key: str) -> str:
        """Log in and return the value of the cookie. Raises WrongLogin, TooMany."""
        self._compare(token, visitor_key)
        cookie = secrets.token_urlsafe(32)
        with self._lock:
            now = time.monotonic()
            logins = sorted((until, name) for name, until in self._until.items() if until > now)
            self._until = {name: until for until, name in logins[-MOST + 1 :]}
            self._until[_sha256(cookie)] = now + HOURS * 3600
        return cookie

    def leave(self, request: Request) -> None:
        with self._lock:
            for value in _cookies(request):
                self._until.pop(_sha256(value), None)

    def knows(self, asked: Asked) -> bool:
        """Return whether the request has a login's cookie or, from a script, the token in a header."""
        request = plain(asked)
        if request is None or not self.token:
            return False
        with self._lock:
            now = time.monotonic()
            if any(self._until.get(_sha256(value), 0.0) > now for value in _cookies(request)):
                return True
        tokens = request.headers.getlist(HEADER)
        if len(tokens) != 1:
            return False
        if COMPARED not in request.scope:  # once a request, however often it is asked who sent it
            try:
                self._compare(tokens[0], visitor(request))
                request.scope[COMPARED] = True
            except PlaygroundError:
                request.scope[COMPARED] = False
        return bool(request.scope[COMPARED])

    def guesses(self, visitor_key: str) -> bool:
        """Return whether so many wrong tokens came from there that the next one has to wait its turn (`Gate`)."""
        return not all(self._attempts.test(window, visitor_key) for window in ATTEMPTS)

    def _compare(self, token: str, visitor_key: str) -> None:
        """Raise WrongLogin or, for further wrong ones, TooMany. The right token is never refused.

        What others at the owner's address guess would lock the owner out otherwise. What keeps guessing slow is the
        turn that all who guess wait for together (`gate.TURN_S`).
        """
        if self.token and hmac.compare_digest(_sha256(token), _sha256(self.token)):
            return
        if self.guesses(visitor_key):
            raise TooMany("Too many attempts to log in.", hint="Wait a minute, then try again.")
        for window in ATTEMPTS:
            self._attempts.hit(window, visitor_key)
        raise WrongLogin("That is not the owner’s token.", hint="The person who started this page has set it.")


def _sha256(text: str) -> str:
    """Return the digest in hex: of constant length, so that comparing it does not reveal the length of the text."""
    return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()


def _cookies(request: Request) -> list[str]:
    value = request.cookies.get(COOKIE)
    return [str(value)] if value else []


@dataclass(frozen=True, slots=True)
class Owner:
    """Decides which requests to one served page are the owner's.

    address  the address that the server listens on
    shared   whether there is a share link
    logins   logins with the owner's token
    """

    address: str
    shared: bool = False
    logins: Logins = field(default_factory=Logins)

    @property
    def public(self) -> bool:
        """Return whether the page can be reached from other machines: then the owner has to log in."""
        return self.shared or not loopback(self.address)

    @property
    def can_log_in(self) -> bool:
        return bool(self.logins.token) or (hub_login() and bool(settings().owners))

    def check(self, request: Asked) -> None:
        """Raise OwnerOnly with the reason unless the request is the owner's."""
        if error := self.refusal(request):
            raise error

    def attempt(self, request: Asked, act: Callable[[], object]) -> PlaygroundError | None:
        """Call `act` if the request is the owner's. Return the error of the check or of `act`, or None."""
        try:
            self.check(request)
            act()
        except PlaygroundError as error:
            return error
        return None

    def refusal(self, request: Asked) -> OwnerOnly | None:
        """Return why this request is not the owner's; None if it is."""
        reason = "" if self.public else _sender(request)
        if not (self.public or reason) or self.how(request):
            return None
        hint = HINT_LOGIN if self.can_log_in else HINT_HERE if reason else ""
        return OwnerOnly(f"{OWNER_ONLY}{f', and {reason}' if reason else ''}.", hint=hint)

    def role(self, request: Asked) -> Role:
        """Return the role of the request: viewer looks, user also generates, owner does everything."""
        if self.refusal(request) is None:
            return "owner"
        chosen = settings().public or ("view" if self.shared else "generate")
        return "user" if chosen == "generate" else "viewer"

    def how(self, request: Asked) -> Literal["", "token", "hub"]:
        """Return how the owner logged in; "" for all other requests."""
        if self.logins.knows(request):
            return "token"
        name = hub_user(request).lower()
        return "hub" if name and name in listed(settings().owners) else ""


def _sender(asked: Asked) -> str:
    """Return why the request does not come directly from a browser on this machine; "" if it does."""
    request = plain(asked)
    if request is None:
        return "this request says nothing about where it comes from"
    if any(name in FORWARDED or name.startswith("x-forwarded-") for name in request.headers):
        return "this request came through a proxy"
    if request.client is None or not loopback(str(request.client.host)):
        return "this request comes from another machine"
    hosts = request.headers.getlist("host")
    if len(hosts) != 1 or not loopback(name_of(hosts[0])):
        return "this request was sent to another name than this machine's own"
    scheme = request.scope.get("scheme", "http")
    if any(not same(origin, hosts[0], scheme) for origin in request.headers.getlist("origin")):
        return "another website sent this request"
    if any(site not in ("same-origin", "none") for site in request.headers.getlist("sec-fetch-site")):
        return "another website sent this request"
    return ""


# Rules for visitors.


def offered() -> list[str]:
    """Return the models and variants that visitors may use; first the one that the page opens with."""
    setting, default = settings().public_models, settings().model
    names = [part.strip() for part in setting.split(",") if part.strip()] or [default]
    return sorted(names, key=lambda name: name != default)


def rate_words() -> str:
    """Return the rate limit in words: "12 answers per minute, 120 per hour"."""
    windows = parse_many(settings().public_rate)
    phrases = [f"{window.amount:,} per {_window(window)}" for window in windows]
    return ", ".join(phrases).replace(" per", " answers per", 1)


def _window(window: RateLimitItem) -> str:
    name, count = window.GRANULARITY.name, window.multiples
    return name if count == 1 else f"{count} {name}s"


# Called while a run waits, with the number of runs that must end first and about how many seconds that takes (None if
# nothing is known). Returns whether to wait on.
Wait = Callable[[int, float | None], bool]


@dataclass
class Rules:
    """Limits of visitors, checked by every function that loads, generates or reads a model by name."""

    owner: Owner
    _running: Counter[str] = field(default_factory=Counter)
    _line: list[list[str]] = field(default_factory=list)  # keys of waiting runs; one list each, compared by identity
    _lasted_s: deque[float] = field(default_factory=lambda: deque(maxlen=8))  # the last runs
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _rates: MovingWindowRateLimiter = field(default_factory=lambda: MovingWindowRateLimiter(MemoryStorage()))

    def visitor(self, request: Asked) -> str | None:
        """Return the key by which a visitor's limits are counted; None for the owner."""
        return None if self._owns(request) else _who(request)

    # ---- models
    def models(self, request: Asked) -> list[str]:
        """Return the models that the pickers offer."""
        return models.models() if self._owns(request) else offered()

    def opens_with(self, request: Asked) -> str:
        return settings().model if self._owns(request) else offered()[0]

    def check_model(self, request: Asked, *names: str) -> None:
        """Raise NotOffered unless the visitor may use all of them. Compares text only, without disk or hub."""
        if self._owns(request):
            return
        allowed = offered()
        for name in names:
            address, _ = split_engine(name)
            if not any(address == model or _VARIANT.fullmatch(address.removeprefix(model)) for model in allowed):
                raise NotOffered(
                    f"{name[:80]!r} is not offered to visitors of this page.",
                    hint=f"Choose {' or '.join(allowed[:4])}.",
                )

    # ---- generating
    def begin(
        self,
        request: Asked,
        names: Iterable[str],
        max_tokens: int,
        chars: int,
        *,
        counts: bool = True,
        waits: bool = False,
    ) -> None:
        """Check a run of one answer for each of `names` before it starts; count the answers unless `counts` is False.

        `waits`: it may wait in `running`.

        Raises OwnerOnly, NotOffered, InvalidRequest, TooMany.
        """
        names = list(names)
        role = self.owner.role(request)
        if role == "owner":
            return
        if role == "viewer":
            raise OwnerOnly(f"{OWNER_ONLY}.", hint="Visitors of this page can open links to results.")
        if len(names) > PANES:
            raise InvalidRequest(f"A run of {len(names):,} panes.", hint=f"Visitors get {PANES}.")
        self.check_model(request, *names)
        limits = settings()
        if max_tokens > limits.public_max_tokens:
            raise InvalidRequest(f"Max tokens is {max_tokens:,}.", hint=f"Visitors get {limits.public_max_tokens:,}.")
        if chars > limits.public_max_prompt_chars:
            raise InvalidRequest(
                f"Prompt, system prompt and conversation have {chars:,} characters.",
                hint=f"Visitors get {limits.public_max_prompt_chars:,}; clear the conversation or shorten the prompt.",
            )
        with self._lock:
            if error := self._full(_who(request), waits):
                raise error
        if counts:
            self._count(_who(request), len(names))

    @contextmanager
    def running(self, request: Asked, wait: Wait | None = None) -> Iterator[PlaygroundError | None]:
        """Count a visitor's run while it lasts. Yields why it may not run, since a stream reports its errors itself.

        With `wait` it waits in line where too many visitors' runs are going on.
        """
        if self.owner.role(request) == "owner":
            yield None
            return
        key = _who(request)
        error = self._enter(key, wait)
        began = time.monotonic()
        try:
            yield error
        finally:
            if error is None:
                with self._lock:
                    self._running[key] -= 1
                    self._running += Counter()  # forget who has none
                    self._lasted_s.append(time.monotonic() - began)

    def _enter(self, key: str, wait: Wait | None) -> PlaygroundError | None:
        """Count the run as running once there is room; return why it may not run."""
        place = [key]
        with self._lock:
            if error := self._full(key, waits=wait is not None):
                return error
            if wait is None:
                self._running[key] += 1
                return None
            self._line.append(place)
        try:
            while True:
                with self._lock:
                    position = next(n for n, other in enumerate(self._line) if other is place)
                    before = position + 1 - self._free()
                    if before <= 0:
                        self._running[key] += 1
                        return None
                    seconds = self._lasting_s(before)
                if not wait(before, seconds):
                    return Cancelled("Stopped while it waited.")
                time.sleep(POLL_S)
        finally:
            with self._lock:
                self._line = [other for other in self._line if other is not place]

    def _free(self) -> int:
        return settings().public_generations - self._running.total()

    def _lasting_s(self, count: int) -> float | None:
        """Return about how long it takes until `count` of the running and waiting runs have ended."""
        if not self._lasted_s:
            return None
        return count * sum(self._lasted_s) / len(self._lasted_s) / settings().public_generations

    def _full(self, key: str, waits: bool) -> TooMany | None:
        if self._running[key] + sum(other == [key] for other in self._line) >= EACH:
            return TooMany("Your other runs are not over yet.", hint="Wait for one, or stop it.")
        if waits and len(self._line) >= LINE:
            return TooMany(f"{LINE} runs of visitors are waiting already.", hint="Try again in a few minutes.")
        if not waits and len(self._line) >= self._free():
            return TooMany(f"{self._running.total()} runs of visitors are going on.", hint="Try again in a moment.")
        return None

    def _count(self, key: str, answers: int) -> None:
        windows = parse_many(settings().public_rate)
        with self._lock:
            if full := [window for window in windows if not self._rates.test(window, key, cost=answers)]:
                raise TooMany(
                    f"A visitor gets {full[0].amount:,} answers within a {_window(full[0])}, and this run would exceed "
                    "them.",
                    hint="Wait a little. Links open at any time.",
                )
            for window in windows:
                self._rates.hit(window, key, cost=answers)

    # ---- storing
    def check_room(self, request: Asked) -> None:
        """Raise OutOfQuota if a visitor's result would exceed the disk limit. Nothing is deleted for a new one."""
        if self._owns(request):
            return
        limit = settings().public_disk_mb
        if database.size() >= limit * 1_000_000:
            raise OutOfQuota(
                f"Stored results take the {limit:,} MB that they may already.",
                hint="The owner can delete some, or raise PLAYGROUND_PUBLIC_DISK_MB.",
            )

    def _owns(self, request: Asked) -> bool:
        return self.owner.refusal(request) is None


def _who(request: Asked) -> str:
    return hub_user(request) or visitor(request)


def _texts(spec: Mapping[str, Any]) -> list[str]:
    """Return the text sources of a divergence, within an evaluation or on its own."""
    divergence = spec.get("divergence")
    return [str(divergence.get("text", "")) if isinstance(divergence, Mapping) else "", str(spec.get("text") or "")]
