"""Who asks: the owner, a user who may generate, or a viewer who may look. Asked inside every function that matters.

The owner is whoever sits at this machine, and on a page that others reach, whoever logged in: with the owner's token,
or on a Space with an account of the hub that the owner named. Every function that changes what outlives a visit asks
here itself, because a hidden button protects nothing. On any doubt the answer is no: the command line, on this
machine, is always there.

The token becomes a cookie that scripts cannot read and other sites cannot send. It is compared in constant time and
nowhere kept but in the settings; attempts are counted per visitor. What a cookie holds is random, and only its hash is
here: after a restart everybody logs in again.

`Rules` are what visitors of a public page may do: which models, how often, how much at once. They do not bind the
owner. Visitors see names and numbers, and no path of this machine.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import gradio as gr
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from playground import models
from playground.errors import InvalidRequest, NotOffered, OutOfQuota, OwnerOnly, PlaygroundError, TooMany, WrongLogin
from playground.models.address import split_engine
from playground.settings import settings
from playground.store import database
from playground.web.visitor import header, headers_of, hub_login, hub_user, listed, loopback, name_of, same, visitor

COOKIE = "playground_owner"
HEADER = "x-playground-token"
HOURS = 12
ATTEMPTS = parse_many("5/minute; 30/hour")
MOST = 100  # logins that hold at once
Role = Literal["viewer", "user", "owner"]
# A proxy on this machine connects from loopback for everybody; by one of these it tells. What they say does not matter.
FORWARDED = frozenset(
    ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip", "x-original-host")
)
HINT = "Use the command line on the machine that serves it."
HINT_LOGIN = "Log in as the owner, or use the command line on the machine that serves it."
_VARIANT = re.compile(r":[\w.-]+")
EACH = 2  # runs of one visitor at once; several people may come from one address
VIEW = "Visitors of this page open links; generating is for its owner"


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


@dataclass(frozen=True, slots=True)
class Owner:
    """Decides for one served page.

    address  what the server listens on
    shared   whether there is a share link too
    logins   of those who know the owner's token
    """

    address: str
    shared: bool = False
    logins: Logins = field(default_factory=Logins)

    @property
    def public(self) -> bool:
        """Whether others reach the page: then nobody owns it who did not log in."""
        return self.shared or not loopback(self.address)

    @property
    def can_log_in(self) -> bool:
        return bool(self.logins.token) or (hub_login() and bool(settings().owners))

    def check(self, request: gr.Request | None) -> None:
        """Raise OwnerOnly, with why, unless the request is the owner's."""
        if refused := self.refusal(request):
            raise refused

    def attempt(self, request: gr.Request | None, act: Callable[[], object]) -> PlaygroundError | None:
        """Do what only the owner may; why it was not done, for whoever draws the answer."""
        try:
            self.check(request)
            act()
        except PlaygroundError as error:
            return error
        return None

    def refusal(self, request: gr.Request | None) -> OwnerOnly | None:
        """Why this request is not the owner's; None when it is."""
        why = self._page() or _sender(request)
        if not why or self.how(request):
            return None
        return OwnerOnly(f"Only the owner may do this, and {why}.", hint=HINT_LOGIN if self.can_log_in else HINT)

    def role(self, request: gr.Request | None) -> Role:
        """What whoever sent it may: look; generate too; or everything."""
        if self.refusal(request) is None:
            return "owner"
        chosen = settings().public or ("view" if self.shared else "generate")
        return "user" if chosen == "generate" else "viewer"

    def how(self, request: gr.Request | None) -> Literal["", "token", "hub"]:
        """How the owner of a public page logged in; "" for everybody else."""
        if self.logins.knows(request):
            return "token"
        name = hub_user(request).lower()
        return "hub" if name and name in listed(settings().owners) else ""

    def _page(self) -> str:
        if self.shared:
            return "this page has a share link, so anyone may be asking"
        if not loopback(self.address):
            return f"this page is served on {self.address}, where others reach it"
        return ""


def _sender(request: gr.Request | None) -> str:
    """Why whoever sent the request is not the owner; "" when nothing speaks against it."""
    if request is None:
        return "this request says nothing about where it comes from"
    if any(name in FORWARDED or name.startswith("x-forwarded-") for name, _ in headers_of(request)):
        return "this request came through a proxy"
    if request.client is None or not loopback(str(request.client.host)):
        return "this request comes from another machine"
    hosts = header(request, "host")
    if len(hosts) != 1 or not loopback(name_of(hosts[0])):
        return "this request was sent to another name than this machine's own"
    if any(not same(origin, hosts[0]) for origin in header(request, "origin")):
        return "another website sent this request"
    if any(site not in ("same-origin", "none") for site in header(request, "sec-fetch-site")):
        return "another website sent this request"
    return ""


# Rules for visitors.


def offered() -> list[str]:
    """The models and variants that visitors may use, the one that the page opens with first."""
    wanted, page = settings().public_models, settings().model
    names = [part.strip() for part in wanted.split(",") if part.strip()] or [page]
    return sorted(names, key=lambda name: name != page)


def rate_words() -> str:
    """ "6 runs per minute, 60 per hour"."""
    windows = parse_many(settings().public_rate)
    said = [f"{window.amount:,} per {_window(window)}" for window in windows]
    return ", ".join(said).replace(" per", " runs per", 1)


def _window(window: RateLimitItem) -> str:
    name, count = window.GRANULARITY.name, window.multiples
    return name if count == 1 else f"{count} {name}s"


@dataclass
class Rules:
    """Asked by every function that loads, generates or reads a model by name."""

    owner: Owner
    _running: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _rates: MovingWindowRateLimiter = field(default_factory=lambda: MovingWindowRateLimiter(MemoryStorage()))

    def visitor(self, request: gr.Request | None) -> str | None:
        """The key that a visitor's limits count by; None for the owner."""
        return None if self._owns(request) else _who(request)

    # ---- models
    def models(self, request: gr.Request | None) -> list[str]:
        """What the pickers offer."""
        return models.models() if self._owns(request) else offered()

    def opens_with(self, request: gr.Request | None) -> str:
        return settings().model if self._owns(request) else offered()[0]

    def check_model(self, request: gr.Request | None, *names: str) -> None:
        """Raise NotOffered unless all of them may be used. Names are compared as text: nothing is looked up for them,
        neither on the disk nor on the hub.
        """
        if self._owns(request):
            return
        known = offered()
        for name in names:
            where, _ = split_engine(name)
            if not any(where == one or _VARIANT.fullmatch(where.removeprefix(one)) for one in known):
                raise NotOffered(
                    f"{name[:80]!r} is not offered to visitors of this page.",
                    hint=f"Choose {' or '.join(known[:4])}.",
                )

    # ---- generating
    def begin(
        self, request: gr.Request | None, names: Iterable[str], max_tokens: int, chars: int, *, counts: bool = True
    ) -> None:
        """Before a run starts. Raises OwnerOnly, NotOffered, InvalidRequest, TooMany."""
        role = self.owner.role(request)
        if role == "owner":
            return
        if role == "viewer":
            raise OwnerOnly(f"{VIEW}.", hint="Open a link, or ask the owner for one.")
        self.check_model(request, *names)
        now = settings()
        if max_tokens > now.public_max_tokens:
            raise InvalidRequest(f"Max tokens is {max_tokens:,}.", hint=f"Visitors get {now.public_max_tokens:,}.")
        if chars > now.public_max_prompt_chars:
            raise InvalidRequest(
                f"Prompt, system prompt and conversation have {chars:,} characters.",
                hint=f"Visitors get {now.public_max_prompt_chars:,}; clear the conversation or shorten the prompt.",
            )
        self._room(_who(request))
        if counts:
            self._count(_who(request))

    @contextmanager
    def running(self, request: gr.Request | None) -> Iterator[PlaygroundError | None]:
        """While a run goes on. It is told why it may not, rather than thrown out of a stream."""
        if self.owner.role(request) == "owner":
            yield None
            return
        who = _who(request)
        with self._lock:
            refused = self._full(who)
            if refused is None:
                self._running[who] += 1
        try:
            yield refused
        finally:
            if refused is None:
                with self._lock:
                    self._running[who] -= 1
                    self._running += Counter()  # forget who has none

    def _room(self, who: str) -> None:
        with self._lock:
            if refused := self._full(who):
                raise refused

    def _full(self, who: str) -> TooMany | None:
        if self._running[who] >= EACH:
            return TooMany("Your other runs are not over yet.", hint="Wait for one, or stop it.")
        most, active = settings().public_generations, self._running.total()
        if active >= most:
            return TooMany(f"{active} runs of visitors are going on.", hint="Try again in a moment.")
        return None

    def _count(self, who: str) -> None:
        windows = parse_many(settings().public_rate)
        if full := [window for window in windows if not self._rates.test(window, who)]:
            raise TooMany(
                f"You started {full[0].amount:,} runs within a {_window(full[0])}, as many as a visitor may.",
                hint="Wait a little. Links open at any time.",
            )
        for window in windows:
            self._rates.hit(window, who)

    # ---- storing
    def check_room(self, request: gr.Request | None) -> None:
        """Raise OutOfQuota where a visitor's result may not be stored any more. Nothing is deleted for a new one: what
        has a link keeps it.
        """
        if self._owns(request):
            return
        most = settings().public_disk_mb
        if database.size() >= most * 1_000_000:
            raise OutOfQuota(
                f"Stored results take the {most:,} MB that they may already.",
                hint="The owner can delete some, or raise PLAYGROUND_PUBLIC_DISK_MB.",
            )

    def _owns(self, request: gr.Request | None) -> bool:
        return self.owner.refusal(request) is None


def _who(request: gr.Request | None) -> str:
    return hub_user(request) or visitor(request)


def _texts(asked: Mapping[str, Any]) -> list[str]:
    """Where the text of a divergence comes from, beside tasks or alone."""
    beside = asked.get("divergence")
    return [str(beside.get("text", "")) if isinstance(beside, Mapping) else "", str(asked.get("text") or "")]
