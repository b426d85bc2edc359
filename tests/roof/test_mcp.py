"""`--mcp` over the protocol itself: which tools a client is offered, and what they answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from tests.fakes import catalog
from tests.fakes.engine import GRAVITY, FakeEngine
from tests.fakes.loops import finished
from tests.fakes.queue import FakeQueue
from tests.fakes.site import serving

TOOLS = {"models", "generate", "quantize", "jobs", "evaluate", "runs"}


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def url(home: object, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    catalog.install(monkeypatch)
    with serving(FakeEngine(), queue=queue, mcp=True) as url:
        yield url


def talk(url: str, *calls: tuple[str, dict[str, Any]], headers: dict[str, str] | None = None) -> tuple[Any, list[Any]]:
    """One client's visit: the tools, and the answers to its calls."""

    async def visit() -> tuple[Any, list[Any]]:
        async with (
            httpx.AsyncClient(headers=headers, timeout=60) as http,
            streamable_http_client(f"{url}gradio_api/mcp/", http_client=http) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            return tools, [await session.call_tool(name, arguments) for name, arguments in calls]

    return finished(visit())


def test_the_documented_endpoints_are_the_tools_and_no_event_of_the_page_is(url: str) -> None:
    tools, answers = talk(
        url,
        ("models", {}),
        ("generate", {"variants": ["fake", "fake:nf4"], "prompt": "Hi", "max_tokens": 4}),
        ("generate", {"variants": ["fake"], "prompt": " "}),
        ("runs", {}),
    )
    assert {tool.name for tool in tools} == TOOLS
    for tool in tools:
        assert tool.description and "Returns:" in tool.description
        fields = tool.inputSchema["properties"]
        assert "request" not in fields, "who asks is not a client's to say"
        typed = {
            name for name, field in fields.items() if field.get("type") or field.get("oneOf") or field.get("anyOf")
        }
        bare = {name for name, field in fields.items() if name not in typed or not field.get("description")}
        assert not bare, tool.name
    (generate,) = (tool for tool in tools if tool.name == "generate")
    assert set(generate.inputSchema["required"]) == {"variants", "prompt"}
    models, made, refused, runs = (
        [json.loads(part.text) for part in a.content] if not a.isError else a for a in answers
    )
    assert [row["id"] for row in models[0]] == ["fake", "fake:nf4", "fake:int8", "fake:fp4"]
    assert [pane["text"] for pane in made[0]["panes"]] == ["".join(GRAVITY[:4])] * 2
    assert refused.isError and "The prompt is empty." in refused.content[0].text
    assert [run["id"] for run in runs[0]] == [made[0]["run"]], "what was generated is a run"


def test_a_tool_is_no_way_around_the_owner(url: str, queue: FakeQueue) -> None:
    """The page calls itself for a tool: whoever asked from elsewhere must not look like this machine."""
    wanted = ("quantize", {"model": "fake", "method": "rtn"})
    for headers in ({"X-Forwarded-For": "203.0.113.9"}, {"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        said = ""
        try:
            _, (answer,) = talk(url, wanted, headers=headers)
            said = answer.content[0].text if answer.isError else "done"
        except* httpx.HTTPStatusError as refused:  # before the protocol began
            said = f"available to the owner only: {refused}"
        assert "available to the owner only" in said, headers
    assert not queue.jobs


def test_without_the_option_there_are_no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.install(monkeypatch)
    with serving(FakeEngine()) as url:
        assert httpx.get(f"{url}gradio_api/mcp/schema").status_code == 404
