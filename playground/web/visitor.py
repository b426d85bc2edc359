"""Who sent a request: the key by which a visitor is limited, and the hub account. Neither is a role.

`Hosts` are the host names of this page, and the websites that may send requests to it. A website whose name resolves to
this machine (DNS rebinding) sends that name as the Host; Origin and Sec-Fetch-Site name the website that sent a
request. Both are checked first, on every route.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import gradio as gr
from gradio.utils import get_space
from starlette.requests import Request

from playground.settings import settings

PORTS = {"http": 80, "https": 443}
NETWORK = 64  # leading bits of an IPv6 address, which a visitor cannot choose
Asked: TypeAlias = "Request | Any | None"  # what a function is called with: a request, gradio's around one, or neither


def plain(request: Asked) -> Request | None:
    """Return the request itself, where gradio has wrapped it."""
    found: Request | None = request.request if isinstance(request, gr.Request) else request
    return found


def visitor(asked: Asked) -> str:
    """Return the visitor's key: the IP address (of IPv6 the network) of the connection or from trusted proxies.

    "" for every unknown visitor.
    """
    request = plain(asked)
    if request is None:
        return ""
    hops = [part.strip() for value in request.headers.getlist("x-forwarded-for") for part in value.split(",")]
    seen = _behind_proxies(str(request.client.host) if request.client else "", hops)
    address = _address(seen)
    if address is None:
        return seen[:64]
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, NETWORK), strict=False))
    return str(address)


def _behind_proxies(peer: str, hops: list[str]) -> str:
    """Return the address that the proxies of PLAYGROUND_PROXIES connected for.

    Each proxy appends the address of its own peer to `hops`; what is before that was sent by the visitor. If the
    setting is a number of proxies, the peer must not have a public address: its header would be the visitor's own.
    """
    proxies = settings().proxies
    if proxies is None:
        proxies = "1" if space_hosts() else ""
    if proxies.strip().isdecimal():
        count, address = int(proxies), _address(peer)
        private = address is None or not address.is_global
        return hops[-count] if private and 0 < count <= len(hops) else peer
    named = [ipaddress.ip_network(part) for part in listed(proxies)]
    while hops and (address := _address(peer)) and any(address in network for network in named):
        peer = hops.pop()
    return peer


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address in a text, without its port; None if there is none. IPv4-mapped IPv6 becomes IPv4."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def hub_login() -> bool:
    """Return whether this is a Space with sign-in by hub account. OAUTH_CLIENT_SECRET signs the cookies."""
    return bool(get_space() and os.environ.get("OAUTH_CLIENT_ID") and os.environ.get("OAUTH_CLIENT_SECRET"))


def hub_user(asked: Asked) -> str:
    """Return the visitor's hub account from gradio's signed cookie, which the gate has read; "" without one."""
    request = plain(asked)
    if request is None or not hub_login():
        return ""
    info = (request.scope.get("session") or {}).get("oauth_info")
    if not isinstance(info, dict) or not isinstance(user := info.get("userinfo"), dict):
        return ""
    expires = info.get("expires_at")
    if not isinstance(expires, int | float) or expires < time.time():
        return ""
    name = user.get("preferred_username")
    return name if isinstance(name, str) else ""


# Hosts.


def loopback(host: str) -> bool:
    """Return whether `host`, an address or a name as in a URL, is a loopback address or "localhost"."""
    name = host.strip("[]").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    return address.is_loopback or bool(isinstance(address, ipaddress.IPv6Address) and _mapped(address))


def _mapped(address: ipaddress.IPv6Address) -> bool:
    return address.ipv4_mapped is not None and address.ipv4_mapped.is_loopback


def name_of(host: str) -> str:
    """Return the host name in a Host header or an address, without the port; "" if it cannot be parsed."""
    try:
        parts = urlsplit(f"//{host}")
        return "" if parts.username is not None or parts.path else (parts.hostname or "")
    except ValueError:
        return ""


def same(origin: str, host: str, scheme: str = "http") -> bool:
    """Return whether `origin` ("http://localhost:7860") is the page at `host` ("localhost:7860"), to the port."""
    try:
        parts = urlsplit(origin)
        port = parts.port
        asked_port = urlsplit(f"{scheme}://{host}").port
    except ValueError:
        return False
    standard = PORTS.get(parts.scheme)
    return (
        standard is not None
        and parts.scheme == scheme
        and origin == f"{parts.scheme}://{parts.netloc}"  # nothing else: no user, no path
        and parts.username is None
        and (parts.hostname or "") == name_of(host) != ""
        and (port or standard) == (asked_port or standard)
    )


def space_hosts() -> list[str]:
    """Return the host names of this Space: its own, and a custom domain; [] if this is no Space."""
    return listed(os.environ.get("SPACE_HOST", ""))


def listed(text: str) -> list[str]:
    """Split a comma-separated list: "A, b" → ["a", "b"]."""
    return [part.strip().lower() for part in text.split(",") if part.strip()]


@dataclass
class Hosts:
    """The host names of one served page.

    public  whether other machines can connect to it: then IP addresses, which cannot be rebound, are allowed too
    """

    public: bool
    names: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, address: str, shared: bool, more: Iterable[str] = ()) -> Hosts:
        """Return the hosts of a page: `more`, the Space's names and, if public, `address` and this machine's name."""
        public = shared or not loopback(address)
        names = {*more, *space_hosts()}
        if public:
            names |= {name for name in (address.strip("[]").lower(), socket.gethostname().lower()) if name}
        return cls(public, names)

    def also(self, url: str) -> None:
        """Add the host of a share link, which is only known after the launch."""
        if name := urlsplit(url).hostname:
            self.names.add(name)

    def allows(self, host: str) -> bool:
        """Return whether a request may be sent to `host` (a Host header)."""
        name = name_of(host)
        return bool(name) and (loopback(name) or self._named(name) or (self.public and _is_address(name)))

    def _named(self, name: str) -> bool:
        return any(
            name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern for pattern in self.names
        )

    def origin(self, origin: str, host: str, scheme: str = "http", forwarded: str = "") -> bool:
        """Return whether `origin` is the page at `host` itself. Another port, scheme or name is another website.

        A proxy may change Host, or speak HTTPS without saying so. A website cannot send X-Forwarded-Host (`forwarded`)
        by somebody's browser: it would have to ask first, and nothing here answers that.
        """
        if same(origin, host, scheme):
            return True
        name = name_of(origin.partition("://")[2])
        if not self._named(name):
            return False
        if forwarded and same(origin, forwarded, origin.partition(":")[0]):
            return True
        return same(origin, host, "https") or (not self._named(name_of(host)) and same(origin, name, "https"))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
