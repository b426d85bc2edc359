"""Which network addresses an endpoint may have: checked on what a name resolves to, never on how it is written.

Loopback and private networks are the owner's own servers and are allowed. What only a cloud's own services or nobody
answers on is refused, so that no endpoint, redirect or changed DNS answer reaches a machine's credentials.
"""

from __future__ import annotations

import ipaddress
import socket
import threading

from playground.errors import UnsafeAddress

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where clouds answer with a machine's credentials, outside the link-local range 169.254.0.0/16.
METADATA = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
METADATA_NAMES = ("metadata", "metadata.google.internal", "metadata.goog", "instance-data", "metadata.azure.internal")
_NOT_HOSTS = (ipaddress.ip_network("0.0.0.0/8"), ipaddress.ip_network("192.0.0.0/24"))
_SITE_LOCAL = ipaddress.ip_network("fec0::/10")
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


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


HINT = "Endpoints may be on the internet, in a private network or on this machine."
