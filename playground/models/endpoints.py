"""The OpenAI-compatible endpoints that the owner has added: name, address, key, model. Their models are `@NAME/MODEL`.

They are kept in one file that only its owner can read. A key is in that file or, named, in the environment; it is shown
nowhere else.

Network addresses are checked on what a name resolves to, never on how it is written. Loopback and private networks are
the owner's own servers and are allowed. What only a cloud's own services or nobody answers on is refused, so that no
endpoint, redirect or changed DNS answer reaches a machine's credentials.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import logging
import os
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from playground.errors import CatalogError, InvalidSettings, UnknownModel, UnsafeAddress
from playground.files import write_whole
from playground.settings import settings

log = logging.getLogger(__name__)
FORMAT = 1
RESOLVE_S = 10.0
MAX_KEY = 4096
_HERE = ("localhost", "127.0.0.1", "::1")

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_VERSION = re.compile(r"/v\d+[a-z0-9]*(?=/|$)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where clouds answer with a machine's credentials, outside the link-local range 169.254.0.0/16.
METADATA = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
METADATA_NAMES = ("metadata", "metadata.google.internal", "metadata.goog", "instance-data", "metadata.azure.internal")
_NOT_HOSTS = (ipaddress.ip_network("0.0.0.0/8"), ipaddress.ip_network("192.0.0.0/24"))
_SITE_LOCAL = ipaddress.ip_network("fec0::/10")
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
HINT = "Endpoints may be on the internet, in a private network or on this machine."


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint.

    url      where the API begins ("https://host/v1"): `/models` and `/chat/completions` are below it
    key_env  environment variable that holds the key, instead of `key`
    model    what `@name` alone means
    """

    name: str
    url: str
    key: str = field(default="", repr=False)
    key_env: str = ""
    model: str = ""

    @property
    def host(self) -> str:
        """Host and port, as messages name them."""
        return urlsplit(self.url).netloc

    @property
    def root(self) -> str:
        """Where calls outside OpenAI's API are (`/tokenize`)."""
        return self.url.removesuffix("/v1")

    @property
    def has_key(self) -> bool:
        return bool(self.key or self.key_env)

    @property
    def caution(self) -> str:
        """What its owner should know about the way there; "" when there is nothing."""
        if self.has_key and urlsplit(self.url).hostname not in _HERE and urlsplit(self.url).scheme == "http":
            return "The key travels unencrypted: this address is http, not https."
        return ""

    def secret(self) -> str:
        """The key, "" without one. Raises InvalidSettings when its environment variable is not set or no key."""
        if not self.key_env:
            return self.key
        value = os.environ.get(self.key_env, "").strip()
        if not value:
            raise InvalidSettings(
                f"The key of endpoint {self.name} should be in {self.key_env}, which is not set.",
                hint=f"Set {self.key_env} and start again, or add the endpoint again with the key itself.",
            )
        return checked_key(value)

    def as_row(self) -> dict[str, Any]:
        """The documented JSON of `playground endpoints list`; of the key, only whether there is one."""
        return {"name": self.name, "url": self.url, "model": self.model or None, "key": "set" if self.has_key else None}


def normalize_url(url: str) -> str:
    """The API's base: scheme, host, port and path, with `/v1` where the path holds no version. Raises CatalogError."""
    if not url.isprintable() or re.search(r"[\s\\]", url):
        raise _bad_url(url, "it holds a space, a backslash or a control character")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _bad_url(url, "its host or port cannot be read") from None
    if parts.scheme not in ("http", "https"):
        raise _bad_url(url, "it does not begin with http:// or https://")
    if "@" in parts.netloc:
        raise CatalogError(
            "The address of an endpoint may not hold a user name or password.", hint="Give the key on its own."
        )
    if "?" in url or "#" in url:
        raise _bad_url(url, "it has a query or a fragment")
    host = _host(url)
    if not host or port == 0 or (parts.netloc.endswith(":") and port is None):
        raise _bad_url(url, "its host or port cannot be read")
    path = parts.path.rstrip("/")
    if not _PATH.fullmatch(path) or re.search(r"/\.{1,2}(?=/|$)", path):
        raise _bad_url(url, "its path cannot be read")
    if not _VERSION.search(path):
        path += "/v1"
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}"


def _host(url: str) -> str:
    """The host in ASCII (IDNA), without a trailing dot; "" when it is none."""
    try:
        host = httpx.URL(url).raw_host.decode("ascii").rstrip(".").lower()
    except (httpx.InvalidURL, UnicodeError):
        return ""
    if ":" in host:
        try:
            socket.inet_pton(socket.AF_INET6, host)
        except OSError:
            return ""
        return f"[{host}]"
    return host if _HOST.fullmatch(host) and ".." not in host else ""


def _bad_url(url: str, why: str) -> CatalogError:
    shown = re.sub(r"//[^/@]*@", "//", url)[:80]
    return CatalogError(
        f"{shown!r} is not the address of an endpoint: {why}.", hint="An example: http://127.0.0.1:8000/v1"
    )


def checked_key(key: str) -> str:
    """A key that fits into a header. Raises CatalogError without showing it."""
    if not re.fullmatch(r"[!-~]+", key) or len(key) > MAX_KEY:
        raise CatalogError(
            "That key cannot be sent: it is empty, too long, or holds spaces or characters outside ASCII.",
            hint="Copy it again, the key alone.",
        )
    return key


def find(name: str) -> Endpoint:
    """The endpoint called `name`. Raises UnknownModel with those that exist."""
    known = endpoints()
    for endpoint in known:
        if endpoint.name == name:
            return endpoint
    names = ", ".join(endpoint.name for endpoint in known) or "none yet"
    raise UnknownModel(
        f"There is no endpoint {name[:40]!r}.",
        hint=f"Known: {names}. Add one: python -m playground endpoints add NAME URL",
    )


def endpoints() -> list[Endpoint]:
    """Every endpoint, by name. Raises CatalogError when the file cannot be read."""
    path = _path()
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(path, error.strerror or type(error).__name__) from None
    try:
        body = json.loads(content)
        if body["format"] != FORMAT:
            raise ValueError("another version of the playground wrote it")
        found = [_endpoint(name, raw) for name, raw in body["endpoints"].items()]
    except (ValueError, KeyError, TypeError, AttributeError, CatalogError) as error:
        why = str(error) if type(error) is ValueError else "it is damaged"
        raise _unreadable(path, why) from None  # the cause may quote the file, and with it a key
    return sorted(found, key=lambda endpoint: endpoint.name)


def _endpoint(name: str, raw: Mapping[str, Any]) -> Endpoint:
    written = {one.name: str(raw.get(one.name, "")) for one in fields(Endpoint) if one.name != "name"}
    return checked(Endpoint(name, **written))


def _unreadable(path: Path, why: str) -> CatalogError:
    return CatalogError(f"{path.name} cannot be read: {why}.", hint=f"Correct or remove {path}.")


def checked(endpoint: Endpoint) -> Endpoint:
    """The same with a normalized address, every field valid. Asks nobody. Raises CatalogError."""
    if not _NAME.fullmatch(endpoint.name):
        raise CatalogError(
            f"{endpoint.name[:40]!r} is not a name for an endpoint.",
            hint="Use up to 32 lower-case letters, digits and hyphens, for instance lab-1.",
        )
    if endpoint.key and endpoint.key_env:
        raise CatalogError("A key and a variable that holds it were both given.", hint="Give one of them.")
    if endpoint.key:
        checked_key(endpoint.key)
    if endpoint.key_env and not _VARIABLE.fullmatch(endpoint.key_env):
        raise CatalogError(
            "That is not the name of an environment variable.", hint="Give its name, not the key: for example LAB_KEY."
        )
    if endpoint.model and not valid_model(endpoint.model):
        raise CatalogError(f"{endpoint.model[:80]!r} is not a model's id.", hint="Copy it from the endpoint's /models.")
    return replace(endpoint, url=normalize_url(endpoint.url))


def valid_model(model: str) -> bool:
    return 0 < len(model) <= 512 and model.isprintable() and not re.search(r"\s", model)


def add(endpoint: Endpoint) -> Endpoint:
    """Check and store an endpoint; one of the same name is replaced. Raises CatalogError, UnsafeAddress.

    A name that cannot be resolved now is stored all the same: every connection checks again.
    """
    made = checked(endpoint)
    parts = urlsplit(made.url)
    try:
        resolve(parts.hostname or "", parts.port or 443, RESOLVE_S)
    except (OSError, TimeoutError) as error:
        log.warning("%s cannot be resolved now (%s); it is checked at every connection", parts.hostname, error)
    with _writing() as known:
        known[made.name] = made
    return made


def remove(name: str) -> None:
    """Forget an endpoint and its key. Raises UnknownModel."""
    find(name)
    with _writing() as known:
        known.pop(name, None)


def _path() -> Path:
    return settings().data / "endpoints.json"


@contextmanager
def _writing() -> Iterator[dict[str, Endpoint]]:
    """The endpoints by name, to be changed; stored whole or not at all, readable by the owner alone."""
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = {endpoint.name: endpoint for endpoint in endpoints()}
        yield known
        rows = {
            name: {key: value for key, value in asdict(one).items() if key != "name"} for name, one in known.items()
        }
        write_whole(path, json.dumps({"format": FORMAT, "endpoints": rows}, indent=2), mode=0o600)


# Network addresses.


def refusal(address: str) -> str:
    """Why no connection is made to this IP address ("link-local", …); "" when it is allowed."""
    ip = ipaddress.ip_address(address)
    inner = _embedded(ip)
    if inner is not None:
        return refusal(str(inner))
    if ip in METADATA:
        return "a cloud's metadata service"
    if ip.is_loopback:
        return ""  # before is_reserved: ::1 lies in a reserved block
    if ip.is_link_local:
        return "link-local, where clouds keep credentials"
    if ip.is_unspecified:
        return "no address of a machine"
    if ip.is_multicast:
        return "a multicast address"
    if ip.version == 4 and any(ip in network for network in _NOT_HOSTS):
        return "no address of a machine"
    if ip.is_reserved or (ip.version == 6 and ip in _SITE_LOCAL):
        return "a reserved address"
    return ""


def _embedded(ip: Ip) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to: mapped, 6to4, Teredo, NAT64."""
    if isinstance(ip, ipaddress.IPv4Address):
        return None
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    if any(ip in network for network in _NAT64):
        return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return None


def resolve(host: str, port: int, timeout_s: float) -> list[str]:
    """Every address of `host`, all of them allowed. Decimal, octal and hexadecimal forms resolve like any other.

    Raises UnsafeAddress when one is refused (a name that has a good and a bad address is an attack, not a mistake),
    socket.gaierror, TimeoutError.
    """
    if host.rstrip(".").lower() in METADATA_NAMES:
        raise UnsafeAddress(f"{host} is a cloud's metadata service; it is never connected to.", hint=HINT)
    found: list[str] = []
    failure: list[OSError | UnicodeError] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))
        except (OSError, UnicodeError) as error:
            failure.append(error)

    # The system's resolver has no time limit of its own; a thread that hangs in it ends with the program.
    asking = threading.Thread(target=ask, name="resolve", daemon=True)
    asking.start()
    asking.join(timeout_s)
    if asking.is_alive():
        raise TimeoutError(f"{host} was not resolved within {timeout_s:g} s")
    if failure:
        raise failure[0] if isinstance(failure[0], OSError) else socket.gaierror(f"{host} is no host name")
    for address in found:
        if why := refusal(address):
            raise UnsafeAddress(f"{host} leads to {address}, {why}; it is never connected to.", hint=HINT)
    return found
