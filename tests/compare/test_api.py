"""What the page calls, over HTTP: the state, the stream that survives, and who may do what."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from playground import models as catalog_module
from playground.compare.api import router
from playground.compare.choose import Compare
from playground.compare.endpoints import Endpoints
from playground.compare.session import Sessions
from playground.engines import base
from playground.errors import BrokenCheckpoint
from playground.store import runs
from playground.web import stream
from playground.web.owner import Logins, Owner, Rules
from tests.fakes import catalog
from tests.fakes.api import Page, Refused, serving
from tests.fakes.engine import GRAVITY, FakeEngine, Script
from tests.fakes.proxy import Proxy
from tests.fakes.rows import Clock, drawn, until

TOKEN = {"X-Playground-Token": "the token of the owner"}
LONG = [f" {n}" for n in range(60)]


class Served:
    """One served page, with what a test wants to look at."""

    def __init__(self, address: str) -> None:
        self.clock, self.engine = Clock(), FakeEngine()
        owner = Owner(address, logins=Logins(TOKEN["X-Playground-Token"]))
        self.sessions = Sessions(self.clock)
        self.compare = Compare(self.engine, self.sessions, lambda: "CPU · 2 cores", Rules(owner))
        self.routes = router(self.compare, Endpoints(owner))
        self.url = ""

    def page(self, session: str = "", **headers: str) -> Page:
        return Page(self.url, {name.replace("_", "-"): value for name, value in headers.items()}).open(session)

    def session(self, page: Page) -> Any:
        return self.sessions._open[page.state["session"]]


@contextmanager
def served(address: str) -> Iterator[Served]:
    made = Served(address)
    with serving(made.routes, stream.router(made.compare.find)) as made.url:
        try:
            yield made
        finally:
            made.engine.go.set()
            made.sessions.close_all()


@pytest.fixture
def site(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A page for whoever sits at this machine."""
    catalog.install(monkeypatch, ["other"])
    with served("127.0.0.1") as made:
        yield made


@pytest.fixture
def public(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A page that others reach."""
    catalog.install(monkeypatch)
    monkeypatch.setenv("PLAYGROUND_PROXIES", "127.0.0.1")
    monkeypatch.setenv("PLAYGROUND_PUBLIC_RATE", "100/minute")
    with served("0.0.0.0") as made:  # noqa: S104
        yield made


def shown(page: Page) -> list[str]:
    return [pane["address"] for pane in page.state["panes"]]


# ---- the state


def test_it_opens_with_the_pages_model_and_its_first_variants(site: Served) -> None:
    state = site.page().state
    assert (state["model"], state["models"], state["origin"], state["device"]) == (
        "fake", ["fake", "other"], "made up", "CPU · 2 cores",
    )  # fmt: skip
    assert [(pane["slot"], pane["address"], pane["reference"]) for pane in state["panes"]] == [
        (0, "fake", True), (1, "fake:nf4", False),
    ]  # fmt: skip
    assert state["limits"] is None and not state["busy"] and state["run"] == ""
    assert state["defaults"]["max_tokens"] == 128 and "What is gravity?" in state["examples"]
    choices = {choice["value"]: choice for choice in state["panes"][1]["choices"]}
    assert choices["fake:nf4"] == {
        "value": "fake:nf4",
        "label": "nf4",
        "size": "≈ 110 MB",
        "group": "while loading",
        "engine": "transformers host",
        "why": "",
    }
    assert choices["fake"]["group"] == "original"
    assert state["panes"][0]["head"]["label"] == "BF16"


def test_the_rows_draw_what_the_state_says(site: Served) -> None:
    page = site.page()
    page.follow()
    for pane in page.state["panes"]:
        assert drawn(page.rows, pane["slot"]) == [["head", pane["head"]]]
    assert page.rows[-1] == [-1, "idle"] and page.after == page.state["after"]


def test_panes_are_chosen_added_and_removed(site: Served) -> None:
    page = site.page()
    page.post("add")
    assert shown(page) == ["fake", "fake:nf4", "fake:int8"]
    page.post("choose", slot=1, variant="fp4")
    assert shown(page) == ["fake", "fake:fp4", "fake:int8"]
    page.post("remove", slot=1)
    assert shown(page) == ["fake", "fake:int8"]
    for slot in (0, 1, 2):
        with pytest.raises(Refused):
            page.post("remove", slot=slot)
    page.post("choose", slot=2, variant="nf4@transformers")
    assert shown(page) == ["fake", "fake:nf4@transformers"]
    page.post("model", model="fake:int8")
    assert shown(page) == ["fake", "fake:int8"]
    page.post("use", model="other", where="pane")
    assert shown(page) == ["fake", "other", "fake:int8"]
    page.post("add")
    with pytest.raises(Refused, match="4 panes are as many as can be shown"):
        page.post("add")
    page.follow()
    assert [drawn(page.rows, slot)[0][1]["id"] for slot in range(4)] == shown(page)


def test_a_model_that_cannot_be_opened_leaves_no_wrong_name(site: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    page = site.page()
    before = page.state
    with pytest.raises(Refused, match="There is no model 'nonsense'") as refused:
        page.post("model", model="nonsense")
    assert refused.value.status == 404 and refused.value.error["code"] == "unknown_model"

    def broken(_: str) -> Any:
        raise BrokenCheckpoint("The file is cut off.", hint="Download it again.")

    with monkeypatch.context() as patch:
        patch.setattr(catalog_module, "variants", broken)
        with pytest.raises(Refused, match="cut off"):
            page.post("model", model="other")
    for verb, body in (
        ("choose", {"variant": "fake:nope"}),
        ("choose", {"variant": "nf4@llamacpp"}),
        ("engine", {"engine": "llamacpp"}),
        ("engine", {"engine": "nope"}),
        ("use", {"model": "nonsense", "where": "pane"}),
    ):
        with pytest.raises(Refused):
            page.post(verb, **({"slot": 1} if verb != "use" else {}), **body)
    assert page.get("/api/compare/state") == before


def test_a_page_whose_model_cannot_be_opened_says_so(site: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_MODEL", "nonsense")
    page = site.page()
    assert page.state["model"] == "" and page.state["origin"] == ""
    page.follow()
    (notice,) = page.kinds(-1, "notice")
    assert notice[1]["code"] == "unknown_model" and "nonsense" in notice[1]["message"]
    with pytest.raises(Refused, match="shows no variant"):
        page.post("run", prompt="Hi")
    page.post("model", model="fake")
    page.follow()
    assert page.kinds(-1, "notice")[-1] == ["notice", None] and shown(page) == ["fake", "fake:nf4"]


def test_what_was_made_meanwhile_is_offered(site: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    page = site.page()
    variants = catalog_module.variants
    monkeypatch.setattr("playground.models.names.stored", lambda model: ("mine",))
    monkeypatch.setattr(catalog_module, "variants", lambda m: [*variants(m), catalog.fake_variant("fake:mine")])
    choices = page.get("/api/compare/state")["panes"][1]["choices"]
    assert [choice["value"] for choice in choices if choice["group"] == "made here"] == ["fake:mine"]


def test_what_nothing_here_can_run_says_why(site: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    option = base.Option("llamacpp", "llama.cpp", False, "xllamacpp not installed")
    monkeypatch.setattr(base, "options", lambda variant: [option])
    page = site.page()
    assert {choice["why"] for choice in page.state["panes"][0]["choices"]} == {"xllamacpp not installed"}


# ---- the stream


def test_a_run_is_streamed_and_stored(site: Served) -> None:
    page = site.page()
    assert page.post("run", prompt="What is gravity?", sampling={"max_tokens": 64})["busy"]
    page.follow()
    assert page.text(0) == page.text(1) == "".join(GRAVITY)
    assert page.kinds(-1)[-2][0] == "run" and runs.get(page.kinds(-1)[-2][1]).result["panes"]
    assert page.numbers == sorted(set(page.numbers))
    key = page.kinds(1, "user")[0][2]
    assert page.get("/api/compare/token", turn=key, index=0)["piece"] == "Gravity"
    with pytest.raises(Refused, match="no such token"):
        page.get("/api/compare/token", turn=key, index=99)
    assert page.get("/api/compare/state")["run"] == page.kinds(-1)[-2][1]


def test_a_stream_that_a_proxy_cuts_goes_on_without_a_lost_or_doubled_token(site: Served) -> None:
    for name in ("fake", "fake:nf4"):
        site.engine.scripts[name] = Script(tokens=LONG, step_s=0.02)
    page, proxy = site.page(), Proxy(int(site.url.rpartition(":")[2]))
    page.post("run", prompt="Count.")
    try:
        while ["idle"] not in page.kinds(-1):
            try:
                with httpx.stream(
                    "GET", f"{proxy.url}/stream/{page.state['session']}", params={"after": page.after}
                ) as answer:
                    page.take(whole(answer.iter_raw()))
            except httpx.RemoteProtocolError:
                continue
    finally:
        proxy.close()
    assert proxy.cuts == 4
    assert page.text(0) == page.text(1) == "".join(LONG)
    assert page.numbers == sorted(set(page.numbers)), "no row came twice"
    fresh = site.page(page.state["session"])
    fresh.follow()
    assert fresh.rows == [row for row in page.rows if row in fresh.rows] and fresh.text(1) == page.text(1)
    assert ["idle"] not in fresh.kinds(-1)[:-1], "whoever reads a running session meets no end in between"


def whole(chunks: Iterator[bytes]) -> Iterator[str]:
    """The lines of complete events only, as a browser takes them."""
    buffer = b""
    for chunk in chunks:
        buffer += chunk
        *events, buffer = buffer.split(b"\n\n")
        for event in events:
            yield from event.decode().split("\n")


def test_a_browser_that_reconnects_by_itself_goes_on_too(site: Served) -> None:
    page = site.page()
    page.post("run", prompt="Hi")
    page.follow()
    header = {"Last-Event-ID": str(page.after - 2)}
    answer = httpx.get(f"{site.url}/stream/{page.state['session']}", headers=header)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [line for line in answer.text.splitlines() if line.startswith("id")] == [
        f"id: {page.after - 1}", f"id: {page.after}",
    ]  # fmt: skip


def reading(page: Page) -> threading.Thread:
    thread = threading.Thread(target=page.follow, daemon=True)
    thread.start()
    return thread


@contextmanager
def connected(site: Served, page: Page) -> Iterator[None]:
    """A stream that is open while this lasts, and then breaks off."""
    url = f"{site.url}/stream/{page.state['session']}"
    with httpx.stream("GET", url, params={"page": page.name}) as answer:
        chunks = answer.iter_raw()
        next(chunks)
        yield
        chunks.close()  # type: ignore[attr-defined]


def hold(site: Served) -> None:
    for name in ("fake", "fake:nf4"):
        site.engine.scripts[name] = Script(hold_at=3)


def test_a_connection_that_drops_keeps_the_run_for_fifteen_seconds(site: Served) -> None:
    hold(site)
    page = site.page()
    page.post("run", prompt="Hi")
    session = site.session(page)
    with connected(site, page):
        until(lambda: len(site.engine.active) == 2)
    until(lambda: not len(session.readers) and not session.readers.abandoned)  # the server has noticed, and when
    site.clock.now += 14
    time.sleep(0.2)
    assert session.busy
    site.clock.now += 2
    until(lambda: not session.working)
    assert not site.engine.active and runs.count() == 1
    page.follow()
    assert page.text(0) == "Gravity is a" and page.kinds(0, "end")[0][1] == "stopped"


def test_a_closed_page_ends_its_run_and_a_reloaded_one_does_not(site: Served) -> None:
    hold(site)
    page = site.page()
    page.post("run", prompt="Hi")
    until(lambda: len(site.engine.active) == 2)
    with connected(site, page):
        page.post("leave", page=page.name)
        again = site.page(page.state["session"])  # the reloaded page
        assert again.state["session"] == page.state["session"] and again.state["busy"]
        thread = reading(again)
        until(lambda: len(site.session(page).readers) == 2)
        site.clock.now += 10
        time.sleep(0.2)
        assert len(site.engine.active) == 2
        again.post("leave", page=again.name)
        site.clock.now += 1.6
        thread.join()
    assert again.text(0) == "Gravity is a" and again.kinds(0, "end")[0][1] == "stopped"


def test_stop_is_at_once(site: Served) -> None:
    hold(site)
    page = site.page()
    page.post("run", prompt="Hi")
    until(lambda: len(site.engine.active) == 2)
    page.post("stop", slot=1)
    until(lambda: len(site.engine.active) == 1)
    page.post("stop")
    page.follow()
    assert [page.kinds(slot, "end")[0][1] for slot in (0, 1)] == ["stopped", "stopped"]


def test_one_pane_again_and_what_is_refused_meanwhile(site: Served) -> None:
    page = site.page()
    with pytest.raises(Refused, match="There is no such prompt"):
        page.post("again", slot=1)
    page.post("run", prompt="Hi")
    page.follow()
    site.engine.scripts["fake:nf4"] = Script(tokens=["No", "."], hold_at=1)
    page.post("again", slot=1, sampling={"seed": 3})
    for verb, body in (("run", {"prompt": "Hi"}), ("again", {"slot": 0}), ("measure", {})):
        with pytest.raises(Refused, match="Answers are being written"):
            page.post(verb, **body)
    site.engine.go.set()
    page.follow()
    assert "".join(row[2] for row in drawn(page.rows, 1) if row[0] == "tok") == "No."
    assert [row[1] for row in drawn(page.rows, 1) if row[0] == "made"][-1].endswith("seed 3")


def test_a_pane_that_joins_later_is_asked_what_the_others_were(site: Served) -> None:
    page = site.page()
    for prompt in ("first", "second"):
        page.post("run", prompt=prompt)
        page.follow()
    page.post("add")
    for row in page.kinds(0, "user"):
        page.post("again", slot=2, turn=row[2])
        page.follow()
    assert [row[1] for row in page.kinds(2, "user")] == ["first", "second"]
    assert [turn["content"] for turn in site.engine.prompts[-1][1]] == ["first", "".join(GRAVITY), "second"]  # type: ignore[index]
    with pytest.raises(Refused, match="There is no such prompt"):
        page.post("again", slot=2, turn="nope")


def test_a_session_has_only_so_many_streams(site: Served) -> None:
    hold(site)
    page = site.page()
    page.post("run", prompt="Hi")
    pages = [site.page(page.state["session"]) for _ in range(8)]
    threads = [reading(one) for one in pages]
    until(lambda: len(site.session(page).readers) == 8)
    with pytest.raises(Refused, match="8 streams of this session are open") as refused:
        page.follow()
    assert refused.value.status == 429
    site.engine.go.set()
    for thread in threads:
        thread.join()
    assert {one.text(0) for one in pages} == {"".join(GRAVITY)}


def test_bytes_of_a_token_on_the_wire(site: Served) -> None:
    """594 before: every token carried its alternatives, escaped once more by gradio."""
    site.engine.scripts |= {name: Script(tokens=LONG) for name in ("fake", "fake:nf4")}
    page = site.page()
    page.post("run", prompt="Hi")
    body = httpx.get(f"{site.url}/stream/{page.state['session']}").content
    events = [event for event in body.split(b"\n\n") if b'"tok"' in event]
    assert len(events) == 120 and sum(len(event) + 2 for event in events) / 120 < 65


# ---- who may


def test_two_openers_cannot_read_each_others_stream(public: Served) -> None:
    alice, bob = public.page(X_Forwarded_For="1.1.1.1"), public.page(X_Forwarded_For="2.2.2.2")
    owner = public.page(**TOKEN)
    alice.post("run", prompt="Hi")
    alice.follow()
    key = alice.kinds(0, "user")[0][2]
    for stranger, victim in ((bob, alice), (owner, alice), (alice, owner)):
        id = victim.state["session"]
        paths = [f"/stream/{id}", f"/api/compare/state?session={id}"]
        paths += [f"/api/compare/token?session={id}&turn={key}&index=0"]
        for path in paths:
            answer = stranger.http.get(path)
            assert answer.status_code == 404 and answer.json()["error"]["code"] == "unknown_session"
        for verb, body in {
            "model": {"model": "fake"}, "choose": {"slot": 1, "variant": "fake"}, "add": {}, "clear": {}, "stop": {},
            "engine": {"slot": 0, "engine": "vllm"}, "remove": {"slot": 1}, "use": {"model": "fake"}, "measure": {},
            "run": {"prompt": "Hi"}, "again": {"slot": 0}, "leave": {"page": victim.name},
        }.items():  # fmt: skip
            answer = stranger.http.post(f"/api/compare/{verb}", json={"session": id, **body})
            assert answer.json()["error"]["code"] == "unknown_session", verb
        assert stranger.http.post("/api/compare/open", json={"session": id}).json()["session"] != id, "one of its own"
    assert alice.get("/api/compare/state")["run"]


def test_visitors_have_limits_and_see_them(public: Served) -> None:
    page = public.page(X_Forwarded_For="1.1.1.1")
    assert page.state["limits"] == {"max_tokens": 256, "chars": 8000, "rate": "100 answers per minute", "panes": 4}
    assert page.state["models"] == ["fake"] and public.page(**TOKEN).state["limits"] is None
    for verb, body, sentence in (
        ("run", {"prompt": "Hi", "sampling": {"max_tokens": 300}}, "Visitors get 256"),
        ("run", {"prompt": "x" * 8001}, "Visitors get 8,000"),
        ("model", {"model": "other"}, "not offered to visitors"),
        ("choose", {"slot": 1, "variant": "other"}, "not offered to visitors"),
        ("use", {"model": "other", "where": "pane"}, "not offered to visitors"),
    ):
        with pytest.raises(Refused, match=sentence):
            page.post(verb, **body)
    page.post("run", prompt="Hi", sampling={"max_tokens": 256})
    page.follow()
    assert page.text(0) == "".join(GRAVITY)


def test_where_visitors_may_only_look_they_cannot_run(public: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_PUBLIC", "view")
    page = public.page(X_Forwarded_For="1.1.1.1")
    for verb, body in (("run", {"prompt": "Hi"}), ("measure", {})):
        with pytest.raises(Refused, match="available to the owner only"):
            page.post(verb, **body)
    assert not public.engine.asked


def test_a_visitor_for_whom_there_is_no_room_waits(public: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_PUBLIC_GENERATIONS", "1")
    public.engine.scripts["fake"] = Script(hold_at=2)
    first, second = public.page(X_Forwarded_For="1.1.1.1"), public.page(X_Forwarded_For="2.2.2.2")
    first.post("run", prompt="Hi")
    until(lambda: public.engine.asked)
    second.post("run", prompt="Hi")
    thread = reading(second)
    until(lambda: len(second.kinds(0, "state")) > 1)
    assert second.kinds(0, "state")[1][:3] == ["state", "waiting", "Waiting: 1 run before yours"]
    public.engine.go.set()
    thread.join()
    assert second.text(0) == "".join(GRAVITY)


def test_no_error_shows_a_place_on_this_machine(site: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        for body in (b"[1]", b"{", b'{"session": 3}', b'{"session": "' + b"x" * 100 + b'"}'):
            answer = httpx.post(
                f"{site.url}/api/compare/run", content=body, headers={"Content-Type": "application/json"}
            )
            assert 400 <= answer.status_code < 500 and "/work" not in answer.text
            assert json.loads(answer.text)
