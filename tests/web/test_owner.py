"""Who the owner is: no header, no name and no other website makes one, and a doubt is a no."""

from __future__ import annotations

import fastapi
import gradio as gr
import pytest

from playground.errors import OwnerOnly
from playground.web.owner import Logins, Owner, loopback

HERE = Owner("127.0.0.1")


def request(client: str | None = "127.0.0.1", host: str | None = "127.0.0.1:7860", **headers: str) -> gr.Request:
    raw = [] if host is None else [(b"host", host.encode())]
    raw += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "headers": raw, "client": client and (client, 50_000), "method": "POST", "path": "/"}
    return gr.Request(fastapi.Request(scope))


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request("::1", "[::1]:7860", origin="http://[::1]:7860"),
        request("::ffff:127.0.0.1", "localhost"),
        request(host="localhost:7860", origin="http://localhost:7860", sec_fetch_site="same-origin"),
        request(origin="http://127.0.0.1:7860", sec_fetch_site="none"),
    ],
)
def test_whoever_sits_here_is_the_owner(asked: gr.Request) -> None:
    HERE.check(asked)
    assert Owner("localhost").refusal(asked) is None and Owner("::1").refusal(asked) is None


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (None, "says nothing"),
        (request(None), "another machine"),
        (request("192.168.1.9"), "another machine"),
        (request("localhost.example"), "another machine"),
        (request(x_forwarded_for="127.0.0.1"), "proxy"),
        (request(x_forwarded_host="localhost"), "proxy"),
        (request(forwarded="for=127.0.0.1"), "proxy"),
        (request(via="1.1 nginx"), "proxy"),
        (request(x_real_ip="127.0.0.1"), "proxy"),
        (request("6.6.6.6", x_forwarded_for="127.0.0.1"), "proxy"),
        (request(host=None), "another name"),
        (request(host="rebound.example:7860"), "another name"),
        (request(host="127.0.0.1.rebound.example"), "another name"),
        (request(host="[::1"), "another name"),
        (request(host="localhost@rebound.example"), "another name"),
        (request(origin="https://evil.example"), "another website"),
        (request(origin="null"), "another website"),
        (request(origin=""), "another website"),
        (request(origin="http://127.0.0.1:8000"), "another website"),
        (request(origin="http://localhost:7860"), "another website"),
        (request(origin="http://127.0.0.1:7860@evil.example"), "another website"),
        (request(origin="file://127.0.0.1:7860"), "another website"),
        (request(sec_fetch_site="cross-site"), "another website"),
        (request(sec_fetch_site="same-site"), "another website"),
    ],
)
def test_everybody_else_is_told_why_not(asked: gr.Request | None, why: str) -> None:
    with pytest.raises(OwnerOnly, match=why) as refused:
        HERE.check(asked)
    assert refused.value.hint == "Open the page on the machine that serves it."


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.2", "gpu-box", "", "localhost.example"])  # noqa: S104
def test_a_page_that_others_reach_has_no_owner_and_says_nothing_of_its_address(address: str) -> None:
    with pytest.raises(OwnerOnly) as refused:
        Owner(address).check(request())
    assert (refused.value.message, refused.value.hint) == ("This is available to the owner only.", "")
    with pytest.raises(OwnerOnly) as refused:
        Owner(address, logins=Logins("token")).check(request())
    assert refused.value.hint == "Log in as the owner."


def test_a_share_link_is_for_anyone() -> None:
    with pytest.raises(OwnerOnly, match="available to the owner only"):
        Owner("127.0.0.1", shared=True).check(request())


def test_loopback_is_what_cannot_be_another_machine() -> None:
    for name in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST", "::ffff:127.0.0.1"):
        assert loopback(name), name
    for name in ("", "localhost.", "2130706433", "0", "127.1", "128.0.0.1", "::ffff:10.0.0.1", "127.0.0.1.nip.io"):
        assert not loopback(name), name
