"""Whose a request is: a key for limits and a name of the hub's. Neither is a role; a doubt is the strictest answer."""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.utils import get_space

from playground.settings import settings
from playground.web.hosts import listed, space_hosts

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
