"""By which names this page may be asked, and which websites may ask it.

A website that lets its own name lead to this machine (DNS rebinding) sends that name as the Host, and a browser says
in Origin and Sec-Fetch-Site which website sent a request. Both are looked at before anything else is, for every route.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit


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
        return bool(name) and (loopback(name) or self._named(name) or (self.public and _address(name)))

    def _named(self, name: str) -> bool:
        return any(name.endswith(one[1:]) if one.startswith("*.") else name == one for one in self.names)

    def origin(self, origin: str, host: str) -> bool:
        """Whether this website may send requests to `host`: the page itself. A proxy may have changed the Host."""
        return same(origin, host) or (same(origin, urlsplit(origin).netloc) and self._named(name_of(_netloc(origin))))


def _netloc(origin: str) -> str:
    return urlsplit(origin).netloc


def _address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
