"""Who is the owner: whoever sits at this machine, and nobody who came through a network, a proxy or another website.

Only the owner changes what outlives a visit: endpoints and their keys, quantized variants. Every function that does so
asks here itself, because a hidden button protects nothing. On any doubt the answer is no: the command line, on this
machine, is always there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import gradio as gr

from playground.errors import OwnerOnly, PlaygroundError

# A proxy on this machine connects from loopback for everybody; by one of these it tells. What they say is not believed,
# neither by us nor, for this decision, by the server (which takes X-Forwarded-For from loopback as the client).
FORWARDED = frozenset(
    ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip", "x-original-host")
)
HINT = "Use the command line on the machine that serves it."


def loopback(host: str) -> bool:
    """Whether `host`, an address or a name as in a URL, is this machine and cannot be anything else."""
    name = host.strip("[]").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    return address.is_loopback or bool(isinstance(address, ipaddress.IPv6Address) and _mapped(address))


def _mapped(address: ipaddress.IPv6Address) -> bool:
    return address.ipv4_mapped is not None and address.ipv4_mapped.is_loopback


@dataclass(frozen=True, slots=True)
class Owner:
    """Decides for one served page.

    address  what the server listens on
    shared   whether there is a share link too
    """

    address: str
    shared: bool = False

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
        return OwnerOnly(f"Only the owner may do this, and {why}.", hint=HINT) if why else None

    def _page(self) -> str:
        if self.shared:
            return "this page has a share link, so anyone may be asking"
        if not loopback(self.address):
            return f"this page is served on {self.address}, where others reach it and nobody logs in"
        return ""


def _sender(request: gr.Request | None) -> str:
    """Why whoever sent the request is not the owner; "" when nothing speaks against it."""
    if request is None:
        return "this request says nothing about where it comes from"
    headers: list[tuple[str, str]] = [(str(name).lower(), str(value)) for name, value in request.headers.items()]
    if any(name in FORWARDED or name.startswith("x-forwarded-") for name, _ in headers):
        return "this request came through a proxy"
    if request.client is None or not loopback(str(request.client.host)):
        return "this request comes from another machine"
    hosts = _all(headers, "host")
    if len(hosts) != 1 or not loopback(_name(f"//{hosts[0]}")):
        return "this request was sent to another name than this machine's own"
    if any(not _same(origin, hosts[0]) for origin in _all(headers, "origin")):
        return "another website sent this request"
    if any(site not in ("same-origin", "none") for site in _all(headers, "sec-fetch-site")):
        return "another website sent this request"
    return ""


def _all(headers: Iterable[tuple[str, str]], wanted: str) -> list[str]:
    return [value for name, value in headers if name == wanted]


def _name(url: str) -> str:
    """The host of an address, "" where it cannot be read."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _same(origin: str, host: str) -> bool:
    """Whether `origin` ("http://localhost:7860") is the page at `host` ("localhost:7860")."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()
