"""The JSON of stored runs: who sees and changes what, and what many viewers cost."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from playground.runs import api as runs_api
from playground.runs import page, routes
from playground.store import folders, runs
from playground.store.schema import Run
from playground.web import api
from playground.web.owner import Owner
from tests.fakes.evaluation_run import TASKS, VARIANTS, evaluation
from tests.fakes.stored_runs import NF4, REFERENCE, bench, comparison, quantization

EVIL = "<img src=x onerror=alert(1)>"
PROXY = {"X-Forwarded-For": "10.0.0.1"}  # a visitor
HERE = "http://127.0.0.1:7860"
ACTIONS = ("rename", "annotate", "revoke", "restore", "remove")


class Client:
    """Requests to an app in this process, each in an event loop of its own, as a browser on this machine sends them."""

    def __init__(self, app: FastAPI, base_url: str = HERE, root_path: str = "") -> None:
        self._transport = httpx.ASGITransport(app, root_path=root_path, client=("127.0.0.1", 5000))
        self._base_url = base_url

    def get(self, url: str, **more: Any) -> httpx.Response:
        return self._request("GET", url, **more)

    def post(self, url: str, **more: Any) -> httpx.Response:
        return self._request("POST", url, **more)

    def _request(self, method: str, url: str, **more: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url=self._base_url) as client:
                return await client.request(method, url, **more)

        with ThreadPoolExecutor(1) as pool:  # this thread may have a loop already: that of a browser
            return pool.submit(asyncio.run, send()).result()


@pytest.fixture
def client(home: Path) -> Client:
    owner, app = Owner("127.0.0.1"), FastAPI()
    api.install(app)
    app.include_router(runs_api.router(owner))

    def document(run_id: str, request: Request) -> Response:
        return routes.document(run_id, request, owner)

    app.add_api_route("/run/{run_id}", document)
    return Client(app)


def listed(client: Client, **asked: Any) -> dict[str, Any]:
    answer = client.get("/api/runs", params=asked)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def act(client: Client, verb: str, **body: Any) -> httpx.Response:
    return client.post(f"/api/runs/{verb}", json=body)


# ---- one run, two runs


def test_a_link_is_answered_once_and_asked_again_costs_nothing(client: Client) -> None:
    run = comparison()
    answer = client.get(f"/api/runs/{run.id}", headers=PROXY)
    assert answer.status_code == 200 and answer.headers["content-encoding"] == "gzip"
    assert answer.json()["replay"]["panes"] and "<" not in answer.text
    tag = {"If-None-Match": answer.headers["etag"]}
    again = client.get(f"/api/runs/{run.id}", headers=PROXY | tag)
    assert again.status_code == 304 and not again.content
    runs.rename(run.id, f"Another title {EVIL}")
    renamed = client.get(f"/api/runs/{run.id}", headers=PROXY | tag)
    assert renamed.status_code == 200 and renamed.json()["title"] == f"Another title {EVIL}" and "<" not in renamed.text


def test_twenty_viewers_of_a_run_get_one_body_that_was_made_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, made, view = comparison(), list[str](), page.view
    monkeypatch.setattr(page, "view", lambda entry, owner: made.append(entry.id) or view(entry, owner=owner))
    with ThreadPoolExecutor(20) as viewers:
        found = list(viewers.map(lambda _: client.get(f"/api/runs/{run.id}", headers=PROXY), range(20)))
    assert {answer.status_code for answer in found} == {200} and len({answer.content for answer in found}) == 1
    assert made == [run.id]


@pytest.mark.parametrize("wanted", ["0" * 32, "nonsense", "a%00b", "..%2F..%2Fetc%2Fpasswd", "x" * 5000, "' OR 1=1 --"])
def test_what_is_no_run_is_not_found(client: Client, wanted: str) -> None:
    run = comparison()
    for path in (wanted, f"{wanted}/items", f"{wanted}/pair/{run.id}", f"{run.id}/pair/{wanted}"):
        answer = client.get(f"/api/runs/{path}")
        assert answer.status_code == 404 and answer.json()["error"]["message"], path


def test_a_revoked_link_is_gone_for_everybody_but_the_owner(client: Client) -> None:
    run, other = comparison(), comparison("Another")
    tag = {"If-None-Match": client.get(f"/api/runs/{run.id}", headers=PROXY).headers["etag"]}
    runs.revoke(run.id)
    assert client.get(f"/api/runs/{run.id}").json()["revoked"]
    gone = client.get(f"/api/runs/{run.id}", headers=PROXY | tag)
    never = client.get(f"/api/runs/{'0' * 32}", headers=PROXY)
    assert gone.status_code == never.status_code == 404
    assert gone.text.replace(run.id, "") == never.text.replace("0" * 32, ""), "nobody can tell that there was one"
    pair = f"/api/runs/{other.id}/pair/{run.id}"
    assert client.get(pair).status_code == 200 and client.get(pair, headers=PROXY).status_code == 404
    runs.restore(run.id)
    assert client.get(f"/api/runs/{run.id}", headers=PROXY).status_code == 200


def test_nobody_else_learns_a_path_of_this_machine(client: Client, home: Path) -> None:
    model = f"{home}/secret/tiny"
    facts = [REFERENCE | {"id": model}, NF4 | {"id": f"{model}:nf4"}]
    run = comparison(f"{model}: what is gravity?", model=model, variants=facts)
    other = bench(model=model, variants=facts)
    for path in (run.id, f"{run.id}/pair/{other.id}"):
        seen = client.get(f"/api/runs/{path}", headers=PROXY)
        assert seen.status_code == 200 and "secret" not in seen.text and "tiny" in seen.text
    assert "secret" in client.get(f"/api/runs/{run.id}").text


def test_the_items_of_an_evaluation_come_with_the_link(client: Client) -> None:
    run = evaluation(VARIANTS[:2], TASKS[2:3])
    asked = {"task": "bundled_facts", "variant": "1", "show": "flips", "offset": "0"}
    found = client.get(f"/api/runs/{run.id}/items", params=asked, headers=PROXY).json()
    assert found["counts"]["all"] == 200 and found["items"]
    wrong = client.get(f"/api/runs/{run.id}/items", params=asked | {"task": "../../etc"})
    assert wrong.status_code >= 400 and "has no task" in wrong.json()["error"]["message"]
    many = client.get(f"/api/runs/{run.id}/items", params=asked | {"offset": "many"})
    assert many.status_code == 422 and many.json()["error"]["field"] == "offset"


def test_only_the_owner_is_told_of_the_job(client: Client) -> None:
    run = quantization(job_id="1f")
    assert client.get(f"/api/runs/{run.id}").json()["job"] == "1f"
    assert client.get(f"/api/runs/{run.id}", headers=PROXY).json()["job"] is None


# ---- the list


def test_the_owner_finds_names_explains_revokes_and_deletes(client: Client) -> None:
    assert listed(client)["lines"] == []
    assert act(client, "revoke", id="0" * 32).status_code == 404
    first, second = comparison("What is gravity?"), bench("How fast")
    found = listed(client)
    assert [line["id"] for line in found["lines"]] == [second.id, first.id]
    assert found["total"] == 2 and found["models"] == ["smollm2"]
    assert [line["id"] for line in listed(client, words="GRAVITY nf4")["lines"]] == [first.id]
    assert [line["id"] for line in listed(client, kind="bench")["lines"]] == [second.id]
    assert listed(client, words=EVIL)["total"] == 0
    assert act(client, "rename", id=first.id, text=EVIL).json()["title"] == EVIL
    assert act(client, "annotate", id=first.id, text="On battery").json()["note"] == "On battery"
    assert act(client, "annotate", id=first.id, text="x" * 20_000).status_code >= 400
    assert act(client, "revoke", id=first.id).json()["revoked"] and listed(client)["total"] == 1
    assert listed(client, revoked=True)["lines"][1]["revoked"]
    assert act(client, "restore", id=first.id).json()["revoked"] is None and listed(client)["total"] == 2
    folders.run(first.id).mkdir(parents=True)
    assert act(client, "remove", ids=[first.id]).json() == {"removed": [first.id]}
    assert listed(client)["total"] == 1 and not folders.run(first.id).exists()
    gone = act(client, "remove", ids=[first.id])
    assert gone.status_code == 404 and gone.json()["error"]["message"].startswith("There is no run")


def test_several_are_deleted_at_once(client: Client) -> None:
    ids = [comparison(str(number)).id for number in range(3)]
    assert act(client, "remove", ids=[*ids[:2], "0" * 32]).json() == {"removed": ids[:2]}
    assert [line["id"] for line in listed(client)["lines"]] == ids[2:]
    assert act(client, "remove", ids=[]).status_code >= 400


def test_the_list_is_sorted_by_date_title_or_kind(client: Client) -> None:
    made: list[Run] = [comparison("b", created_at=1.0), bench("C", created_at=2.0), comparison("a", created_at=3.0)]
    b, c, a = (run.id for run in made)
    orders = {"newest": [a, c, b], "oldest": [b, c, a], "title": [a, b, c], "kind": [a, b, c]}
    for sort, ids in orders.items():
        assert [line["id"] for line in listed(client, sort=sort)["lines"]] == ids, sort
        assert [line["id"] for line in listed(client, sort=sort, limit=1)["lines"]] == ids[:1], sort
    assert client.get("/api/runs?sort=size").status_code == 422


def test_nobody_else_sees_the_list_or_changes_anything(client: Client) -> None:
    run = comparison("A secret title")
    answers = [client.get("/api/runs", headers=PROXY)]
    for verb in ACTIONS:
        body: dict[str, Any] = {"ids": [run.id]} if verb == "remove" else {"id": run.id}
        text = {"text": "mine"} if verb in ("rename", "annotate") else {}
        answers.append(client.post(f"/api/runs/{verb}", json=body | text, headers=PROXY))
    for answer in answers:
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "owner_only", answer.url
        assert "secret" not in answer.text
    assert runs.entry(run.id).title == "A secret title"


# ---- what a link unfurls as


def test_a_link_unfurls_with_title_note_and_picture(client: Client) -> None:
    """Fetched as a chat program does, without JavaScript."""
    title = "smollm2, smollm2:nf4, smollm2:gptq-w4a16-g64 · a, b, c, d"
    run = evaluation(VARIANTS[:3], TASKS[:4], title=title)
    words = "BF16, nf4 and GPTQ W4A16 on 4 tasks"
    text = client.get(f"/run/{run.id}", headers=PROXY).text
    assert f"<title>{words} · Quantization Playground</title>" in text
    assert f'<meta property="og:title" content="{words}">' in text
    assert '<meta property="og:description" content="Evaluation of smollm2">' in text
    assert f'<meta property="og:image" content="http://127.0.0.1:7860/run/{run.id}.png">' in text
    assert '<meta name="robots" content="noindex">' in text
    runs.rename(run.id, f'A "{EVIL}"')
    runs.annotate(run.id, "On battery")
    text = client.get(f"/run/{run.id}", headers=PROXY).text
    assert '<meta property="og:description" content="On battery">' in text and EVIL not in text


def test_the_picture_has_the_address_that_the_page_is_served_under(home: Path) -> None:
    run, owner = comparison(), Owner("127.0.0.1")

    def document(run_id: str, request: Request) -> Response:
        return routes.document(run_id, request, owner)

    app = FastAPI()
    app.add_api_route("/run/{run_id}", document)
    text = Client(app, "https://example.org", root_path="/playground").get(f"/playground/run/{run.id}").text
    assert f'content="https://example.org/playground/run/{run.id}.png"' in text
    assert '<base href="/playground/">' in text


def test_an_unknown_and_a_revoked_run_look_alike(client: Client) -> None:
    run = comparison("A secret title")
    runs.revoke(run.id)
    pages = [client.get(f"/run/{name}", headers=PROXY) for name in (run.id, "0" * 32, "nonsense")]
    assert len({page.text for page in pages}) == 1 and {page.status_code for page in pages} == {pages[0].status_code}
    assert "<title>Quantization Playground</title>" in pages[0].text and "og:title" not in pages[0].text
