"""Whose a request is: a key for limits and a name of the hub's. Neither is a role; a doubt is the strictest answer.

`Hosts` are the names by which this page may be asked, and the websites which may ask it. A website that lets its own
name lead to this machine (DNS rebinding) sends that name as the Host, and a browser says in Origin and Sec-Fetch-Site
which website sent a request. Both are looked at before anything else is, for every route.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from gradio.utils import get_space

from playground.settings import settings

NETWORK = 64  # bits of an IPv6 address that one visitor cannot choose


def headers_of(request: gr.Request) -> list[tuple[str, str]]:
    """Names in lower case, repeated ones as often as they were sent."""
    return [(str(name).lower(), str(value)) for name, value in request.headers.items()]


def header(request: gr.Request, wanted: str) -> list[str]:
    return [value for name, value in headers_of(request) if name == wanted]


def visitor(request: gr.Request | None) -> str:
    """One key per visitor: the address of the connection, or what the proxies that are believed saw. "" is everybody
    unknown.
    """
    if request is None:
        return ""
    client = getattr(request, "client", None)
    hops = [part.strip() for value in header(request, "x-forwarded-for") for part in value.split(",")]
    seen = _behind_proxies(str(client.host) if client else "", hops)
    address = _address(seen)
    if address is None:
        return seen[:64]
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, NETWORK), strict=False))
    return str(address)


def _behind_proxies(peer: str, hops: list[str]) -> str:
    """Whom the proxies of PLAYGROUND_PROXIES connected for. Each of them adds who connected to it at the end of `hops`;
    what stands before that is what a visitor sent.

    A number names no address: then the peer must not be one of the Internet's, whose header would be a visitor's own.
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
    """None for what is no address. An IPv4 address in IPv6 form is the IPv4 address; a port behind it is left out."""
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
    """Whether this is a Space on which people sign in with their account of the hub. Its secret signs their cookies."""
    return bool(get_space() and os.environ.get("OAUTH_CLIENT_ID") and os.environ.get("OAUTH_CLIENT_SECRET"))


def hub_user(request: gr.Request | None) -> str:
    """The account of the hub that the visitor signed in with, "" without one. The cookie is gradio's, and signed."""
    if request is None or not hub_login():
        return ""
    scope: Mapping[str, Any] = getattr(getattr(request, "request", None), "scope", None) or {}
    info = (scope.get("session") or {}).get("oauth_info")
    if not isinstance(info, dict) or not isinstance(user := info.get("userinfo"), dict):
        return ""
    expires = info.get("expires_at")
    if not isinstance(expires, int | float) or expires < time.time():
        return ""
    name = user.get("preferred_username")
    return name if isinstance(name, str) else ""


# Hosts.


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


def name_of(host: str) -> str:
    """The name in a Host header or an address, "" where it cannot be read."""
    try:
        parts = urlsplit(f"//{host}")
        return "" if parts.username is not None or parts.path else (parts.hostname or "")
    except ValueError:
        return ""


def same(origin: str, host: str) -> bool:
    """Whether `origin` ("http://localhost:7860") is the page at `host` ("localhost:7860")."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def space_hosts() -> list[str]:
    """The names of the Space that this is, if it is one: its own, and a domain of the owner's."""
    return listed(os.environ.get("SPACE_HOST", ""))


def listed(text: str) -> list[str]:
    """ "a, b" as ["a", "b"]."""
    return [part.strip().lower() for part in text.split(",") if part.strip()]


@dataclass
class Hosts:
    """The names of one served page.

    public  others reach it without being let in by a proxy: then addresses, which nobody can rebind, are names too
    """

    public: bool
    names: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, address: str, shared: bool, more: Iterable[str] = ()) -> Hosts:
        """What `address` listens on, the Space's names, this machine's, and what the owner allowed."""
        public = shared or not loopback(address)
        names = {*more, *space_hosts()}
        if public:
            names |= {name for name in (address.strip("[]").lower(), socket.gethostname().lower()) if name}
        return cls(public, names)

    def also(self, url: str) -> None:
        """One more name: that of a share link, which is known once there is one."""
        if name := urlsplit(url).hostname:
            self.names.add(name)

    def allows(self, host: str) -> bool:
        """Whether a request may be sent to `host` (a Host header)."""
        name = name_of(host)
        return bool(name) and (loopback(name) or self._named(name) or (self.public and _is_address(name)))

    def _named(self, name: str) -> bool:
        return any(name.endswith(one[1:]) if one.startswith("*.") else name == one for one in self.names)

    def origin(self, origin: str, host: str) -> bool:
        """Whether this website may send requests to `host`: the page itself. A proxy may have changed the Host."""
        return same(origin, host) or (same(origin, urlsplit(origin).netloc) and self._named(name_of(_netloc(origin))))


def _netloc(origin: str) -> str:
    return urlsplit(origin).netloc


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
