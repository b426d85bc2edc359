"""Endpoints: what is stored and shown, which addresses are refused however they are written, names of remote models."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground import models
from playground import process as process_module
from playground.errors import (
    CatalogError,
    InvalidSettings,
    PlaygroundError,
    UnknownModel,
    UnsafeAddress,
    UnsupportedModel,
)
from playground.models import endpoints, names
from playground.models.endpoints import Endpoint
from tests.fakes.command_line import playground

KEY = "sk-very-secret-0123456789"
FILE = "endpoints.json"

REFUSED = [
    "169.254.169.254", "169.254.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "0.1.2.3", "::ffff:0:0",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "::",
    "ff02::1", "fec0::1", "::ffff:169.254.169.254", "::ffff:0.0.0.0", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
    "100::1", "fe80::1%lo",
]  # fmt: skip
ALLOWED = [
    "127.0.0.1", "127.8.8.8", "10.0.0.7", "192.168.1.20", "172.16.5.5", "100.64.0.9", "8.8.8.8", "::1",
    "::ffff:127.0.0.1", "fd12:3456::1", "2606:4700::1111",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_refused_addresses(address: str) -> None:
    assert endpoints.refusal(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_the_owners_own_networks_and_the_internet_are_allowed(address: str) -> None:
    assert endpoints.refusal(address) == ""


def spellings(ip: ipaddress.IPv4Address) -> list[str]:
    """How one address may be written in a URL: dotted, decimal, hexadecimal, octal, shortened, inside IPv6."""
    a, b, c, d = ip.packed
    number = int(ip)
    return [
        str(ip), str(number), hex(number), f"0{number:o}", f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"{a}.{number & 0xFFFFFF}", f"{a}.{b}.{number & 0xFFFF}", f"{ip}.",
        f"[::ffff:{ip}]", f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]", f"[64:ff9b::{ip}]",
        f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::]",
    ]  # fmt: skip


LINK_LOCAL = st.integers(int(ipaddress.IPv4Address("169.254.0.0")), int(ipaddress.IPv4Address("169.254.255.255")))
MULTICAST = st.integers(int(ipaddress.IPv4Address("224.0.0.0")), int(ipaddress.IPv4Address("255.255.255.255")))


@given(number=LINK_LOCAL | MULTICAST, form=st.integers(0, 12), path=st.sampled_from(["", "/", "/v1", "/openai/v1"]))
def test_no_spelling_of_a_refused_address_gets_through(number: int, form: int, path: str) -> None:
    host = spellings(ipaddress.IPv4Address(number))[form]
    try:
        url = endpoints.normalize_url(f"http://{host}:8000{path}")
    except CatalogError:
        return
    inside = url.removeprefix("http://").rsplit(":8000", 1)[0].strip("[]")
    try:
        found = endpoints.resolve(inside, 8000, 5)
    except (UnsafeAddress, OSError):
        return  # an address that is refused, or a spelling that leads nowhere on this system
    raise AssertionError(f"{host} leads to {found}")


@given(number=st.integers(0, 2**32 - 1))
def test_an_address_inside_an_ipv6_one_is_judged_as_itself(number: int) -> None:
    ip = ipaddress.IPv4Address(number)
    for host in spellings(ip)[9:]:
        assert endpoints.refusal(host.strip("[]")) == endpoints.refusal(str(ip))


@pytest.mark.parametrize("name", ["metadata.google.internal", "METADATA.google.internal.", "metadata", "instance-data"])
def test_metadata_names_are_refused_without_asking(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a name server was asked"))
    with pytest.raises(UnsafeAddress, match="metadata"):
        endpoints.resolve(name, 80, 1)


def answer(*found: str) -> list[tuple[object, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in found]


def test_one_bad_answer_among_good_ones_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer("8.8.8.8", "169.254.169.254"))
    with pytest.raises(UnsafeAddress, match=r"leads to 169\.254\.169\.254, link-local"):
        endpoints.resolve("innocent.example", 80, 1)


def test_a_name_server_that_hangs_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    never = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [never.wait(5)][1:])
    with pytest.raises(TimeoutError):
        endpoints.resolve("slow.example", 80, 0.05)
    never.set()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"),
        ("http://gpu-box:8000/v1/", "http://gpu-box:8000/v1"),
        ("HTTPS://Api.Example.com./openai/v1", "https://api.example.com/openai/v1"),
        ("https://example.com/v1beta/openai", "https://example.com/v1beta/openai"),
        ("https://example.com/openai", "https://example.com/openai/v1"),
        ("http://[::1]:8080", "http://[::1]:8080/v1"),
        ("https://bücher.example", "https://xn--bcher-kva.example/v1"),
    ],
)
def test_addresses_are_normalized(url: str, expected: str) -> None:
    assert endpoints.normalize_url(url) == expected == endpoints.normalize_url(expected)


@pytest.mark.parametrize(
    "url",
    [
        "", "127.0.0.1:8000", "ftp://h", "file:///etc/passwd", "gopher://h", "http://", "http:///v1", "http://h:0",
        "http://h:99999", "http://h:", "http://user@h", "http://user:pass@h/v1", "http://h?x=1", "http://h/#a", "http://h/v1?",
        "http://good\\@bad", "http:\\\\h", "http://h\\.evil", "http://h /v1", "http://h\n/v1", "http://h\r\nHost: x", "http://h/../x",
        "http://h/%2e%2e/x", "http://h/a;b", "http://[::1", "http://[zz]", "http://-", "http://a..b", "//h/v1", "http://h\x00",
        "http://[fe80::1%25lo]:80",
    ],
)  # fmt: skip
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(CatalogError) as caught:
        endpoints.normalize_url(url)
    assert "pass" not in str(caught.value).replace("password", "") or "passwd" in url


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_typed_error(text: str) -> None:
    for url in (text, f"http://{text}"):
        try:
            made = endpoints.normalize_url(url)
        except CatalogError:
            continue
        assert made.startswith(("http://", "https://")) and not set(made) & set("@\\?# \n")
        assert endpoints.normalize_url(made) == made


def test_a_stored_key_is_for_the_owners_eyes_only(home: Path) -> None:
    made = endpoints.add(Endpoint("lab", "http://127.0.0.1:9", KEY, model="a/b"))
    path = home / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert endpoints.endpoints() == [made] and endpoints.find("lab").secret() == KEY
    assert KEY not in repr(made) + str(made) + json.dumps(made.as_row()) and made.as_row()["key"] == "set"
    endpoints.add(Endpoint("lab", "http://127.0.0.1:10"))
    assert KEY not in path.read_text() and not endpoints.find("lab").has_key
    assert sorted(one.name for one in home.iterdir()) == [FILE, "endpoints.lock"]
    endpoints.remove("lab")
    assert endpoints.endpoints() == []
    with pytest.raises(UnknownModel, match="no endpoint 'lab'"):
        endpoints.remove("lab")


def test_a_key_may_stay_in_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoints.add(Endpoint("lab", "http://127.0.0.1:9", key_env="LAB_KEY"))
    with pytest.raises(InvalidSettings, match="LAB_KEY, which is not set"):
        endpoints.find("lab").secret()
    monkeypatch.setenv("LAB_KEY", KEY)
    assert endpoints.find("lab").secret() == KEY
    assert KEY not in (home / FILE).read_text()


def test_no_child_process_inherits_a_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from playground.engines.servers import ServerProcess, ServerSpec

    monkeypatch.setenv("LAB_KEY", KEY)
    assert process_module.without_keys(os.environ)["LAB_KEY"] == KEY
    endpoints.add(Endpoint("lab", "http://127.0.0.1:9", key_env="LAB_KEY"))
    endpoints.add(Endpoint("other", "http://127.0.0.1:9", KEY + "2"))
    monkeypatch.setenv("PLAYGROUND_DATABASE_URL", "postgresql://me:hidden@host/x")
    assert not {"LAB_KEY", "PLAYGROUND_DATABASE_URL"} & process_module.without_keys(os.environ).keys()
    process = ServerProcess(ServerSpec("probe", "playground.engines.host"))  # stays until it is read
    try:
        inherited = Path(f"/proc/{process.pid}/environ").read_bytes()
    finally:
        process.stop()
    assert b"PLAYGROUND_ENGINE_KEY" in inherited and KEY.encode() not in inherited and b"LAB_KEY" not in inherited


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint("Lab", "http://h"), Endpoint("", "http://h"), Endpoint("a b", "http://h"), Endpoint("-a", "http://h"),
        Endpoint("a" * 33, "http://h"), Endpoint("../x", "http://h"), Endpoint("lab", "http://h", "two words"),
        Endpoint("lab", "http://h", KEY + "\nX: y"), Endpoint("lab", "http://h", KEY, "LAB_KEY"),
        Endpoint("lab", "http://h", key_env=KEY), Endpoint("lab", "http://h", model="a b"),
        Endpoint("lab", "http://h", "é" * 9),
    ],
)  # fmt: skip
def test_what_cannot_be_stored(endpoint: Endpoint, home: Path) -> None:
    with pytest.raises(CatalogError) as caught:
        endpoints.add(endpoint)
    assert KEY not in str(caught.value) and not (home / FILE).exists()


@pytest.mark.parametrize("host", ["169.254.169.254", "0xa9fea9fe", "2852039166", "[::ffff:a9fe:a9fe]", "0.0.0.0"])  # noqa: S104
def test_a_refused_address_is_not_stored(host: str, home: Path) -> None:
    with pytest.raises(UnsafeAddress):
        endpoints.add(Endpoint("lab", f"http://{host}/v1", KEY))
    assert not (home / FILE).exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"format": 9, "endpoints": {}}', b'{"format": 1, "endpoints": {"x": 3}}', b"\xff",
     b'{"format": 1, "endpoints": {"x": {"url": "file:///x", "key": "%s"}}}' % KEY.encode()],
)  # fmt: skip
def test_a_damaged_file_is_named_without_its_keys_and_leaves_the_other_models(content: bytes, home: Path) -> None:
    (home / FILE).write_bytes(content)
    with pytest.raises(CatalogError, match=f"{FILE} cannot be read") as caught:
        endpoints.endpoints()
    assert KEY not in str(caught.value) and caught.value.__cause__ is None
    assert "smollm2" in models.models()


def test_names_of_remote_models(home: Path) -> None:
    endpoints.add(Endpoint("lab", "http://10.1.2.3:8000", KEY, model="Qwen/Qwen2.5-7B-Instruct"))
    endpoints.add(Endpoint("bare", "http://10.1.2.3:8001"))
    full = "@lab/Qwen/Qwen2.5-7B-Instruct"
    parsed = names.parse(full)
    assert (parsed.kind, parsed.endpoint, parsed.repo) == ("remote", "lab", "Qwen/Qwen2.5-7B-Instruct")
    assert models.split("@lab/llama3:8b") == ("@lab/llama3:8b", ""), "a remote model has no variants made here"
    assert models.models()[-1] == full and not any(name.startswith("@bare") for name in models.models())
    assert models.describe(full) == "endpoint lab (10.1.2.3:8000)"
    variant = models.variant(full)
    assert models.variants(full) == [variant]
    assert (variant.id, variant.engines, variant.scheme, variant.bytes) == (full, ("remote",), "?", None)
    assert variant.label == "Qwen2.5-7B-Instruct" and models.variant("@lab").label == "Qwen2.5-7B-Instruct"
    assert KEY not in repr(variant)
    with pytest.raises(UnsupportedModel, match="runs at its endpoint"):
        models.resolve(full)
    with pytest.raises(UnknownModel, match="no endpoint 'lba'"):
        models.variant("@lba/x")


@pytest.mark.parametrize("name", ["@", "@/x", "@Lab/x", "@lab/", "@lab/a b", "@lab/a\nb", "@la_b/x", "@lab//", "@../x"])
def test_names_that_are_no_remote_model(name: str, home: Path) -> None:
    with pytest.raises(PlaygroundError):
        models.variant(name)


def test_the_command_line_never_prints_a_key(home: Path) -> None:
    shown = ""
    for arguments, text, status in (
        (("add", "lab", "http://127.0.0.1:9", "--key-stdin", "--model", "a/b"), f"{KEY}\n", 0),
        (("list",), "", 0),
        (("list", "--json"), "", 0),
        (("test", "lab"), "", 1),
        (("add", "meta", "http://169.254.169.254/v1", "--key-stdin"), f"{KEY}\n", 1),
        (("remove", "lab"), "", 0),
    ):
        done = playground("endpoints", *arguments, text=text)
        assert done.returncode == status, done.stderr
        shown += done.stdout + done.stderr
        if "--json" in arguments:
            row = {"name": "lab", "url": "http://127.0.0.1:9/v1", "model": "a/b", "key": "set"}
            assert json.loads(done.stdout) == [row]
    assert KEY not in shown and "Traceback" not in shown
    assert "key: set" in shown and "cannot be reached" in shown and "link-local" in shown
