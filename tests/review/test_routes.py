"""The reviewer's routes: a page that says nothing about variants, plain JSON, nothing cached."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from playground.review import routes, voting
from playground.store import reviews
from tests.fakes.asgi import ORIGIN, Client
from tests.fakes.review import SECRETS, invited, review


@pytest.fixture
def client(home: Path) -> Client:
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("the app"))])
    routes.serve(app)
    return Client(app)


def test_the_page_says_who_asks_and_nothing_of_variants(client: Client) -> None:
    found = review(12, asked_by="Jacob & <b>")
    page = client.get(f"/review/{found.id}")
    assert '<meta property="og:title" content="A blind review: 12 pairs of answers">' in page.text
    assert "Jacob &amp; &lt;b&gt; asks you which of two answers is better. It takes about 5 minutes" in page.text
    assert 'name="robots" content="noindex' in page.text and page.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not [word for word in (*SECRETS, *(one.key for one in invited(found))) if word in page.text]
    assert "You are asked which of two" in client.get(f"/review/{review(2).id}").text


def test_a_wrong_link_is_one_page_whatever_is_wrong(client: Client) -> None:
    review(2)
    pages = {client.get(f"/review/{wrong}").text for wrong in ("0" * 32, "x", "%00", "%27%20OR%201=1")}
    assert len(pages) == 1 and "There is no review behind this link." in next(iter(pages))
    assert client.get(f"/review/{'0' * 32}").status_code == 404


def test_links_of_earlier_versions_go_on(client: Client) -> None:
    found = review(2)
    key = invited(found)[0].key
    moved = client.get(f"/?review={found.id}&key={key}")
    assert (moved.status_code, moved.headers["location"]) == (307, f"review/{found.id}#{key}")
    evil = client.get("/", params={"review": "//evil.example/x", "key": "a\r\nSet-Cookie: b"})
    assert evil.headers["location"] == "review/evilexamplex#aSetCookieb"
    assert client.get("/").text == client.get("/?run=1&preview=2").text == "the app"
    assert client.get("/review/state", {"review": found.id, "key": key}).json()["stage"] == "vote"


def test_answers_are_never_kept_and_never_of_another_shape(client: Client) -> None:
    found = review(2, places=1)
    state = client.post("/review/state", {"review": found.id, "key": invited(found)[0].key})
    assert state.headers["cache-control"] == "no-store" and state.json()["stage"] == "vote"
    for params in (
        {},
        {"review": found.id},
        {"review": found.id, "key": "' OR 1=1 --" * 3},
        {"review": "\0", "key": "\0"},
    ):
        answer = client.get("/review/state", params=params)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_review")
        assert client.post("/review/state", params).json() == answer.json()
    started = client.post("/review/start", {"review": found.id, "key": found.key})
    cookie = started.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/review" in cookie
    token = cookie.split("=", 1)[1].split(";")[0]
    assert len(token) == 32 and token not in started.text
    client.origin = ORIGIN.replace("http", "https")
    secure = client.post("/review/start", {"review": found.id, "key": found.key}, Cookie=cookie.split(";")[0])
    assert token in secure.headers["set-cookie"]
    assert "Secure" in secure.headers["set-cookie"] and "SameSite=none" in secure.headers["set-cookie"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Content-Type": "text/plain"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_website_cannot_vote(client: Client, headers: dict[str, str]) -> None:
    found = review(2, places=1)
    vote = {"review": found.id, "key": invited(found)[0].key, "at": 0, "choice": "a"}
    assert client.post("/review/vote", vote, **headers).status_code == 403
    assert client.post("/review/start", {"review": found.id, "key": found.key}, **headers).status_code == 403
    assert reviews.votes(found.id) == [] and len(reviews.reviewers(found.id)) == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"[1]", 400), (b"{" * 9000, 400), (b'{"x": "' + b"x" * 20_000, 413), ({"review": 1, "key": {}}, 404)],
)
def test_what_is_no_vote(client: Client, body: object, status: int) -> None:
    assert client.post("/review/vote", body).status_code == status


def test_a_failure_is_told_and_nothing_of_it(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the disk at /secret/place is full")

    monkeypatch.setattr(voting, "vote", broken)
    answer = client.post("/review/vote", {"review": "x", "key": "y", "at": 0, "choice": "a"})
    assert answer.status_code == 500 and "secret" not in answer.text and answer.json()["error"]["code"] == "error"
