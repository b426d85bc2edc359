"""The OpenAI-compatible endpoints that the owner has added: name, URL, key, model. Their models are `@NAME/MODEL`.

They are stored in a file that only its owner can read. A key is in that file or in a named environment variable; it is
never shown.

Checks apply to the IP addresses that a host name resolves to, not to its spelling. Loopback and private networks are
allowed, since the owner's own servers are there. Metadata services of clouds, link-local and reserved addresses are
refused, so that no endpoint, redirect or changed DNS answer reaches a machine's credentials.
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

# Metadata services, which return a cloud machine's credentials, outside the link-local range 169.254.0.0/16.
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

    url      base URL of the API ("https://host/v1"), with `/models` and `/chat/completions` below it
    key_env  environment variable that holds the key, instead of `key`
    model    the model that `@name` alone means
    """

    name: str
    url: str
    key: str = field(default="", repr=False)
    key_env: str = ""
    model: str = ""

    @property
    def host(self) -> str:
        """Return host and port, for messages."""
        return urlsplit(self.url).netloc

    @property
    def root(self) -> str:
        """Return the base URL of calls outside OpenAI's API (`/tokenize`)."""
        return self.url.removesuffix("/v1")

    @property
    def has_key(self) -> bool:
        return bool(self.key or self.key_env)

    @property
    def caution(self) -> str:
        """Return a warning if the key is sent unencrypted; "" if not."""
        if self.has_key and urlsplit(self.url).hostname not in _HERE and urlsplit(self.url).scheme == "http":
            return "The key travels unencrypted: this address is http, not https."
        return ""

    def secret(self) -> str:
        """Return the key, "" without one. Raises InvalidSettings if its environment variable is not set, CatalogError
        if that holds no valid key.
        """
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
        """Return the documented JSON of `playground endpoints list`; of the key, only whether there is one."""
        return {"name": self.name, "url": self.url, "model": self.model or None, "key": "set" if self.has_key else None}


def normalize_url(url: str) -> str:
    """Return the base URL: scheme, host, port and path, with `/v1` added if the path has no version.

    Raises CatalogError.
    """
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
    """Return the host in ASCII (IDNA), without a trailing dot; "" if it is invalid."""
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


def _bad_url(url: str, reason: str) -> CatalogError:
    text = re.sub(r"//[^/@]*@", "//", url)[:80]
    return CatalogError(
        f"{text!r} is not the address of an endpoint: {reason}.", hint="An example: http://127.0.0.1:8000/v1"
    )


def checked_key(key: str) -> str:
    """Return the key if it can be sent in a header. Raises CatalogError, whose message does not contain it."""
    if not re.fullmatch(r"[!-~]+", key) or len(key) > MAX_KEY:
        raise CatalogError(
            "That key cannot be sent: it is empty, too long, or holds spaces or characters outside ASCII.",
            hint="Copy it again, the key alone.",
        )
    return key


def find(name: str) -> Endpoint:
    """Return the endpoint called `name`. Raises UnknownModel, which lists those that exist."""
    stored = endpoints()
    for endpoint in stored:
        if endpoint.name == name:
            return endpoint
    names = ", ".join(endpoint.name for endpoint in stored) or "none yet"
    raise UnknownModel(
        f"There is no endpoint {name[:40]!r}.",
        hint=f"Known: {names}. Add one: python -m playground endpoints add NAME URL",
    )


def endpoints() -> list[Endpoint]:
    """Return all endpoints, sorted by name. Raises CatalogError if the file cannot be read."""
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
        parsed = [_endpoint(name, raw) for name, raw in body["endpoints"].items()]
    except (ValueError, KeyError, TypeError, AttributeError, CatalogError) as error:
        reason = str(error) if type(error) is ValueError else "it is damaged"
        raise _unreadable(path, reason) from None  # the cause may quote the file, and with it a key
    return sorted(parsed, key=lambda endpoint: endpoint.name)


def _endpoint(name: str, raw: Mapping[str, Any]) -> Endpoint:
    values = {field.name: str(raw.get(field.name, "")) for field in fields(Endpoint) if field.name != "name"}
    return checked(Endpoint(name, **values))


def _unreadable(path: Path, reason: str) -> CatalogError:
    return CatalogError(f"{path.name} cannot be read: {reason}.", hint=f"Correct or remove {path}.")


def checked(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with a normalized URL. Raises CatalogError for an invalid field. Makes no connection."""
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

    A host that cannot be resolved now is stored too: every connection checks it again.
    """
    endpoint = checked(endpoint)
    parts = urlsplit(endpoint.url)
    try:
        resolve(parts.hostname or "", parts.port or 443, RESOLVE_S)
    except (OSError, TimeoutError) as error:
        log.warning("%s cannot be resolved now (%s); it is checked at every connection", parts.hostname, error)
    with _writing() as stored:
        stored[endpoint.name] = endpoint
    return endpoint


def remove(name: str) -> None:
    """Delete an endpoint and its key. Raises UnknownModel."""
    find(name)
    with _writing() as stored:
        stored.pop(name, None)


def _path() -> Path:
    return settings().data / "endpoints.json"


@contextmanager
def _writing() -> Iterator[dict[str, Endpoint]]:
    """Yield the endpoints by name to be changed, then store them atomically in a file that only its owner can read."""
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stored = {endpoint.name: endpoint for endpoint in endpoints()}
        yield stored
        rows = {
            name: {key: value for key, value in asdict(endpoint).items() if key != "name"}
            for name, endpoint in stored.items()
        }
        write_whole(path, json.dumps({"format": FORMAT, "endpoints": rows}, indent=2), mode=0o600)


# Network addresses.


def refusal(address: str) -> str:
    """Return why no connection is made to this IP address ("link-local", …); "" if it is allowed."""
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
    """Return the IPv4 address inside an IPv6 one (mapped, 6to4, Teredo, NAT64), or None."""
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
    """Return every IP address of `host`, if all are allowed. Decimal, octal and hexadecimal forms resolve too.

    Raises UnsafeAddress if any of them is refused (a name with both kinds is an attack, not a mistake),
    socket.gaierror, and TimeoutError after `timeout_s`.
    """
    if host.rstrip(".").lower() in METADATA_NAMES:
        raise UnsafeAddress(f"{host} is a cloud's metadata service; it is never connected to.", hint=HINT)
    addresses: list[str] = []
    failure: list[OSError | UnicodeError] = []

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))
        except (OSError, UnicodeError) as error:
            failure.append(error)

    # The system's resolver has no timeout of its own; a daemon thread that hangs in it ends with the program.
    thread = threading.Thread(target=look_up, name="resolve", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        raise TimeoutError(f"{host} was not resolved within {timeout_s:g} s")
    if failure:
        raise failure[0] if isinstance(failure[0], OSError) else socket.gaierror(f"{host} is no host name")
    for address in addresses:
        if reason := refusal(address):
            raise UnsafeAddress(f"{host} leads to {address}, {reason}; it is never connected to.", hint=HINT)
    return addresses
