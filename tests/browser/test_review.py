"""A blind review in Chromium: the owner makes it, two people vote by keyboard and by finger, the tallies are right."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, expect

from playground.review.make import PromptAnswers
from playground.review.results import results
from playground.review.spec import ReviewSpec
from playground.store import reviews
from tests.fakes import catalog
from tests.fakes.engine import FakeEngine
from tests.fakes.queue import FakeQueue
from tests.fakes.review import SECRETS, comparison, invited, review
from tests.fakes.rows import until
from tests.fakes.site import serving

pytestmark = pytest.mark.browser
EVIL = "<img src=x onerror=alert(1)>"
COUNT = 5


class Site:
    """The app, and contexts of people who visit it. No script may fail, no request leave the machine."""

    def __init__(self, url: str, queue: FakeQueue, chromium: Browser) -> None:
        self.url, self.queue, self._chromium = url, queue, chromium
        self.broken: list[str] = []
        self.contexts: list[BrowserContext] = []

    def context(self, width: int = 1440, height: int = 900, colours: str = "light", **more: Any) -> BrowserContext:
        found = self._chromium.new_context(viewport={"width": width, "height": height}, color_scheme=colours, **more)  # type: ignore[arg-type]
        self.contexts.append(found)
        return found

    def page(self, address: str, context: BrowserContext | None = None, **how: Any) -> Page:
        page = (context or self.context(**how)).new_page()
        page.on("pageerror", lambda error: self.broken.append(str(error)))
        page.on("dialog", lambda dialog: (self.broken.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", self._check)
        if address:
            page.goto(address if "://" in address else f"{self.url}{address}")
        return page

    def _check(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname not in ("127.0.0.1", "localhost"):
            self.broken.append(f"left the machine: {request.url}")


@pytest.fixture
def site(home: Path, chromium: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr("playground.jobs.queue.best_device", lambda: "cpu")
    catalog.install(monkeypatch)
    queue = FakeQueue()
    with ExitStack() as running:
        found = Site(running.enter_context(serving(FakeEngine(), queue=queue)), queue, chromium)
        yield found
        for context in found.contexts:
            context.close()
    assert not found.broken, f"a page broke: {found.broken}"


def comparisons(count: int, evil: str) -> None:
    for n in range(count):
        comparison(f"Question {n}? {evil}", [f"The plum of {n}. {evil}", f"The pear of {n}. {evil}"])


def owner(site: Site, **how: Any) -> Page:
    page = site.page("#reviews", **how)
    expect(page.get_by_role("combobox", name="Model to review")).to_have_value("fake", timeout=30_000)
    return page


def links(page: Page) -> list[str]:
    """What the owner's buttons copy."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    found = []
    for button in page.locator(".rv-people .row").get_by_role("button", name=re.compile("Copy the link of")).all():
        page.evaluate("navigator.clipboard.writeText('')")
        button.click()
        until(lambda: page.evaluate("navigator.clipboard.readText()"))
        found.append(page.evaluate("navigator.clipboard.readText()"))
    return found


def heard(page: Page) -> list[str]:
    """Everything that the server says to this page, as it is said."""
    said: list[str] = []

    def hear(route: Route) -> None:
        answer = route.fetch()
        said.append(f"{answer.headers} {answer.text()}")
        route.fulfill(response=answer)

    page.route("**/*", hear)
    return said


def fruit(page: Page, name: str) -> str:
    """The side on which an answer stands."""
    expect(page.locator(".answer")).to_have_count(2)
    return "a" if name in page.locator(".answer").first.inner_text() else "b"


def test_the_owner_makes_a_review_two_vote_and_the_tallies_are_right(site: Site) -> None:
    comparisons(COUNT, EVIL)
    page = owner(site)
    page.get_by_role("radio", name="Stored comparisons").click()
    boxes = page.locator(".rv-ticks.runs input")
    expect(boxes).to_have_count(COUNT)
    for box in boxes.all():
        box.check()
    page.get_by_label("Names of reviewers").fill(f"Anna\nBen {EVIL}")
    go = page.locator(".rv-plan .ui-go")
    expect(go).to_have_text(f"Create a review of {COUNT} comparisons")
    expect(go).to_be_enabled()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".rv-verdict")).to_contain_text("Nobody has voted on nf4 and BF16 yet.")
    expect(page.locator(".rv-people .row")).to_have_count(2)
    anna_link, ben_link = links(page)
    assert len(urlsplit(anna_link).fragment) == 32 and not urlsplit(anna_link).query and anna_link != ben_link

    # Anna likes plums: by number keys and Enter, with a comment on her first vote, and a reload in the middle.
    anna = site.page("")
    said = heard(anna)
    anna.goto(anna_link)
    for n in range(COUNT):
        expect(anna.locator("#count")).to_have_text(f"{n + 1} of {COUNT}")
        side = fruit(anna, "plum")
        said.append(anna.content())
        assert not [word for word in SECRETS if any(word.lower() in one.lower() for one in said)]
        if n == 0:
            anna.keyboard.press("c")
            anna.keyboard.type(f"riper {EVIL}")
            anna.keyboard.press("Escape")
        if n == 2:
            shown = anna.locator(".answers").inner_text()
            anna.reload()
            expect(anna.locator(".answers")).to_have_text(re.compile(re.escape(shown.split("\n")[-1])))
            assert anna.locator(".answers").inner_text() == shown, "sides stay as they were drawn"
        anna.keyboard.press("1" if side == "a" else "4")
        expect(anna.get_by_role("radio", name=f"{side.upper()} is better")).to_be_checked()
        anna.keyboard.press("Enter")
    expect(anna.locator(".card")).to_contain_text("Thank you")
    expect(anna.locator(".tally .row")).to_have_text([f"BF16{COUNT}", "nf40", "neither0"])

    # Ben likes pears twice, then a tie, then both bad, then a plum: by arrow keys.
    ben = site.page(ben_link)
    for n, vote in enumerate(("pear", "pear", "tie", "bad", "plum")):
        expect(ben.locator("#count")).to_have_text(f"{n + 1} of {COUNT}")
        steps = {"tie": ["ArrowLeft", "ArrowRight"], "bad": ["ArrowRight", "ArrowLeft"]}.get(vote)
        for key in steps or ["ArrowLeft" if fruit(ben, vote) == "a" else "ArrowRight"]:
            ben.keyboard.press(key)
        ben.keyboard.press("Enter")
    expect(ben.locator(".tally .row")).to_have_text(["nf42", "BF161", "neither2"])

    # By hand: nf4 won 2, BF16 won 6, 2 undecided; (2 + 1) / 10 = 30%.
    expect(page.locator(".rv-pair li").first).to_have_text(
        "nf4 won 2, BF16 won 6, 2 undecided: a win rate of 30%, undecided votes counted half.", timeout=30_000
    )
    expect(page.locator(".rv-pair .big")).to_have_text("30%")
    expect(page.locator(".rv-people .row")).to_contain_text(["5 of 5", "5 of 5"])
    found = results(reviews.latest()[0][0].id)
    rate = found["pairs"][0]["win_rate"]
    assert (rate["wins"], rate["losses"], rate["undecided"], rate["rate"]) == (2, 6, 2, 0.3)
    assert (found["ties"], found["bad"], found["counted"]) == (1, 1, 10)
    commented = page.locator(".rv-item", has_text="1 comment")
    commented.locator("summary").click()
    expect(commented.locator(".comment")).to_contain_text(f"Anna (for BF16): riper {EVIL}")
    expect(commented.locator(".text").first).to_contain_text("The plum of")
    assert page.locator("img[src=x]").count() == anna.locator("img").count() == ben.locator("img").count() == 0

    page.get_by_role("button", name="Do not count the votes of Anna").click()
    expect(page.locator(".rv-pair .big")).to_have_text("60%")  # Ben: 2 pears, 1 plum, 2 undecided
    page.get_by_role("button", name="Close this review").click()
    page.get_by_role("button", name="Close it").click()
    expect(page.locator(".rv-results .ui-state")).to_have_text("closed")
    page.get_by_role("link", name="In Runs").click()
    page.get_by_role("listitem").get_by_role("link").first.click()
    expect(page.locator(".rn-body .rv-verdict .big")).to_have_text("60%")
    expect(page.locator(".rn-body .rv-results")).not_to_contain_text("Anna")


def test_a_vote_that_was_given_stays_whoever_sends_it_again(site: Site) -> None:
    found = review(3)
    key = invited(found)[0].key
    page = site.page(f"review/{found.id}#{key}")
    expect(page.locator(".answer")).to_have_count(2)
    other = site.page(f"review/{found.id}#{key}", page.context)
    expect(other.locator(".answer")).to_have_count(2)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("#count")).to_have_text("2 of 3")
    other.keyboard.press("1")
    other.keyboard.press("Enter")  # of the item that has its vote
    expect(other.locator(".note")).to_contain_text("You have already voted on this pair.")
    expect(other.locator("#count")).to_have_text("2 of 3")
    send = """async ([body, headers]) => {
        const { token } = await (await fetch('/api/page')).json();
        const all = { ...headers, 'X-Playground-Page': token };
        const answer = await fetch('/review/vote', { method: 'POST', headers: all, body: JSON.stringify(body) });
        return [answer.status, (await answer.json()).error.code];
    }"""
    body, kind = {"review": found.id, "key": key, "at": 0, "choice": "a"}, {"Content-Type": "application/json"}
    assert page.evaluate(send, [body, kind]) == [409, "vote_refused"]
    assert page.evaluate(send, [body | {"at": 1}, {"Content-Type": "text/plain"}]) == [403, "owner_only"]
    foreign = page.context.request.post(
        f"{site.url}review/vote", data=json.dumps(body | {"at": 1}), headers={**kind, "Origin": "https://evil.example"}
    )
    assert foreign.status == 403
    assert [vote.choice for vote in reviews.votes(found.id)] == ["tie"]


def test_the_common_link_on_a_phone(site: Site) -> None:
    found = review(2, places=1, invitations=())
    phone = {"width": 390, "height": 844, "has_touch": True, "is_mobile": True}
    address = f"review/{found.id}#{found.key}"
    page = site.page(address, **phone)
    page.get_by_role("button", name="Begin").tap()
    expect(page.locator(".answer")).to_have_count(2)
    expect(page.locator(".send")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    (cookie,) = [one for one in page.context.cookies() if one["name"].startswith("review-")]
    assert cookie["httpOnly"] and cookie["sameSite"] == "Lax" and cookie["value"] not in page.content()
    page.locator(".answer").last.tap()
    expect(page.get_by_role("radio", name="B is better")).to_be_checked()
    page.locator(".send").tap()
    expect(page.locator("#count")).to_have_text("2 of 2")
    page.reload()
    expect(page.locator("#count")).to_have_text("2 of 2")
    page.get_by_role("radio", name="Both are bad").tap()
    page.locator(".send").tap()
    expect(page.locator(".card")).to_contain_text("When the review is closed")
    late = site.page(address, **phone)
    late.get_by_role("button", name="Begin").tap()
    expect(late.locator(".note")).to_contain_text("All places of this review are taken.")
    reviews.close(found.id, lambda: None)
    page.reload()
    expect(page.locator(".tally .row")).to_have_count(3)
    wrong = site.page(f"review/{found.id}#{'0' * 32}", **phone)
    expect(wrong.locator(".card")).to_contain_text("There is no review behind this link.")


def test_prompts_are_queued_for_the_variants_to_answer(site: Site) -> None:
    page = owner(site, width=390, height=844)
    page.get_by_role("radio", name="Your own").click()
    prompts = page.get_by_label("Your own prompts")
    prompts.fill("Why?\nHow?\nWhere?")
    page.get_by_label("Names of reviewers").fill("Anna")
    go = page.locator(".rv-plan .ui-go")
    expect(go).to_have_text("Create the review (6 answers)")
    page.get_by_label("Title", exact=True).fill("nf4 or not?")
    expect(page.locator("#rv-error-title")).to_contain_text("which names a variant")
    page.get_by_label("Title", exact=True).fill("Which is better?")
    expect(page.locator("#rv-error-title")).to_be_empty()
    page.reload()
    expect(prompts).to_have_value("Why?\nHow?\nWhere?")
    expect(page.get_by_label("Title", exact=True)).to_have_value("Which is better?")
    expect(go).to_have_text("Create the review (6 answers)")
    go.click()
    expect(page.locator(".ui-job .ui-state")).to_have_text("queued")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    (job,) = site.queue.jobs.values()
    spec = ReviewSpec.from_stored(job.spec)
    assert spec.prompts.prompts == ("Why?", "How?", "Where?") and spec.variants == ("fake", "fake:nf4")
    site.queue.start(job.id, ago=3)
    site.queue.stage(job.id, "answering", 1, 3, "prompts", at=2.0)
    expect(page.locator(".ui-job .ui-much")).to_contain_text("1 of 3 prompts")
    page.get_by_role("button", name=re.compile("^Stop ")).click()
    page.get_by_role("button", name="Stop it").click()
    expect(page.locator(".ui-job .ui-state")).to_have_text("stopping")


def test_no_error_is_shown_before_anything_was_typed(site: Site) -> None:
    page = owner(site)
    errors = page.locator("#pg-reviews .rv-error:not(:empty), #pg-reviews .pg-notice.error")
    go = page.locator(".rv-plan .ui-go")
    expect(go).to_have_text("Create the review (96 answers)")
    expect(page.locator(".rv-sees")).to_contain_text("a preference of 68% or more can be detected")
    expect(errors).to_have_count(0)
    names = page.get_by_label("Names of reviewers")
    names.fill("A")
    names.fill("")
    expect(page.locator("#rv-error-invitations")).to_contain_text("Add at least one reviewer.")
    page.reload()
    expect(go).to_have_text("Create the review (96 answers)")
    expect(errors).to_have_count(0)
    go.click()
    expect(page.locator("#rv-error-invitations")).to_contain_text("Add at least one reviewer.")
    expect(names).to_be_focused()
    expect(names).to_have_attribute("aria-invalid", "true")
    names.fill("Anna")
    expect(errors).to_have_count(0)
    page.get_by_label("How many").fill("two")
    expect(page.locator("#rv-error-count")).to_contain_text("The number of prompts is 'two'.")
    assert not site.queue.jobs
    model = page.get_by_role("combobox", name="Model to review")
    model.fill("/no/such")
    model.press("Enter")
    expect(page.locator("#rv-error-model")).to_contain_text("There is no")
    expect(model).to_have_value("fake")


def test_results_have_a_link_and_downloads(site: Site) -> None:
    found, newest = review(2, asked_by="Jacob"), review(3)
    page = site.page(f"#reviews?review={found.id}")
    expect(page.locator(".rv-items details")).to_have_count(2)
    with page.expect_download() as table:
        page.get_by_role("link", name="Votes as CSV").click()
    assert table.value.suggested_filename == f"review-{found.id[:8]}-votes.csv"
    with page.expect_download() as whole:
        page.get_by_role("link", name="Results as JSON").click()
    assert json.loads(Path(whole.value.path()).read_text())["review"]["id"] == found.id
    page.locator(f".rv-line[data-id='{newest.id}'] .open").click()
    expect(page.locator(".rv-items details")).to_have_count(3)
    expect(page).to_have_url(re.compile(f"#reviews[?]review={newest.id}$"))
    page.reload()
    expect(page.locator(".rv-items details")).to_have_count(3)


def test_the_voting_page_says_who_asks_for_how_long_and_what_was_cut(site: Site) -> None:
    answers = [PromptAnswers("Why?", ("plum", "pear"), (None, 64))]
    found = review(answers=answers, asked_by="Jacob", places=1)
    page = site.page(f"?review={found.id}&key={invited(found)[0].key}")
    expect(page.locator(".told")).to_have_text(
        "Jacob asks you to compare 1 pair of answers: about 1 minute. You are not told which model wrote which answer."
    )
    expect(page, "an old link leads to the new address").to_have_url(
        re.compile(f"/review/{found.id}#{invited(found)[0].key}$")
    )
    cut = page.locator(".answer", has_text="pear")
    expect(cut.locator(".cut")).to_have_text("cut at 64 tokens")
    expect(page.locator(".answer", has_text="plum").locator(".cut")).to_have_count(0)
    expect(page.locator("meta[property='og:title']")).to_have_attribute("content", "A blind review: 1 pair of answers")
    guest = site.page(f"review/{found.id}?key={found.key}")
    expect(guest.locator(".card")).to_contain_text("Jacob asks you to compare answers.")
    expect(guest.locator(".card")).to_contain_text("about 1 minute")
    expect(guest, "the key leaves the query").to_have_url(re.compile(f"/review/{found.id}#{found.key}$"))


def test_a_file_of_prompts_is_read_and_kept(site: Site) -> None:
    page = owner(site)
    page.get_by_role("radio", name="Your own").click()
    rows = "".join(json.dumps({"prompt": f"Question {n}? {'x' * 1000}"}) + "\n" for n in range(100))
    page.get_by_label("File of prompts").set_input_files(
        {"name": "mine.jsonl", "mimeType": "application/jsonl", "buffer": rows.encode()}
    )
    go = page.locator(".rv-plan .ui-go")
    expect(go).to_have_text("Create the review (200 answers)")
    page.get_by_label("Names of reviewers").fill("Anna")
    go.click()
    expect(page.locator(".ui-job .ui-state")).to_have_text("queued")
    (job,) = site.queue.jobs.values()
    spec = ReviewSpec.from_stored(job.spec)
    assert spec.prompts.name == "mine.jsonl" and len(spec.prompts.prompts) == 100


def test_a_page_from_before_a_restart_of_the_server_still_votes(site: Site) -> None:
    found, stale = review(2), ["the token of before"]
    page = site.page("")

    def answer(route: Route) -> None:
        facts = route.fetch().json()
        route.fulfill(json=facts | ({"token": stale.pop()} if stale else {}))

    page.route("**/api/page", answer)
    page.goto(f"{site.url}review/{found.id}#{invited(found)[0].key}")
    expect(page.locator(".answer")).to_have_count(2)
    assert not stale
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("#count")).to_have_text("2 of 2")


def test_nobody_but_the_owner_sees_results(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from playground.web.owner import Owner

    found = review(2)
    monkeypatch.setattr(Owner, "public", True)
    page = site.page("#reviews")
    expect(page.locator("#pg-reviews")).to_contain_text("This is available to the owner only.")
    expect(page.locator(".rv-form, .rv-plan")).to_have_count(0)
    content: Callable[[], str] = page.content
    assert found.id not in content() and not any(one.key in content() for one in invited(found))
