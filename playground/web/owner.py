"""Who asks: the owner, a user who may generate, or a viewer who may look. Asked inside every function that matters.

The owner is whoever sits at this machine, and on a page that others reach, whoever logged in: with the owner's token,
or on a Space with an account of the hub that the owner named. Every function that changes what outlives a visit asks
here itself, because a hidden button protects nothing. On any doubt the answer is no: the command line, on this
machine, is always there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import gradio as gr

from playground.errors import OwnerOnly, PlaygroundError
from playground.settings import settings
from playground.web.hosts import listed, loopback, name_of, same
from playground.web.login import Logins
from playground.web.visitor import header, headers_of, hub_login, hub_user

__all__ = ["Owner", "Role", "loopback"]

Role = Literal["viewer", "user", "owner"]
# A proxy on this machine connects from loopback for everybody; by one of these it tells. What they say does not matter.
FORWARDED = frozenset(
    ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip", "x-original-host")
)
HINT = "Use the command line on the machine that serves it."
HINT_LOGIN = "Log in as the owner, or use the command line on the machine that serves it."


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
