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
from playground.ui.access_hosts import space_hosts

NETWORK = 64  # bits of an IPv6 address that one visitor cannot choose


def headers_of(request: gr.Request) -> list[tuple[str, str]]:
    """Names in lower case, repeated ones as often as they were sent."""
    return [(str(name).lower(), str(value)) for name, value in request.headers.items()]


def header(request: gr.Request, wanted: str) -> list[str]:
    return [value for name, value in headers_of(request) if name == wanted]


def visitor(request: gr.Request | None) -> str:
    """One key per visitor: an address as the nearest proxy that is believed saw it. "" is everybody unknown."""
    if request is None:
        return ""
    proxies = settings().proxies
    if proxies is None:
        proxies = 1 if space_hosts() else 0
    client = getattr(request, "client", None)
    seen = str(client.host) if client else ""
    if proxies:
        said = [part.strip() for value in header(request, "x-forwarded-for") for part in value.split(",")]
        seen = said[-proxies] if len(said) >= proxies else seen
    try:
        address = ipaddress.ip_address(seen.strip("[]"))
    except ValueError:
        return seen[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, NETWORK), strict=False))
    return str(address)


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
