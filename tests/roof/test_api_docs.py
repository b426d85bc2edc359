"""docs/api.md says of every endpoint what the page itself says, and its examples call what is there."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio.utils import get_function_description

from playground.app import build
from playground.web.owner import Owner
from tests.fakes import catalog
from tests.fakes.engine import GRAVITY, FakeEngine
from tests.fakes.queue import FakeQueue
from tests.fakes.site import serving, without_loops

PAGE = (Path(__file__).parents[2] / "docs/api.md").read_text()


@pytest.fixture(scope="module")
def endpoints() -> dict[str, Callable[..., Any]]:
    """The public functions of the page, by name."""
    with without_loops():
        demo = build(FakeEngine(), Owner("127.0.0.1"), FakeQueue())
    return {fn.api_name: fn.fn for fn in demo.fns.values() if fn.api_visibility == "public" and fn.api_name}


def parameters(function: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    yield from (p for p in inspect.signature(function).parameters.values() if p.annotation != "gr.Request")


def section(name: str) -> str:
    return PAGE.split(f"\n## /{name}\n", 1)[1].split("\n## ", 1)[0]


def shown(default: Any) -> str:
    if default is inspect.Parameter.empty:
        return ""
    return f"`{json.dumps(default, ensure_ascii=False) if isinstance(default, str) else default}`"


def test_every_endpoint_has_its_section_and_a_line_in_the_overview(endpoints: dict[str, Callable[..., Any]]) -> None:
    assert set(re.findall(r"^## /(\w+)$", PAGE, re.MULTILINE)) == set(endpoints)
    assert set(re.findall(r"^\| \[/(\w+)\]", PAGE, re.MULTILINE)) == set(endpoints)


@pytest.mark.parametrize("name", ["models", "generate", "quantize", "evaluate", "jobs", "runs"])
def test_the_table_has_the_parameters_and_their_defaults(endpoints: dict[str, Callable[..., Any]], name: str) -> None:
    expected = [(f"`{p.name}`", shown(p.default)) for p in parameters(endpoints[name])]
    cells = (re.split(r"(?<!\\)\|", line) for line in section(name).splitlines() if line.startswith("| `"))
    assert [(row[1].strip(), row[3].strip()) for row in cells if len(row) == 6][: len(expected)] == expected


def test_every_parameter_and_every_answer_is_described(endpoints: dict[str, Callable[..., Any]]) -> None:
    for name, function in endpoints.items():
        _, described, returns = get_function_description(function)
        assert all(described[p.name] for p in parameters(function)), name
        assert returns and "None" not in returns[0], name


def test_the_python_examples_call_what_is_there(endpoints: dict[str, Callable[..., Any]]) -> None:
    calls = [
        node
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "client.predict"
    ]
    assert len(calls) == 3
    for call in calls:
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        name = ast.literal_eval(given.pop("api_name")).lstrip("/")
        known = list(parameters(endpoints[name]))
        positional = [p.name for p in known][: len(call.args)]
        assert {*positional, *given} <= {p.name for p in known}
        assert {p.name for p in known if p.default is p.empty} <= {*positional, *given}


def test_the_curl_example_works_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.install(monkeypatch)
    (body,) = re.findall(r"-d '(\{.*?\})'", PAGE)
    asked = body.replace("smollm2", "fake")
    with serving(FakeEngine()) as url:
        page = f"{url}gradio_api/call"
        begun = httpx.post(f"{page}/v2/generate", content=asked, headers={"Content-Type": "application/json"})
        answer = httpx.get(f"{page}/generate/{begun.json()['event_id']}", timeout=60).text
        begun = httpx.post(f"{page}/v2/generate", json={"variants": ["fake"], "prompt": " "})
        refused = httpx.get(f"{page}/generate/{begun.json()['event_id']}", timeout=60).text
    (data,) = re.findall(r"event: error\ndata: (.*)\n", refused)
    assert "prompt is empty" in json.loads(data)["error"]
    (data,) = re.findall(r"event: complete\ndata: (.*)\n", answer)
    (made,) = json.loads(data)
    assert [pane["text"] for pane in made["panes"]] == ["".join(GRAVITY)] * 2
    table = section("generate").split("| field | meaning |")[1]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    fields = set(re.findall(r"`(\w+)`", "".join(rows)))
    assert set(made["panes"][0]) <= fields, "every field of a pane is said"
    assert fields - set(made["panes"][0]) == {"divergence", "error"}
