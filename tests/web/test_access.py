"""A page that others reach: the gate in front of every route, the owner's login, and what visitors may do."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import logging
import os
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio import http_server, oauth
from itsdangerous import TimestampSigner
from starlette.responses import PlainTextResponse

from playground.errors import InvalidSettings, OutOfQuota, TooMany, WrongLogin
from playground.process import without_keys
from playground.settings import settings
from playground.store import database
from playground.web import access, gate
from playground.web.gate import Gate, PageToken
from playground.web.owner import COOKIE, Logins, Owner, Rules
from playground.web.visitor import Hosts, visitor
from tests.fakes import catalog
from tests.fakes.api import Page, Refused
from tests.fakes.engine import FakeEngine, Script
from tests.fakes.evaluation_run import TASKS, VARIANTS, evaluation
from tests.fakes.loops import finished
from tests.fakes.queue import FakeQueue
from tests.fakes.site import serving
from tests.fakes.visitor import Visitor
from tests.web.test_owner import request

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what a public page listens on
TOKEN = "a-token-of-the-owner-0123456789"


@pytest.fixture
def public(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, FakeEngine]]:
    """A page that others reach, with a token, and its engine."""
    catalog.install(monkeypatch)
    monkeypatch.setenv("PLAYGROUND_OWNER_TOKEN", TOKEN)
    engine = FakeEngine()
    with serving(engine, host=EVERYWHERE) as url:
        yield f"http://127.0.0.1:{httpx.URL(url).port}", engine


# ---- the gate

LOCAL = Hosts.of("127.0.0.1", False)
OPEN = Hosts.of(EVERYWHERE, False, ["play.example.org", "*.lab.example"])


@pytest.mark.parametrize(
    ("hosts", "host", "fine"),
    [
        (LOCAL, "127.0.0.1:7860", True),
        (LOCAL, "[::1]:7860", True),
        (LOCAL, "localhost", True),
        (LOCAL, "192.168.1.2:7860", False),
        (LOCAL, "rebound.example", False),
        (LOCAL, "localhost@rebound.example", False),
        (LOCAL, "127.0.0.1.rebound.example", False),
        (LOCAL, "", False),
        (LOCAL, "[::1", False),
        (OPEN, "play.example.org", True),
        (OPEN, "PLAY.example.org:443", True),
        (OPEN, "a.lab.example", True),
        (OPEN, "lab.example", False),
        (OPEN, "evil-lab.example", False),
        (OPEN, "play.example.org.evil.example", False),
        (OPEN, "192.168.1.2:7860", True),
        (OPEN, "[2001:db8::1]:7860", True),
        (OPEN, f"{socket.gethostname()}:7860", True),
    ],
)
def test_a_page_answers_to_its_own_names(hosts: Hosts, host: str, fine: bool) -> None:
    assert hosts.allows(host) is fine


def test_a_space_answers_to_the_names_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_HOST", "me-playground.hf.space, play.example")
    found = Hosts.of(EVERYWHERE, False)
    assert found.allows("me-playground.hf.space") and found.allows("play.example")
    assert found.origin("https://me-playground.hf.space", "10.0.0.7:7860"), "a proxy may send another Host"
    assert not found.origin("https://huggingface.co", "me-playground.hf.space")


PATHS = [
    ("GET", "/"), ("GET", "/config"), ("GET", "/gradio_api/info"), ("GET", "/gradio_api/startup-events"),
    ("POST", "/gradio_api/queue/join"), ("POST", "/gradio_api/run/predict"), ("POST", "/gradio_api/call/generate"),
    ("POST", "/gradio_api/cancel"), ("OPTIONS", "/gradio_api/queue/join"), ("POST", "/access/login"),
    ("GET", "/quantize/files"), ("GET", "/theme.css"), ("GET", "/no/such/route"), ("PUT", "/reviews/a/votes"),
]  # fmt: skip
FOREIGN = [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "rebound.example"},
    {"Origin": "http://127.0.0.1:1"}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
]  # fmt: skip


@pytest.mark.parametrize("host", ["127.0.0.1", EVERYWHERE])
def test_no_route_answers_another_website(host: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.install(monkeypatch)
    with serving(FakeEngine(), host=host) as served, httpx.Client() as client:
        url = f"http://127.0.0.1:{httpx.URL(served).port}"
        for method, path in PATHS:
            for headers in FOREIGN:
                asked = headers | {"Access-Control-Request-Method": "POST"} if method == "OPTIONS" else headers
                answer = client.request(method, f"{url}{path}", headers=asked)
                assert answer.status_code == 403, (method, path, headers)
                assert "access-control-allow-origin" not in answer.headers
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert client.get(f"{url}/?run=abc", headers=link).status_code == 307, "a link works, whoever shows it"
        same = {"Origin": url, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
        assert client.get(f"{url}/config", headers=same).status_code == 200


def test_every_answer_says_what_a_browser_may_do_with_it(public: tuple[str, FakeEngine]) -> None:
    url, _ = public
    for method, path in (
        ("GET", "/"), ("GET", "/config"), ("GET", "/no/such"), ("GET", "/api/page"), ("POST", "/gradio_api/upload"),
        ("POST", "/access/login"), ("OPTIONS", "/api/page"), ("PUT", "/api/page"), ("GET", "/openapi.json"),
        ("GET", "/static/none.js"), ("GET", "/health"), ("POST", "/gradio_api/call/none"),
    ):  # fmt: skip
        said = httpx.request(method, f"{url}{path}").headers
        policy = dict(part.split(" ", 1) for part in said["content-security-policy"].split("; "))
        assert policy["frame-ancestors"] == "'none'", path
        assert not [value for value in policy.values() if "*" in value or "http" in value]
        assert policy["default-src"] == "'none'", path
        assert "unsafe" not in said["content-security-policy"], path
        assert (said["x-content-type-options"], said["referrer-policy"]) == ("nosniff", "no-referrer")
        assert "camera=()" in said["permissions-policy"] and said["x-frame-options"] == "DENY"
        assert said["cross-origin-opener-policy"] == said["cross-origin-resource-policy"] == "same-origin"
        assert said["x-robots-tag"] == "noindex, nofollow"
        assert "access-control-allow-origin" not in said


def test_a_route_may_be_stricter_than_the_page(home: Path) -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("x", headers={"Content-Security-Policy": "sandbox"})(scope, receive, send)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")]}
    finished(Gate(app, LOCAL, Owner("127.0.0.1"), PageToken())(scope, None, send))  # type: ignore[arg-type]
    said = dict(sent[0]["headers"])
    assert (
        said[b"content-security-policy"] == b"sandbox; frame-ancestors 'none'"
        and said[b"x-content-type-options"] == b"nosniff"
    )


def test_on_a_space_the_hub_frames_the_page_and_nobody_else(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.install(monkeypatch)
    monkeypatch.setenv("SPACE_HOST", "me-playground.hf.space")
    with serving(FakeEngine(), host=EVERYWHERE) as served:
        url = f"http://127.0.0.1:{httpx.URL(served).port}"
        said = httpx.get(url, headers={"Host": "me-playground.hf.space"}).headers
        assert said["content-security-policy"].endswith("; frame-ancestors https://huggingface.co")
        assert "x-frame-options" not in said
        assert httpx.get(url, headers={"Host": "other.hf.space"}).status_code == 403


SHUT = (
    "upload", "upload_progress", "proxy=http://169.254.169.254/", "file=http://169.254.169.254/latest",
    "file=//evil.example/x", "file=\\\\evil.example\\x", "file/etc/passwd", "stream/a", "process_recording",
    "vibe-edit", "vibe-code/", "run-history/buckets", "deep_link", "component_server", "dev/reload",
    "custom_component/a/b/c/d", "token", "profiling/traces",
)  # fmt: skip


def test_what_nothing_here_uses_is_shut(public: tuple[str, FakeEngine]) -> None:
    for path, method in itertools.product(SHUT, ("GET", "POST")):
        for place in ("/gradio_api/", "//gradio_api//"):
            assert httpx.request(method, f"{public[0]}{place}{path}").status_code == 404, (method, place, path)


def test_a_body_ends_at_the_limit_whatever_it_says_of_its_length(public: tuple[str, FakeEngine]) -> None:
    url = f"{public[0]}/gradio_api/queue/join"

    def sent(content: Any) -> int:
        try:
            return httpx.post(url, content=content, headers={"Content-Type": "application/json"}).status_code
        except httpx.TransportError:  # the connection was closed on what went on being sent
            return 413

    assert sent(b"x" * (9 << 20)) == 413
    assert sent(b"x" * (1 << 20) for _ in range(40)) == 413
    assert sent(b'{"data": [') in (400, 422), "and what is only wrong is told so"
    assert httpx.get(f"{public[0]}/api/page").status_code == 200, "and the page goes on"


def test_a_connection_that_sends_no_more_is_closed(
    public: tuple[str, FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "SILENCE_S", 0.2)
    where = httpx.URL(public[0])
    with socket.create_connection((where.host, where.port), timeout=20) as line:
        line.sendall(f"POST /access/login HTTP/1.1\r\nHost: {where.netloc.decode()}\r\n".encode())
        line.sendall(b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        told = b"".join(iter(lambda: line.recv(4096), b""))  # until the server closes
    assert told.startswith(b"HTTP/1.1 408") and b"content-security-policy" in told


def test_only_the_owner_sends_more_than_a_prompt_needs(
    public: tuple[str, FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = public
    owner, someone = Visitor(url), Visitor(url)
    owner.log_in(TOKEN)

    def sent(who: Visitor, path: str, size: int, pieces: bool = False, **headers: str) -> tuple[int, str]:
        body = b"[" * size  # what takes longest to parse, did anybody
        content = iter([body[:1000], body[1000:]]) if pieces else body
        headers = {"Content-Type": "application/json"} | headers
        answer = who.http.post(path, content=content, headers=headers)
        return answer.status_code, answer.text

    for path in ("run/predict", "queue/join", "call/generate", "call/v2/generate"):
        for pieces in (False, True):
            refused = sent(someone, f"/gradio_api/{path}", 2**16 + 1, pieces)
            assert refused[0] == 413 and "64 KiB" in refused[1], path
            assert sent(owner, f"/gradio_api/{path}", 2**16 + 1, pieces)[0] in (400, 422)
    token = {"X-Playground-Token": TOKEN}
    assert sent(someone, "/gradio_api/queue/join", 2**20, **token)[0] in (400, 422), "a script of the owner's"
    assert sent(owner, "/gradio_api/queue/join", 2**23 + 1)[0] == 413
    assert "panes" in str(someone.call("generate", ["fake"], "字" * 8000)), (
        "the longest prompt of a visitor, as \\uXXXX"
    )
    monkeypatch.setenv("PLAYGROUND_PUBLIC_MAX_PROMPT_CHARS", "20000")
    assert "panes" in str(someone.call("generate", ["fake"], "字" * 20_000)), "the owner lets them send more"


def test_nonsense_of_strangers_leaves_lines_and_no_tracebacks(
    public: tuple[str, FakeEngine],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, _ = public
    monkeypatch.setattr(gate.log, "filters", [gate.Bounded()])
    bodies = (b"[" * 60_000, b'{"data": 5}', b'{"data": [1, 2, 3]}', b'{"data": [], "fn_index": 99999}', b"\xff\x00{")
    calls = ("call/generate", "call/v2/generate", "call/v2/none", "run/predict", "run/none", "queue/join", "cancel")
    for path, body in itertools.product(calls, bodies):
        httpx.post(f"{url}/gradio_api/{path}", content=body, headers={"Content-Type": "application/json"})
    for path in ("queue/data?session_hash=nope", "call/generate/nope", "call/none/nope", "mcp/none"):
        with contextlib.suppress(httpx.RemoteProtocolError):
            httpx.get(f"{url}/gradio_api/{path}")
    for data in ([5, 5], [["fake"], {"a": 1}], ["fake", "Hi", "", "x"]):
        Visitor(url).call("generate", *data)
    told = capfd.readouterr()
    assert "Traceback" not in told.out + told.err + caplog.text
    lines = [one.getMessage() for one in caplog.records if one.name.startswith(("playground", "uvicorn"))]
    assert "failed: " in caplog.text and max(map(len, lines)) < 400 and len(lines) < 70


# ---- the login


def test_a_token_becomes_a_cookie_that_makes_the_owner(
    public: tuple[str, FakeEngine], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    url, _ = public
    owner, other = Visitor(url), Visitor(url)
    with caplog.at_level(logging.DEBUG):
        assert owner.http.get("/api/page").json()["role"] == "user"
        refused = owner.log_in("not the token")
        assert (refused.status_code, refused.json()["error"]["message"]) == (401, "That is not the owner’s token.")
        answer = owner.log_in(TOKEN)
        assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    for word in (f"{COOKIE}=", "HttpOnly", "SameSite=strict", "Path=/", "Max-Age="):
        assert word in cookie
    assert "Secure" not in cookie, "over plain HTTP it would never come back"
    assert TOKEN not in cookie and TOKEN not in answer.text
    me = owner.http.get("/api/page").json()
    assert (me["role"], me["how"]) == ("owner", "token") and other.http.get("/api/page").json()["role"] == "user"
    assert owner.http.get("/api/jobs").status_code == 200
    refused = other.http.get("/api/jobs")
    assert (refused.status_code, refused.json()["error"]["hint"]) == (403, "Log in as the owner.")
    encrypted = other.http.post("/access/login", json={"token": TOKEN}, headers={"X-Forwarded-Proto": "https"})
    assert "; Secure" in encrypted.headers["set-cookie"]
    value = owner.http.cookies[COOKIE]
    assert owner.http.post("/access/logout").status_code == 200
    stolen = httpx.get(f"{url}/api/page", cookies={COOKIE: value}).json()
    assert stolen["role"] == "user", "a cookie ends with the logout, not only with the browser's copy"
    told = capfd.readouterr()
    logged = " ".join(one.getMessage() for one in caplog.records if not one.name.startswith(("httpx", "httpcore")))
    assert not [word for word in (TOKEN, value) if word in logged + told.out + told.err]


def test_a_script_sends_the_token_in_a_header(public: tuple[str, FakeEngine]) -> None:
    script = Visitor(public[0], {"X-Playground-Token": TOKEN})
    assert script.http.get("/api/page").json()["role"] == "owner"
    assert script.call("jobs") == []
    assert "available to the owner only" in str(Visitor(public[0]).call("jobs"))
    in_url = httpx.get(f"{public[0]}/api/page", params={"token": TOKEN, "x-playground-token": TOKEN})
    assert in_url.json()["role"] == "user", "never by the address: that is logged everywhere"


def test_wrong_guesses_are_few_and_lock_nobody_out_who_has_the_token() -> None:
    logins = Logins(TOKEN)
    for _ in range(5):
        with pytest.raises(WrongLogin):
            logins.enter("guess", "1.2.3.4")
    assert logins.guesses("1.2.3.4") and not logins.guesses("5.6.7.8")
    with pytest.raises(TooMany):
        logins.enter("guess", "1.2.3.4")
    assert logins.enter(TOKEN, "1.2.3.4"), "the owner, who shares the address with whoever guesses"
    assert logins.knows(request("1.2.3.4", x_playground_token=TOKEN)), "and the owner's script"
    assert not logins.knows(request("1.2.3.4", x_playground_token="guess"))
    with pytest.raises(TooMany):
        logins.enter("guess", "1.2.3.4")
    assert logins.guesses("1.2.3.4"), "a right one clears nobody's account"
    closed = Logins()
    for guess in ("", "x"):
        with pytest.raises(WrongLogin):
            closed.enter(guess, "1.2.3.4")
    assert TOKEN not in repr(logins) and TOKEN not in repr(Owner(EVERYWHERE, False, logins))


def test_an_owner_who_shares_an_address_with_a_guesser_logs_in(public: tuple[str, FakeEngine]) -> None:
    url, _ = public
    told = [httpx.post(f"{url}/access/login", json={"token": f"guess {n}"}) for n in range(8)]
    assert [answer.status_code for answer in told] == [401] * 5 + [429] * 3
    assert Visitor(url).log_in(TOKEN).status_code == 200
    assert httpx.get(f"{url}/api/page", headers={"X-Playground-Token": TOKEN}).json()["role"] == "owner"
    assert httpx.post(f"{url}/access/login", json={"token": "another"}).status_code == 429


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 4000, b'{"token": 5}', b'{"token": ""}', b"x" * 5000])
def test_whatever_else_is_sent_to_the_login_is_refused(public: tuple[str, FakeEngine], body: bytes) -> None:
    assert httpx.post(f"{public[0]}/access/login", content=body).status_code in (401, 429)


def test_a_short_token_is_refused_at_the_start_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_OWNER_TOKEN", "too-short")
    with pytest.raises(InvalidSettings, match="PLAYGROUND_OWNER_TOKEN is not usable") as refused:
        settings()
    assert "too-short" not in str(refused.value)
    monkeypatch.setenv("PLAYGROUND_OWNER_TOKEN", TOKEN)
    assert TOKEN not in repr(settings())
    monkeypatch.setenv("PLAYGROUND_PUBLIC_RATE", "often")
    with pytest.raises(InvalidSettings, match="PLAYGROUND_PUBLIC_RATE is 'often'"):
        settings()


def test_no_child_process_gets_the_pages_secrets() -> None:
    found = without_keys({"PLAYGROUND_OWNER_TOKEN": TOKEN, "OAUTH_CLIENT_SECRET": "s", "PATH": "/bin"})
    assert found == {"PATH": "/bin"}


def test_a_share_link_makes_a_token_and_visitors_only_look(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    owner, guard = access.guard("127.0.0.1", shared=True)
    assert len(owner.logins.token) >= 32 and owner.role(request()) == "viewer", "even here: who knows who asks"

    class Shared:
        share_url, share = "https://abc.gradio.live", True

    guard.opened(Shared())  # type: ignore[arg-type]
    assert capsys.readouterr().out.count(owner.logins.token) == 1 and owner.logins.token not in caplog.text
    assert guard.hosts.allows("abc.gradio.live") and not guard.hosts.allows("other.gradio.live")
    monkeypatch.setenv("PLAYGROUND_OWNER_TOKEN", TOKEN)
    owner, guard = access.guard("127.0.0.1", shared=True)
    assert (owner.logins.token, guard.new_token) == (TOKEN, ""), "one's own token is not printed"


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("SYSTEM", "spaces"),
        ("SPACE_ID", "me/playground"),
        ("OAUTH_CLIENT_ID", "id"),
        ("OAUTH_CLIENT_SECRET", "signs cookies"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PLAYGROUND_OWNERS", "Ada, grace")


@pytest.mark.usefixtures("space")
@pytest.mark.parametrize(
    ("name", "left", "role"), [("ada", 60, "owner"), ("GRACE", 60, "owner"), ("eve", 60, "user"), ("ada", -1, "user")]
)
def test_on_a_space_an_account_of_the_hub_makes_the_owner(
    name: str, left: float, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request("10.0.0.1", "me-playground.hf.space", x_forwarded_for="1.2.3.4")
    asked.request.scope["session"] = {
        "oauth_info": {"userinfo": {"preferred_username": name}, "expires_at": time.time() + left}
    }
    owner = Owner(EVERYWHERE)
    assert owner.role(asked) == role and owner.can_log_in
    monkeypatch.delenv("OAUTH_CLIENT_SECRET")
    assert owner.role(asked) == "user", "without a secret anybody could sign such a cookie"


@pytest.mark.usefixtures("space")
def test_a_sign_in_counts_where_the_spaces_own_secret_signed_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.install(monkeypatch)
    for name in ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES"):
        monkeypatch.setattr(oauth, name, "signs cookies")
    monkeypatch.setattr(oauth, "OPENID_PROVIDER_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(http_server, "get_space", lambda: None)  # else it watches files with a package that Spaces have

    def cookie(name: str, secret: str) -> dict[str, str]:
        info = {"userinfo": {"preferred_username": name}, "expires_at": time.time() + 60}
        signer = TimestampSigner(hashlib.sha256(f"{secret}-v4".encode()).hexdigest())
        return {"session": signer.sign(b64encode(json.dumps({"oauth_info": info}).encode())).decode()}

    with serving(FakeEngine(), host=EVERYWHERE) as served:
        url = f"http://127.0.0.1:{httpx.URL(served).port}"

        def me(name: str, secret: str) -> tuple[str, str]:
            said = httpx.get(f"{url}/api/page", cookies=cookie(name, secret)).json()
            return said["role"], said["how"]

        assert me("ada", "signs cookies") == ("owner", "hub")
        assert me("eve", "signs cookies") == ("user", "")
        assert me("ada", "a guess") == me("ada", "") == ("user", "")

        def large(name: str) -> int:
            signed = cookie(name, "signs cookies")
            return httpx.post(f"{url}/gradio_api/queue/join", content=b"[" * 2**17, cookies=signed).status_code

        assert large("ada") in (400, 422) and large("eve") == 413
        assert httpx.get(f"{url}/api/page").json()["hub"] is True


# ---- visitors


@pytest.mark.parametrize(
    ("client", "forwarded", "proxies", "key"),
    [
        ("9.9.9.9", "1.1.1.1", "0", "9.9.9.9"),
        ("10.0.0.1", "6.6.6.6, 1.1.1.1", "1", "1.1.1.1"),
        ("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "2", "1.1.1.1"),
        ("10.0.0.1", "", "1", "10.0.0.1"),
        ("9.9.9.9", "1.1.1.1", "1", "9.9.9.9"),
        ("127.0.0.1", "6.6.6.6, 1.1.1.1", "127.0.0.1", "1.1.1.1"),
        ("::ffff:127.0.0.1", "1.1.1.1", "127.0.0.1,::1", "1.1.1.1"),
        ("127.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "127.0.0.1, 10.0.0.0/8", "1.1.1.1"),
        ("127.0.0.1", "1.1.1.1", "10.0.0.0/8", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "1.1.1.1:5555", "127.0.0.1", "1.1.1.1"),
        ("127.0.0.1", "[2001:db8:1:2:3::4]:5555", "127.0.0.1", "2001:db8:1:2::/64"),
        ("127.0.0.1", "unknown", "127.0.0.1", "unknown"),
        ("127.0.0.1", "1.1.1.1", "", "127.0.0.1"),
        ("2001:db8:1:2:3::4", "", "0", "2001:db8:1:2::/64"),
        ("::ffff:1.1.1.1", "", "0", "1.1.1.1"),
    ],
)
def test_a_visitor_is_an_address_that_nobody_can_choose(
    client: str, forwarded: str, proxies: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_PROXIES", proxies)
    more = {"x_forwarded_for": forwarded} if forwarded else {}
    assert visitor(request(client, **more)) == key
    assert visitor(None) == ""


def test_a_forged_address_lifts_no_limit(public: tuple[str, FakeEngine]) -> None:
    url, engine = public
    told = [
        httpx.post(f"{url}/access/login", json={"token": "guess"}, headers={"X-Forwarded-For": f"1.1.1.{n}"})
        for n in range(8)
    ]
    assert [answer.status_code for answer in told] == [401] * 5 + [429] * 3
    runs = [str(Visitor(url, {"X-Forwarded-For": f"1.1.1.{n}"}).call("generate", ["fake"], "Hi")) for n in range(13)]
    assert all("panes" in run for run in runs[:12]) and "12 answers within a minute" in runs[12]
    assert len(engine.asked) == 12


def test_visitors_behind_a_named_proxy_are_told_apart(
    public: tuple[str, FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_PROXIES", "127.0.0.1")

    def guess(forwarded: str) -> int:
        headers = {"X-Forwarded-For": forwarded}
        return httpx.post(f"{public[0]}/access/login", json={"token": "guess"}, headers=headers).status_code

    assert [guess(f"1.1.1.{n}") for n in range(6)] == [401] * 6
    assert [guess(f"6.6.6.{n}, 2.2.2.2") for n in range(6)] == [401] * 5 + [429], "what it sent itself does not count"


@pytest.mark.parametrize("wrong", ["nginx", "10.0.0.1/8", "1, 10.0.0.1", "-1"])
def test_a_proxy_that_cannot_be_read_is_refused_at_the_start(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_PROXIES", wrong)
    with pytest.raises(InvalidSettings, match="PLAYGROUND_PROXIES is"):
        settings()


def run(who: Page, prompt: str = "Hi") -> str:
    """What came of a prompt: the rows of the stream, or the refusal."""
    try:
        who.post("run", prompt=prompt)
        return json.dumps(who.follow())
    except Refused as refused:
        return str(refused)


def opened(url: str, token: str = "", **headers: str) -> Page:
    """Compare as a visitor opened it; with the token, as the owner."""
    who = Page(url, {name.replace("_", "-"): value for name, value in headers.items()})
    if token:
        who.http.post("/access/login", json={"token": token})
    return who.open()


def test_visitors_compare_what_is_offered_and_nothing_else(public: tuple[str, FakeEngine]) -> None:
    url, engine = public
    who = Visitor(url)
    assert "Gravity" in run(opened(url))
    assert {asked.variant for asked in engine.asked} == {"fake", "fake:nf4"}
    for name in ("other", "/etc", "~/.ssh", "owner/name", "@mine/model", "fake2", "fake/../x"):
        (refused,) = [str(who.call("models", name))]
        assert "not offered to visitors" in refused and "Choose fake" in refused, name
        assert "not offered" in str(who.call("generate", [name], "Hi"))
        for form in ("speed", "quantize", "evaluate", "review"):
            answer = who.http.get(f"/api/{form}/form", params={"model": name})
            assert answer.json()["error"]["code"] in ("not_offered", "owner_only"), (form, name)
    measure = who.http.post("/api/speed/measure", json={"addresses": ["fake"]})
    assert measure.json()["error"]["message"] == "This is available to the owner only."
    assert who.call("models")[0]["id"] == "fake"
    assert {asked.variant for asked in engine.asked} == {"fake", "fake:nf4"}


def test_visitors_have_limits_and_the_owner_has_none(public: tuple[str, FakeEngine]) -> None:
    url, engine = public
    who = Visitor(url)
    assert "Visitors get 256" in str(who.call("generate", ["fake"], "Hi", "", 257))
    assert "8,001 characters" in str(who.call("generate", ["fake"], "x" * 8001))
    assert "8,001 characters" in run(opened(url), "x" * 8001)
    assert "A run of 5 panes. Visitors get 4" in str(who.call("generate", ["fake"] * 5, "Hi"))
    for _ in range(2):
        assert "panes" in str(who.call("generate", ["fake"] * 4, "Hi"))
    for _ in range(3):
        assert "panes" in str(who.call("generate", ["fake"], "Hi"))
    assert "12 answers within a minute" in str(who.call("generate", ["fake"] * 2, "Hi")), "each answer counts"
    assert "panes" in str(who.call("generate", ["fake"], "Hi")), "what was refused does not"
    assert "12 answers within a minute" in run(opened(url)), "another tab is the same visitor"
    assert who.log_in(TOKEN).status_code == 200
    assert "panes" in str(who.call("generate", ["fake"] * 5, "x" * 9000, "", 300))
    assert len(engine.asked) == 17


def test_a_page_for_looking_generates_for_its_owner_alone(
    public: tuple[str, FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, engine = public
    monkeypatch.setenv("PLAYGROUND_PUBLIC", "view")
    who = Visitor(url)
    me = who.http.get("/api/page").json()
    assert (me["role"], me["limits"], me["models"]) == ("viewer", None, [])
    assert "available to the owner only" in run(opened(url))
    assert "available to the owner only" in str(who.call("generate", ["fake"], "Hi"))
    assert not engine.asked
    assert who.log_in(TOKEN).status_code == 200 and "panes" in str(who.call("generate", ["fake"], "Hi"))


def test_the_queue_of_visitors_is_short_and_everybody_has_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_PUBLIC_GENERATIONS", "3")
    monkeypatch.setenv("PLAYGROUND_MODEL", "fake")
    rules = Rules(Owner(EVERYWHERE))
    first, second, owner = request("1.1.1.1"), request("2.2.2.2"), request("3.3.3.3")
    with rules.running(first) as a, rules.running(first) as b, rules.running(first) as c:
        assert (a, b) == (None, None) and isinstance(c, TooMany) and "Your other runs" in str(c)
        with rules.running(second) as d, rules.running(second) as e:
            assert d is None and isinstance(e, TooMany) and "3 runs of visitors" in str(e)
            with pytest.raises(TooMany):
                rules.begin(second, ["fake"], 1, 1)
            with Rules(Owner("127.0.0.1")).running(request()) as here:
                assert here is None
    with rules.running(owner) as later:
        assert later is None, "what ends makes room"
    with pytest.raises(RuntimeError), rules.running(first):
        raise RuntimeError
    assert rules._running.total() == 0


def test_no_stranger_ends_a_run_or_empties_panes(
    public: tuple[str, FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By opening more sessions than are kept."""
    url, engine = public
    monkeypatch.setenv("PLAYGROUND_PROXIES", "127.0.0.1")
    idle = opened(url, X_Forwarded_For="3.3.3.3")
    assert "together" in run(idle)
    engine.scripts = {"fake": Script(hold_at=3), "fake:nf4": Script(hold_at=3)}
    owner, stranger = opened(url, TOKEN), Page(url, {"X-Forwarded-For": "6.6.6.6"})
    before = len(engine.asked)
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(run, owner)
        until = time.monotonic() + 30
        while len(engine.asked) == before:
            assert time.monotonic() < until
            time.sleep(0.01)
        for _ in range(120):
            stranger.open()
        engine.go.set()
        assert " together" in told.result(), "the owner's answer goes on to its end"
    script = Visitor(url, {"X-Playground-Token": TOKEN})
    stored = script.call("runs")
    assert len(stored) == 2 and all("together" in json.dumps(script.call("runs", one["id"])) for one in stored)
    assert idle.get("/api/compare/state")["session"] == idle.state["session"], "nor does an idle page lose its session"


def test_the_owners_generate_does_not_wait_behind_visitors(
    public: tuple[str, FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, engine = public
    monkeypatch.setenv("PLAYGROUND_PROXIES", "127.0.0.1")
    engine.scripts["fake"] = Script(hold_at=2)
    with ThreadPoolExecutor(12) as pool:
        visitors = [Visitor(url, {"X-Forwarded-For": f"{n}.{n}.{n}.{n}"}) for n in range(1, 11)]
        told = [pool.submit(who.call, "generate", ["fake"], "Hi") for who in visitors]
        try:
            until = time.monotonic() + 30
            while sum(one.done() for one in told) < 6:  # four run, and the others are refused at once
                assert time.monotonic() < until
                time.sleep(0.01)
            owner = Visitor(url, {"X-Playground-Token": TOKEN})
            answer = pool.submit(owner.call, "generate", ["fake:nf4"], "Hi").result(20)
            assert "panes" in str(answer) and sum(one.done() for one in told) == 6
        finally:
            engine.go.set()
        assert sum("4 runs of visitors are going on" in str(one.result()) for one in told) == 6


def test_results_of_visitors_have_a_quota(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules, stranger = Rules(Owner(EVERYWHERE)), request("1.1.1.1")
    rules.check_room(stranger)
    evaluation(VARIANTS[:2], TASKS[:1])
    assert database.size() > 10_000
    monkeypatch.setenv("PLAYGROUND_PUBLIC_DISK_MB", "0")
    with pytest.raises(OutOfQuota):
        rules.check_room(stranger)
    Rules(Owner("127.0.0.1")).check_room(request())


def test_runs_are_unlisted_and_open_by_their_link(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = evaluation(VARIANTS[:2], TASKS[:1])
    monkeypatch.setenv("PLAYGROUND_OWNER_TOKEN", TOKEN)
    with serving(FakeEngine(), host=EVERYWHERE, queue=FakeQueue()) as served:
        who = Visitor(f"http://127.0.0.1:{httpx.URL(served).port}")
        lists = ("/api/evaluate/board", "/api/quantize/board", "/api/review/board", "/api/jobs", "/api/runs")
        for path in lists:
            assert run.id not in who.http.get(path).text, path
        assert "available to the owner only" in str(who.call("runs")) and who.call("runs", run.id)[0]["id"] == run.id
        assert who.http.get(f"/api/runs/{run.id}").status_code == 200
        assert who.http.get(f"/run/{run.id}").status_code == 200
        who.log_in(TOKEN)
        assert run.id in who.http.get("/api/evaluate/board").text and who.call("runs")


def test_patterns_of_layers_are_the_owners(public: tuple[str, FakeEngine]) -> None:
    form = {"model": "fake", "method": "rtn", "scheme": "W4A16", "ignore": ["re:(a+)+$"]}
    refused = httpx.post(f"{public[0]}/api/quantize/estimate", json=form)
    assert refused.json()["error"]["code"] == "owner_only"


def test_nothing_is_sent_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio would look for newer versions and report launches: no socket of this process leaves the machine."""
    catalog.install(monkeypatch)
    asked: list[Any] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def watched(self: socket.socket, where: Any) -> None:
        asked.append(where)
        connect(self, where)

    def looked_up(host: Any, *rest: Any, **more: Any) -> Any:
        asked.append((host, 0))
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket.socket, "connect", watched)
    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    with serving(FakeEngine()) as url:
        assert httpx.get(url).status_code == 200
        time.sleep(0.5)
    hosts = {str(where[0]) for where in asked if isinstance(where, tuple)}
    assert asked and hosts <= {"127.0.0.1", "localhost", "::1", "0.0.0.0", "None"}, hosts  # noqa: S104
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
