"""The calls, by kind. Each is one request and what may come of it; the judge looks at everything else itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.fakes.visitor import Visitor
from tests.hostile.target import EVIL, MODEL, TOKEN, Target

Sends = Callable[[], httpx.Response]
REFUSED = (400, 401, 403, 404, 405, 411, 413, 415, 422, 429)
FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Host": "rebound.example"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
]
PATHS = [
    "/etc/passwd", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "....//....//etc/passwd",
    "..\\..\\etc\\passwd", "file:///etc/passwd", "/proc/self/environ", "~/.ssh/id_rsa", "./.", "C:\\Windows\\win.ini",
    "\\\\evil.example\\share", "private.txt", "smollm2/../../../etc", "smollm2:../../x", "%00/etc/passwd",
]  # fmt: skip
ADDRESSES = [
    "http://169.254.169.254/latest/meta-data", "http://[::ffff:169.254.169.254]/", "http://2852039166/",
    "http://0xA9FEA9FE/", "http://0251.0376.0251.0376/", "http://metadata.google.internal/", "http://100.100.100.200/",
    "http://[fd00:ec2::254]/", "http://0.0.0.0/", "http://[::]/", "http://224.0.0.1/", "http://[fe80::1]/",
    "http://evil.example\\@169.254.169.254/", "http://169.254.169.254#@good.example/", "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_x", "http://user:secret@169.254.169.254/",
]  # fmt: skip
NASTY: list[Any] = [
    None, {}, [], EVIL, {"id": EVIL}, {"id": "../../etc/passwd", "name": "../../etc/passwd"}, 10**30, "x" * 10_000,
    {"id": ["a"], "serial": "NaN", "logs": ["../../etc/passwd"] * 50, "cards": [EVIL]},
    {"name": "x", "url": "http://169.254.169.254/", "key": "k"},
]  # fmt: skip
# What a page, a script or an MCP client needs. Whatever else the app has, nobody gets an answer from.
OPEN = (
    "/", "/static/", "/api/", "/stream/", "/run/", "/review/", "/access/", "/health", "/openapi.json", "/favicon.ico",
    "/robots.txt", "/config", "/gradio_api/info", "/gradio_api/startup-events", "/gradio_api/heartbeat/",
    "/gradio_api/call/", "/gradio_api/queue/join", "/gradio_api/queue/data", "/gradio_api/cancel", "/gradio_api/run/",
    "/gradio_api/api/", "/gradio_api/mcp",
)  # fmt: skip


@dataclass
class Call:
    """make   sends it
    fine   whether this answer may be; the default: refused, or answered with nothing done and nothing told
    """

    kind: str
    what: str
    make: Sends
    fine: Callable[[httpx.Response], bool] = field(
        default=lambda answer: answer.status_code < 500 or answer.text == "Internal Server Error"
    )


def refused(answer: httpx.Response) -> bool:
    """By its status, or in the words of a function that was reached."""
    return answer.status_code in REFUSED or any(
        words in answer.text
        for words in (
            "available to the owner only",
            "Only the owner",
            "not offered to visitors",
            "Visitors get",
            '"error"',
        )
    )


def shut(answer: httpx.Response) -> bool:
    return answer.status_code == 403


def filled(path: str) -> str:
    """A route's path with something in the places of its parameters."""
    while "{" in path:
        head, _, rest = path.partition("{")
        path = f"{head}x{rest.partition('}')[2]}"
    return path


def get(someone: Visitor, path: str, **more: Any) -> Sends:
    return lambda: someone.http.get(path, **more)


def request(someone: Visitor, method: str, route: str, **more: Any) -> Sends:
    return lambda: someone.http.request(method, filled(route), **more)


def post(someone: Visitor, path: str, **more: Any) -> Sends:
    return lambda: someone.http.post(path, **more)


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(one)


def everything(target: Target, thorough: bool = True) -> Iterator[Call]:
    """All calls, in order. The last ones use up the attempts to log in. Else: fewer inputs to a function."""
    someone = Visitor(target.url)
    yield from other_websites(target, someone)
    yield from every_function(someone, NASTY if thorough else NASTY[::4])
    yield from every_route(target, someone)
    yield from without_the_page(target, someone)
    yield from every_operation(someone, NASTY if thorough else NASTY[::4])
    yield from every_name(someone, NASTY if thorough else NASTY[::4])
    yield from named(someone)
    yield from files(target, someone)
    yield from large(someone)
    yield from endpoints(someone)
    yield from stored_tags(target, someone)
    yield from pretending(someone)
    yield from unsafe_addresses_of_the_owner(target)
    yield from logins(someone)


def other_websites(target: Target, someone: Visitor) -> Iterator[Call]:
    """Every route of the app, its own and gradio's, asked by another website or under another name."""
    for path, methods in target.routes:
        for method in methods:
            for headers in FOREIGN:
                send = request(someone, method, path, headers=headers, json={"data": []})
                yield Call("another website", f"{method} {path} {headers}", send, shut)
    for index in (one["id"] for one in someone.config["dependencies"]):
        body = {"data": [], "fn_index": index, "session_hash": "x"}
        send = post(someone, "/gradio_api/queue/join", json=body, headers=FOREIGN[0])
        yield Call("another website", f"function {index}", send, shut)


def every_function(someone: Visitor, nasty: list[Any]) -> Iterator[Call]:
    """Every function of the page, named or not, called by nobody with whatever comes to mind.

    Those that only look answer; what none may do is change anything, load another model, or tell a secret.
    """
    for one in someone.config["dependencies"]:
        if one.get("backend_fn") is False:
            continue
        for sent in nasty:
            body = {
                "data": someone.inputs(one["id"], {}), "event_data": sent, "fn_index": one["id"],
                "session_hash": "hostile", "trigger_id": 1,
            }  # fmt: skip
            where = "/gradio_api/queue/join" if one.get("queue") is not False else "/gradio_api/run/predict"
            yield Call(
                "every function", f"{one['id']} {one.get('api_name')} {str(sent)[:40]}",
                post(someone, where, json=body), lambda answer: True,
            )  # fmt: skip
        wrong: list[Any] = [EVIL] * 30
        body = {"data": wrong, "fn_index": one["id"], "session_hash": "hostile"}
        send = post(someone, "/gradio_api/run/predict", json=body)
        yield Call("every function", f"{one['id']} wrong inputs", send, lambda answer: True)


def every_route(target: Target, someone: Visitor) -> Iterator[Call]:
    """Every route, without any header that a browser would send."""
    for path, methods in target.routes:
        if any(word in path for word in ("heartbeat", "queue/data")):
            continue  # they answer as long as somebody listens
        open_here = any(path == start or (start[-1] == "/" != start and path.startswith(start)) for start in OPEN)
        for method in sorted({*methods, "POST", "DELETE", "PUT"}):
            send = request(someone, method, path, content=b"\x00\xff{")
            if open_here:
                yield Call("every route", f"{method} {path}", send)
            else:
                yield Call("every route", f"{method} {path}", send, lambda answer: answer.status_code == 404)
                spelled = request(someone, method, target.url + path.replace("/", "//"), content=b"{}")
                yield Call("every route", f"{method} {path} spelled", spelled, lambda a: a.status_code == 404)


def without_the_page(target: Target, someone: Visitor) -> Iterator[Call]:
    """Every route that changes something, from this page's own origin, but not by the page itself."""
    for path, methods in target.routes:
        for method in methods:
            if method in ("GET", "HEAD"):
                continue
            for token in ("", "x" * 43):
                headers = {"Origin": target.url, "Sec-Fetch-Site": "same-origin", "X-Playground-Page": token}
                send = request(someone, method, path, headers=headers, json={"token": token})
                yield Call(
                    "without the page", f"{method} {path}", send, lambda answer: answer.status_code in (403, 404)
                )


def every_operation(someone: Visitor, nasty: list[Any]) -> Iterator[Call]:
    """Every operation of the app's own description, with whatever comes to mind in body, path and query."""
    described = someone.http.get("/openapi.json").json()
    for path, operations in described["paths"].items():
        if any(word in path for word in ("heartbeat", "queue/data")):
            continue
        for method in operations:
            for sent in nasty:
                where = request(someone, method.upper(), path, json=sent, params={"id": EVIL, "after": "-1"})
                yield Call("every operation", f"{method} {path} {str(sent)[:40]}", where)


def every_name(someone: Visitor, nasty: list[Any]) -> Iterator[Call]:
    """Every documented function, with the same nasty value for each of its arguments."""
    named = someone.http.get("/gradio_api/info").json()["named_endpoints"]
    for name, described in named.items():
        for sent in nasty:
            arguments = [sent] * len(described["parameters"])
            call = _endpoint(someone, name.strip("/"), arguments)
            default = name == "/models" and not sent  # which asks for the model that the page opens with
            yield Call("every name", f"{name} {str(sent)[:40]}", call, _anything if default else _unanswered)


def _anything(_: httpx.Response) -> bool:
    return True


def _unanswered(answer: httpx.Response) -> bool:
    return "event: complete" not in answer.text


def _endpoint(someone: Visitor, name: str, data: list[Any]) -> Callable[[], httpx.Response]:
    """The answer of a documented endpoint, as a response to judge."""

    def make() -> httpx.Response:
        begun = someone.http.post(f"/gradio_api/call/v2/{name}", json=someone.named(name, data))
        if begun.status_code != 200:
            return begun
        return someone.http.get(f"/gradio_api/call/{name}/{begun.json()['event_id']}")

    return make


def _error(answer: httpx.Response) -> bool:
    """Over server-sent events an error is an event. One without words is a mistake in the call, and proves nothing."""
    return answer.status_code in REFUSED or (
        answer.text.startswith("event: error") and '"error": null' not in answer.text
    )


def named(someone: Visitor) -> Iterator[Call]:
    """The documented endpoints: models by path and address, requests without measure, work for the owner."""
    more = ["owner/name", "@mine/model", EVIL, "x" * 5000, f"{MODEL}x", f"{MODEL}/..", "\u202esmol"]
    for name in [*PATHS, *ADDRESSES, *more]:
        yield Call("models by name", f"models {name[:60]}", _endpoint(someone, "models", [name]), _error)
        yield Call("models by name", f"generate {name[:60]}", _endpoint(someone, "generate", [[name], "Hi"]), _error)
        for feature in ("evaluate", "speed", "quantize", "review"):
            form = get(someone, f"/api/{feature}/form", params={"model": name})
            yield Call("models by name", f"{feature} form {name[:60]}", form, refused)
    for data in (
        [[MODEL], "x" * 300_000], [[MODEL], "Hi", "s" * 300_000], [[MODEL], "Hi", "", 10**9], [[MODEL], "Hi", "", -1],
        [[MODEL] * 100, "Hi"], [[], "Hi"], [[MODEL], "Hi", "", 8, float("1e308")], [[MODEL], "Hi", "", 257],
        [[MODEL], 5], [{"a": 1}, "Hi"], [[MODEL], "Hi", "", 8, 0, 1, 0, 1, 0, ["x" * 9999] * 99],
    ):  # fmt: skip
        yield Call("without measure", str(data)[:60], _endpoint(someone, "generate", data), _error)
    for name, data in (
        ("quantize", [MODEL, "rtn"]), ("quantize", ["/etc", "gptq"]),
        ("evaluate", [[MODEL, f"{MODEL}:nf4"], ["gsm8k"]]),
        ("evaluate", [["/etc", "/var"], ["humaneval"]]), ("jobs", []), ("runs", []), ("runs", [EVIL]),
        ("runs", ["../../etc/passwd"]), ("runs", ["' or 1=1 --"]),
    ):  # fmt: skip
        yield Call("work for the owner", f"{name} {data}", _endpoint(someone, name, data), _error)


def files(target: Target, someone: Visitor) -> Iterator[Call]:
    """Every way to ask for a file, for files outside and inside the home."""
    inside = [str(target.home / name) for name in ("private.txt", "endpoints.json")]
    wanted = [*PATHS, str(target.canary), *inside, "endpoints.json"]
    places = (
        "/gradio_api/file={}", "/gradio_api/file/{}", "/file={}", "/static/{}", "/assets/{}", "/svelte/{}",
        "/custom_component/{}", "/gradio_api/custom_component/a/b/c/{}", "/gradio_api/deep_link?id={}",
        "/?deep_link={}", "/api/quantize/files?variant={}", "/gradio_api/proxy={}", "/pwa_icon/{}", "/run/{}", "/{}",
    )  # fmt: skip
    for place in places:
        for path in wanted:

            def ask(address: str = target.url + place.format(path)) -> httpx.Response:
                try:
                    return someone.http.get(address)
                except httpx.InvalidURL:
                    return httpx.Response(400)

            yield Call("files", place.format(path), ask, lambda answer: answer.status_code < 500)
    for address in ADDRESSES:
        for place in ("/gradio_api/file={}", "/gradio_api/proxy={}", "/gradio_api/file/{}"):
            yield Call("fetched for others", place.format(address), get(someone, place.format(address)),
                       lambda answer: answer.status_code in REFUSED)  # fmt: skip


def large(someone: Visitor) -> Iterator[Call]:
    """Bodies of any size, to any place that takes one; files by every name."""

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * (1 << 20)

    gradio = ("queue/join", "run/predict", "call/generate")
    for path in (*(f"/gradio_api/{name}" for name in gradio), "/access/login", "/"):
        yield Call("large", f"{path} 32 MiB", post(someone, path, content=b"x" * (32 << 20)), refused)
        yield Call("large", f"{path} in pieces", post(someone, path, content=pieces()), refused)
        lie = post(someone, path, content=b"{}", headers={"Content-Length": "-5"})
        yield Call("large", f"{path} a lie", lie, lambda answer: True)
    for name in ("a.txt", "../../a.txt", "/etc/cron.d/a", "state.json", f"{EVIL}.html"):
        for size in (1, 1000, 10 << 20):
            upload = {"files": (name, b"x" * size)}
            yield Call("large", f"upload {name} {size}", post(someone, "/gradio_api/upload", files=upload), refused)
    for size in (100, 1 << 20, 16 << 20):
        piece = post(someone, "/api/quantize/upload", content=b'{"text": "mine"}\n' * (size // 17))
        yield Call("large", f"calibration file of {size}", piece, refused)
    deep = {"data": json.loads("[" * 200 + "]" * 200), "fn_index": 0, "session_hash": "h"}
    yield Call("large", "nested", post(someone, "/gradio_api/run/predict", json=deep), lambda answer: True)
    endless = post(someone, "/gradio_api/run/predict", content=b'{"data":' + b"[" * 100_000)
    yield Call("large", "nested without end", endless, lambda answer: True)


def endpoints(someone: Visitor) -> Iterator[Call]:
    """Endpoints, their keys and their addresses, by nobody."""
    added = [("add", {"name": f"n{at}", "url": url, "key": "k"}) for at, url in enumerate(ADDRESSES)]
    changed = [
        ("remove", {"name": "mine"}),
        ("test", {"name": "mine"}),
        ("halt", {"name": "mine"}),
        ("add", {"name": "mine", "url": "http://a.b"}),
    ]
    for verb, sent in added + changed:
        send = post(someone, f"/api/compare/endpoints/{verb}", json=sent)
        yield Call("endpoints", f"{verb} {sent}", send, refused)


def stored_tags(target: Target, someone: Visitor) -> Iterator[Call]:
    """A run whose every text is a tag: nothing that is answered holds one."""

    def inert(answer: httpx.Response) -> bool:
        if "html" in answer.headers.get("content-type", ""):
            return EVIL not in answer.text
        return "json" not in answer.headers.get("content-type", "") or not any(
            "<" in text for text in texts(answer.json())
        )

    def only_json(answer: httpx.Response) -> bool:
        """Whether no browser reads it as anything else: the page puts its texts in as text."""
        kind, options = answer.headers.get("content-type", ""), answer.headers.get("x-content-type-options", "")
        return kind == "application/json" and options == "nosniff"

    items = {"id": target.evil_run, "task": EVIL, "variant": "1", "show": "all", "offset": "0"}
    for verb, query in (
        ("run", {"id": target.evil_run}), ("plots", {"id": target.evil_run}), ("items", items), ("board", {}),
        ("run", {"id": EVIL}), ("form", {"model": EVIL}),
    ):  # fmt: skip
        route = get(someone, f"/api/evaluate/{verb}", params=query)
        yield Call("stored tags", f"evaluate {verb} {query.get('id', '')[:20]}", route, only_json)
    for path in ("/api/speed/form", "/api/quantize/form", "/api/review/form"):
        yield Call("stored tags", path, get(someone, path, params={"model": EVIL}), only_json)
    for path in ("", "/items", f"/pair/{target.evil_run}"):
        route = get(someone, f"/api/runs/{target.evil_run}{path}", params={"task": EVIL})
        yield Call("stored tags", f"run{path}", route, only_json)
    for wanted in (target.evil_run, EVIL):
        for place in ("/?run={}", "/?review={}", "/?deep_link={}", "/{}", "/run/{}", "/review/{}"):
            yield Call("stored tags", place.format(wanted), get(someone, place.format(wanted)), inert)


def pretending(someone: Visitor) -> Iterator[Call]:
    """Headers that say who one would like to be."""
    for headers in (
        {"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-Host": "localhost"}, {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "::1"}, {"Host": "localhost"}, {"Host": "127.0.0.1"}, {"Cookie": "playground_owner=x"},
        {"Cookie": f"playground_owner={TOKEN}"}, {"Authorization": f"Bearer {TOKEN}"},
        {"Cookie": "session=eyJvYXV0aF9pbmZvIjp7fX0="},
        {"Cookie": "access-token=x; access-token-unsecure=x"}, {"X-Username": "owner"}, {"X-Playground-Token": ""},
    ):  # fmt: skip
        yield Call("pretending", str(headers)[:60], get(someone, "/api/page", headers=headers),
                   lambda answer: answer.status_code == 403 or answer.json()["role"] == "user")  # fmt: skip
    for address in (f"/api/page?token={TOKEN}", f"/?owner={TOKEN}", f"/access/login?token={TOKEN}"):
        yield Call("pretending", "token in the address", get(someone, address),
                   lambda answer: '"owner"' not in answer.text[:99] and "set-cookie" not in answer.headers)  # fmt: skip


def unsafe_addresses_of_the_owner(target: Target) -> Iterator[Call]:
    """Even the owner cannot add an address where clouds keep credentials: it may be a mistake, or a trick."""
    owner = Visitor(target.url)
    owner.log_in(TOKEN)
    for at, url in enumerate(ADDRESSES):
        sent = {"name": f"n{at}", "url": url, "key": "", "model": "m"}
        yield Call("addresses", f"the owner adds {url}", post(owner, "/api/compare/endpoints/add", json=sent))
    yield Call("addresses", "logout", post(owner, "/access/logout"))


def logins(someone: Visitor) -> Iterator[Call]:
    """Guesses, until nothing is compared any more."""
    shapes: list[Any] = ["", "admin", "x" * 100_000, EVIL, TOKEN[:-1], f"{TOKEN} x", None, 5, ["a"], {"$ne": ""}]
    for token in [*shapes, *map(str, range(20))]:
        yield Call("logins", str(token)[:30], post(someone, "/access/login", json={"token": token}),
                   lambda answer: answer.status_code in REFUSED and "set-cookie" not in answer.headers)  # fmt: skip
    yield Call("logins", "in a header", get(someone, "/api/page", headers={"X-Playground-Token": "admin"}),
               lambda answer: answer.json()["role"] == "user")  # fmt: skip

    def many() -> httpx.Response:
        """Seconds of a guess, of many that are sent at once."""
        begun, at_once = time.monotonic(), 40
        with ThreadPoolExecutor(at_once) as pool:
            guess = {"token": "x" * 20}
            told = list(
                pool.map(lambda _: httpx.post(f"{someone.url}/access/login", json=guess, timeout=60), range(40))
            )
        assert {answer.status_code for answer in told} == {429}
        return httpx.Response(200, json=(time.monotonic() - begun) / at_once)

    yield Call("logins", "many at once", many, lambda answer: answer.json() >= 0.05)
