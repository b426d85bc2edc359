"""The gate alone, over an app that notes what reaches it: which routes there are, for whom, and with what bodies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi import FastAPI
from gradio import oauth

from playground.web import access
from playground.web import gate as gates
from playground.web.gate import LEAVES, Gate, PageToken
from playground.web.owner import Logins, Owner
from playground.web.visitor import Hosts
from tests.fakes.loops import finished

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what a public page listens on
TOKEN = "a-token-of-the-owner-0123456789"
PAGE = "http://play.test:7860"
SAME = {"Origin": PAGE, "Sec-Fetch-Site": "same-origin"}
PIECE = 16 * 2**10


@dataclass
class Site:
    """A gate with nothing but a note of what came through. `fails`: whether the app behind it does."""

    fails: bool = False
    came: list[tuple[str, str, bytes]] = field(default_factory=list)
    page: PageToken = field(default_factory=PageToken)
    logins: Logins = field(default_factory=lambda: Logins(TOKEN))
    go: asyncio.Event | None = None  # what an answer to a path with "slow" waits for

    def __post_init__(self) -> None:
        hosts = Hosts.of(EVERYWHERE, False, ["play.test", "*.lab.test"])
        self.gate = Gate(self._app, hosts, Owner(EVERYWHERE, False, self.logins), self.page)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive() if scope["method"] == "POST" else {}
        self.came.append((scope["method"], scope["path"], message.get("body", b"")))
        if self.go and "slow" in scope["path"]:
            await self.go.wait()
        if self.fails:
            raise ValueError("<script>what a stranger wrote</script>" * 1000)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = b"", **more: Any) -> Any:
        return finished(self.asks(method, path, headers, body, **more))

    async def asks(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: Any = b"",
        pause: float = 0.0,
        root: str = "",
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body. A body in pieces comes with `pause` before each."""
        sent: list[Any] = []
        pieces = list(body) if isinstance(body, list) else [body]

        async def receive() -> Any:
            if pause:
                await asyncio.sleep(pause)
            if pieces:
                return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        fields = {"Host": "play.test:7860"} | (headers or {})
        raw = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
        name, _, query = path.partition("?")
        scope = {
            "type": "http", "method": method, "path": unquote(name), "raw_path": name.encode(), "headers": raw,
            "query_string": query.encode(), "client": ("6.6.6.6", 5), "scheme": "http", "root_path": root,
        }  # fmt: skip
        await self.gate(scope, receive, send)
        if not sent:
            return 0, {}, b""
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], found, b"".join(one.get("body", b"") for one in sent[1:])


# ---- routes


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("HEAD", "/"), ("GET", "/?run=abc"), ("GET", "/static/web/app.js"), ("GET", "/api/page"),
        ("POST", "/api/compare/start"), ("GET", "/stream/0f3a"), ("GET", "/run/0f3a"), ("GET", "/run/0f3a.html"),
        ("POST", "/review/vote"), ("GET", "/review/abc"), ("GET", "/health"), ("POST", "/access/login"),
        ("GET", "/openapi.json"), ("GET", "/config"), ("GET", "/gradio_api/info"),
        ("POST", "/gradio_api/call/generate"), ("POST", "/gradio_api/call/v2/generate"),
        ("GET", "/gradio_api/call/generate/0f3a"), ("POST", "/gradio_api/queue/join"),
        ("GET", "/gradio_api/queue/data"), ("GET", "/gradio_api/heartbeat/abc"), ("POST", "/gradio_api/run/generate"),
        ("POST", "/gradio_api/mcp/"), ("GET", "/gradio_api/mcp"), ("POST", "/gradio_api/cancel"),
        ("GET", "/gradio_api/startup-events"),
    ],
)  # fmt: skip
def test_what_is_in_the_table_goes_on(method: str, path: str) -> None:
    site = Site()
    assert site.ask(method, path)[0] == 200 and len(site.came) == 1


@pytest.mark.parametrize(
    "path",
    [
        "", "/no/such", "/API/page", "/Static/web/app.js", "//", "//api/page", "/api//page", "/api/", "/api",
        "/api/./page", "/api/../etc/passwd", "/static/../playground.db", "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static/..%2f..%2fetc%2fpasswd", "/static/.env", "/static/a/.git/config", "/static/a%00.js", "/static/a\\b",
        "/static/a%0d%0ab", "/static/web/app.js/", "/run/..", "/run/a/b", "/run/%2e%2e%2fa", "/static/\u00e9.js",
        "/docs", "/redoc", "/monitoring", "/monitoring/summary", "/login", "/login/", "/logout", "/login/huggingface",
        "/login/callback", "/gradio_api/upload", "/gradio_api/file=/etc/passwd", "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=http://169.254.169.254/", "/gradio_api//queue/join", "/gradio_api/queue/join/",
        "/gradio_api/Upload", "/gradio_api/%75pload", "/gradio_api/component_server", "/gradio_api/deep_link",
        "/gradio_api/vibe-code", "/gradio_api/token", "/gradio_api/app_id", "/gradio_api/stream/a/b/c/playlist.m3u8",
        "/gradio_api/openapi.json", "/gradio_api/user", "/gradio_api/custom_component/a/b/c/d", "/pwa_icon",
        "/gradio_api/run-history/buckets", "/gradio_api/dev/reload", "/access/me/x", "http://play.test/api/page",
    ],
)  # fmt: skip
def test_everything_else_is_not_there_for_anybody(path: str) -> None:
    site = Site()
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        for headers in ({}, {"X-Playground-Token": TOKEN}):
            status, _, said = site.ask(method, path, headers, b"[" * 9 * 2**20)
            assert (status, b"There is nothing here" in said) == (404, True), (method, path)
    assert not site.came


def test_below_a_path_of_a_proxy_it_is_the_same_table() -> None:
    site = Site()
    for path in ("/pg/", "/pg/api/page", "/api/page"):  # proxies that keep the prefix, and that take it off
        assert site.ask("GET", path, root="/pg")[0] == 200, path
    for path in ("/pg/gradio_api/upload", "/gradio_api/upload", "/pg/pg/api/page", "/pgapi/page", "/pg//api/page"):
        assert site.ask("GET", path, root="/pg")[0] == 404, path


def test_a_method_that_no_route_has_is_refused_and_options_tells_no_other_website_anything() -> None:
    site = Site()
    for method, path in (("DELETE", "/api/page"), ("PUT", "/run/a"), ("POST", "/health"), ("TRACE", "/")):
        assert site.ask(method, path)[0] == 405
    status, fields, _ = site.ask("OPTIONS", "/api/page", {"Access-Control-Request-Method": "POST"})
    assert status == 204 and fields["allow"] == "GET, HEAD, POST, OPTIONS"
    assert not [name for name in fields if name.startswith("access-control")] and not site.came


def test_there_are_no_websockets() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    site = Site()
    finished(site.gate({"type": "websocket", "path": "/", "headers": []}, None, send))  # type: ignore[arg-type]
    assert [one["type"] for one in sent] == ["websocket.close"] and not site.came


@pytest.mark.parametrize("space", [False, True])
def test_the_hubs_sign_in_is_there_on_a_space_that_has_one(space: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere gradio has routes of these names that log anybody in under the name of the machine's account."""
    for name in ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL"):
        monkeypatch.setattr(oauth, name, "set")
        monkeypatch.setenv(name, "set")
    if space:
        monkeypatch.setenv("SYSTEM", "spaces")
        monkeypatch.setenv("SPACE_ID", "me/playground")
    site, app = Site(), FastAPI()
    access.sign_in(app)
    for path in ("/login/huggingface", "/login/callback", "/logout"):
        assert (site.ask("GET", path)[0] == 200) is space, path
        assert (path in [getattr(route, "path", "") for route in app.routes]) is space, path


# ---- other websites

LOCAL = Hosts.of("127.0.0.1", False)
OPEN = Hosts.of(EVERYWHERE, False, ["play.test", "*.lab.test"])


@pytest.mark.parametrize(
    ("hosts", "origin", "host", "scheme", "forwarded", "fine"),
    [
        (LOCAL, "http://localhost:7860", "localhost:7860", "http", "", True),
        (LOCAL, "http://[::1]:7860", "[::1]:7860", "http", "", True),
        (LOCAL, "http://localhost", "localhost", "http", "", True),
        (LOCAL, "http://localhost:80", "localhost", "http", "", True),
        (LOCAL, "http://localhost:7861", "localhost:7860", "http", "", False),
        (LOCAL, "http://localhost", "localhost:7860", "http", "", False),
        (LOCAL, "http://127.0.0.1:7860", "localhost:7860", "http", "", False),
        (LOCAL, "https://localhost:7860", "localhost:7860", "http", "", False),
        (LOCAL, "http://localhost:7860.evil.example", "localhost:7860", "http", "", False),
        (LOCAL, "http://evil.example@localhost:7860", "localhost:7860", "http", "", False),
        (LOCAL, "http://localhost:7860/", "localhost:7860", "http", "", False),
        (LOCAL, "null", "localhost:7860", "http", "", False),
        (LOCAL, "", "localhost:7860", "http", "", False),
        (OPEN, "http://play.test:7875", "play.test:7875", "http", "", True),
        (OPEN, "http://play.test:7874", "play.test:7875", "http", "", False),
        (OPEN, "http://play.test", "play.test:7875", "http", "", False),
        (OPEN, "http://play.test", "play.test", "https", "", False),
        (OPEN, "https://play.test", "play.test", "https", "", True),
        (OPEN, "https://play.test", "play.test", "http", "", True),  # a proxy that does not say that it has TLS
        (OPEN, "https://play.test:8443", "play.test", "https", "", False),
        (OPEN, "https://play.test", "10.0.0.7:7860", "http", "", True),  # a proxy that changes Host
        (OPEN, "https://play.test:8443", "10.0.0.7:7860", "http", "", False),
        (OPEN, "http://play.test", "10.0.0.7:7860", "http", "", False),
        (OPEN, "http://play.test:8080", "10.0.0.7:7860", "http", "play.test:8080", True),
        (OPEN, "http://play.test:8081", "10.0.0.7:7860", "http", "play.test:8080", False),
        (OPEN, "https://evil.example", "10.0.0.7:7860", "http", "evil.example", False),
        (OPEN, "https://b.lab.test", "a.lab.test", "https", "", False),
        (OPEN, "https://a.lab.test", "a.lab.test", "https", "", True),
    ],
)  # fmt: skip
def test_another_port_scheme_or_name_is_another_website(
    hosts: Hosts, origin: str, host: str, scheme: str, forwarded: str, fine: bool
) -> None:
    assert hosts.origin(origin, host, scheme, forwarded) is fine


CHANGES = ["/api/compare/start", "/access/login", "/access/logout", "/review/vote", "/gradio_api/call/generate"]


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize(
    "browser", [SAME, {"Origin": PAGE}, {"Sec-Fetch-Mode": "cors"}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Dest": ""}]
)
def test_a_browser_changes_something_with_the_pages_token_alone(path: str, browser: dict[str, str]) -> None:
    site = Site()
    for wrong in ({}, {"X-Playground-Page": ""}, {"X-Playground-Page": PageToken().value}):
        status, _, said = site.ask("POST", path, browser | wrong, b'{"token": "%s"}' % site.page.value.encode())
        assert (status, json.loads(said)["error"]["code"]) == (403, "stale_page")
    assert not site.came and site.page.value not in repr(site.page)
    right = browser | {"X-Playground-Page": site.page.value}
    assert site.ask("POST", path, right)[0] == 200
    assert site.ask("POST", path, right | {"Origin": "http://play.test:7861"})[0] == 403, "and it is not enough"


def test_a_script_needs_no_token_of_the_page_and_nor_does_reading() -> None:
    site = Site()
    for path in CHANGES:
        assert site.ask("POST", path)[0] == 200
    assert site.ask("GET", "/api/page", SAME)[0] == site.ask("GET", "/stream/a", SAME)[0] == 200


@pytest.mark.parametrize("leave", LEAVES)
def test_a_beacon_carries_the_token_in_its_body(leave: str) -> None:
    site = Site()
    for wrong in (b"", b"[", b"[" * 60_000, b'"x"', b'{"token": 5}', b'{"token": "x"}', b'{"token": "\xff"}'):
        assert site.ask("POST", leave, SAME, wrong)[0] == 403, wrong[:20]
    assert not site.came
    body = json.dumps({"token": site.page.value}).encode()
    assert site.ask("POST", leave, SAME, body)[0] == 200 and site.came[-1][2] == body


# ---- bodies


@pytest.mark.parametrize("path", ["/api/compare/start", "/api/quantize/start", "/access/login", "/review/vote"])
def test_a_stranger_sends_64_kib_and_no_route_sees_more(path: str) -> None:
    site = Site()
    pieces = [b"x" * PIECE] * 4
    assert site.ask("POST", path, body=pieces)[0] == 200 and len(site.came[0][2]) == 2**16, "one whole body"
    for body, told in (([*pieces, b"x"], {}), (b"", {"Content-Length": str(2**16 + 1)}), (b"x" * 2**20, {})):
        status, fields, said = site.ask("POST", path, told, body)
        assert status == 413 and b"64 KiB" in said and fields["connection"] == "close"
    assert site.ask("POST", path, {"Content-Length": "-5"})[0] == 400
    assert len(site.came) == 1


def test_the_owner_sends_long_texts_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    site, owner = Site(), {"X-Playground-Token": TOKEN}
    assert site.ask("POST", "/api/quantize/upload", owner, b"x" * 2**23)[0] == 200
    assert site.ask("POST", "/api/quantize/upload", owner, b"x" * (2**23 + 1))[0] == 413
    assert site.ask("POST", "/api/compare/start", owner, b"x" * 8 * 200_000)[0] == 200, "the longest prompt"
    assert site.ask("POST", "/api/compare/start", owner, b"x" * (8 * 200_000 + 1))[0] == 413
    monkeypatch.setenv("PLAYGROUND_PUBLIC_MAX_PROMPT_CHARS", "20000")
    assert site.ask("POST", "/api/compare/start", body=b"x" * 8 * 20_000)[0] == 200, "a visitor’s longest one"
    assert site.ask("POST", "/api/compare/start", body=b"x" * (8 * 20_000 + 1))[0] == 413


def test_a_slow_body_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    monkeypatch.setattr(gates, "SILENCE_S", 0.05)
    status, fields, _ = site.ask("POST", "/api/compare/start", body=[b"{", b"}"], pause=0.3)
    assert (status, fields["connection"]) == (408, "close") and not site.came
    monkeypatch.setattr(gates, "WHOLE_S", 0.2)
    assert site.ask("POST", "/api/compare/start", body=[b" "] * 50, pause=0.02)[0] == 408, "and one that drips"
    assert site.ask("POST", "/api/compare/start", body=[b"{", b"}"], pause=0.01)[0] == 200


def test_who_goes_away_before_the_end_reaches_nothing() -> None:
    site = Site()

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": "/api/a/b", "headers": [(b"host", b"play.test")]}
    finished(site.gate(scope, gone, send))
    assert not site.came


def test_the_largest_bodies_of_strangers_take_a_blink_to_parse() -> None:
    """What the size is chosen by: JSON is parsed in the event loop, where everything else waits meanwhile."""
    for body in (b"[" * 2**16, b"[" + b"1," * (2**15 - 1) + b"1]", b"[" + b"[1]," * (2**14 - 1) + b"[1]]"):
        begun = time.perf_counter()
        with contextlib.suppress(RecursionError):
            json.loads(body)
        assert time.perf_counter() - begun < 0.1  # 1 to 2 ms on a quiet machine


# ---- room for the owner, guesses and the log


def test_however_many_visitors_wait_the_owner_is_answered() -> None:
    site = Site()

    async def tell() -> None:
        site.go = asyncio.Event()
        crowd = [asyncio.create_task(site.asks("GET", "/run/slow.png")) for _ in range(60)]
        await asyncio.sleep(0.05)
        assert len(site.came) == gates.VISITORS < 40, "as many as leave threads for the owner"
        assert not [one for one in crowd if one.done()]
        for path, headers in (
            ("/run/quick.png", {"X-Playground-Token": TOKEN}), ("/health", {}), ("/stream/quick", {}),
        ):  # fmt: skip
            assert (await asyncio.wait_for(site.asks("GET", path, headers), 5))[0] == 200
        site.go.set()
        assert {status for status, *_ in await asyncio.gather(*crowd)} == {200}, "and everybody gets in"

    finished(tell())
    assert len(site.came) == 63


def test_who_guesses_waits_in_one_line_with_all_who_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    monkeypatch.setattr(gates, "TURN_S", 0.2)
    wrong, right = {"X-Playground-Token": "x"}, {"X-Playground-Token": TOKEN}

    async def seconds(headers: dict[str, str], times: int) -> float:
        begun = time.monotonic()
        await asyncio.gather(*(site.asks("GET", "/api/page", headers) for _ in range(times)))
        return time.monotonic() - begun

    async def tell() -> None:
        assert await seconds(wrong, 5) < 0.2, "these are counted, one a request"
        assert site.logins.guesses("6.6.6.6") and not site.logins.guesses("7.7.7.7")
        assert await seconds(wrong, 3) >= 0.6
        assert await seconds(right, 2) >= 0.4, "no answer comes sooner for being right"
        assert await seconds({}, 20) < 0.2, "and nobody else waits"

    finished(tell())
    assert len(site.came) == 30, "all are let on: what they may do is asked there"


def test_a_failure_is_one_line_without_what_a_stranger_wrote(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates.log, "filters", [gates.Bounded()])
    site = Site(fails=True)
    status, fields, said = site.ask("POST", "/api/compare/start")
    assert status == 500 and json.loads(said)["error"]["hint"] == "Details are in the log."
    assert fields["content-security-policy"].startswith("default-src 'none'")
    (line,) = caplog.records
    told = line.getMessage()
    assert "ValueError at" in told and "test_gate.py" in told and "script" not in told and not line.exc_info
    site.ask("POST", "/api/compare/start", {"X-Playground-Token": TOKEN})
    assert caplog.records[-1].exc_info, "the owner finds out everything"


def test_the_log_has_room_for_so_many_lines_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    site, clock, lines = Site(), [1e6], list[str]()
    monkeypatch.setattr(gates.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(gates.log, "filters", [gates.Bounded()])

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    kept = Kept()
    gates.log.addHandler(kept)
    try:
        for n in range(500):
            site.ask("GET", f"/nothing/{n}/{'x' * 5000}")
        assert len(lines) == gates.LINES and max(map(len, lines)) < 200
        clock[0] += 61
        site.ask("GET", "/nothing")
    finally:
        gates.log.removeHandler(kept)
    assert "470 lines before this one were left out" in lines[-1]
