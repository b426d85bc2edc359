"""The routes of a review: one page for all, plain JSON, nothing kept, nothing from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from playground.errors import InvalidRequest
from playground.review import page, routes, voting
from playground.review.spec import ReviewSpec
from playground.store import reviews
from tests.fakes import catalog
from tests.fakes.loops import finished
from tests.fakes.review import SECRETS, invited, review

ORIGIN = "http://testserver"


class Client:
    """Requests to the app in this process; no cookie is kept."""

    def __init__(self, app: Starlette) -> None:
        self._transport = httpx.ASGITransport(app)
        self.origin = ORIGIN

    def get(self, address: str, params: dict[str, str] | None = None) -> httpx.Response:
        return self._send(httpx.Request("GET", f"{self.origin}{address}", params=params))

    def post(self, address: str, body: object, **headers: str) -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Origin": self.origin, "Content-Type": "application/json", **headers}
        return self._send(httpx.Request("POST", f"{self.origin}{address}", content=raw, headers=sent))

    def _send(self, request: httpx.Request) -> httpx.Response:
        async def answer() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport) as client:
                return await client.send(request)

        return finished(answer())


@pytest.fixture
def client(home: Path) -> Client:
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("the app"))])
    routes.serve(app)
    return Client(app)


def test_the_page_is_one_file_and_the_app_keeps_its_own_address(client: Client) -> None:
    found, other = review(2), review(3)
    pages = {client.get(f"/?review={one.id}&key={invited(one)[0].key}").text for one in (found, other)}
    pages.add(client.get("/?review=&key=").text)
    assert len(pages) == 1 and "Blind review" in next(iter(pages))
    assert not [word for word in SECRETS if word in next(iter(pages))]
    assert client.get("/").text == client.get("/?run=1&preview=2").text == "the app"
    answer = client.get(f"/?review={found.id}")
    assert (
        answer.headers["cache-control"] == "no-store"
        and "default-src 'none'" in answer.headers["content-security-policy"]
    )
    assert client.get("/review/page.js").status_code == client.get("/review/page.css").status_code == 200


def test_answers_are_never_kept_and_never_of_another_shape(client: Client) -> None:
    found = review(2, places=1)
    state = client.get("/review/state", params={"review": found.id, "key": invited(found)[0].key})
    assert state.headers["cache-control"] == "no-store" and state.json()["stage"] == "vote"
    for params in (
        {},
        {"review": found.id},
        {"review": found.id, "key": "' OR 1=1 --" * 3},
        {"review": "\0", "key": "\0"},
    ):
        answer = client.get("/review/state", params=params)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_review")
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
        {"Origin": "http://testserver.evil.example"},
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
    assert answer.status_code == 500 and "secret" not in answer.text and answer.json()["code"] == "error"


def test_the_form_becomes_a_spec_or_a_sentence(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    catalog.install(monkeypatch)
    form = {
        "reference": "fake",
        "variants": ["fake:nf4"],
        "invitations": "Anna, Ben\n\nAnna",
        "count": "8",
        "seed": "3",
    }
    spec = page.spec(form)
    assert isinstance(spec, ReviewSpec) and spec.terms.invitations == ("Anna", "Ben")
    assert len(spec.prompts.prompts) == 8 and spec.sampling.seed == 3 and spec.terms.places == 0
    own = {**form, "prompts": "own", "text": '{"prompt": "Why?"}', "file": "mine.jsonl", "common": True, "places": "5"}
    assert page.spec(own).prompts.prompts == ("Why?",) and page.spec(own).terms.places == 5
    for more, match in (
        ({"count": "many"}, "whole number"),
        ({"count": "0"}, "No prompt"),
        ({"temperature": "warm"}, "no temperature"),
        ({"max_tokens": "0"}, "Max tokens"),
        ({"variants": []}, "Only the reference"),
        ({"reveal": "soon"}, "reveal is 'soon'"),
        ({"title": "Is it nf4?"}, "title holds"),
        ({"invitations": None}, "Nobody could vote"),
    ):
        with pytest.raises(InvalidRequest, match=match):
            page.spec({**form, **more})
    with pytest.raises(InvalidRequest, match="No comparison"):
        page.run_ids({"runs": [3, None]})
