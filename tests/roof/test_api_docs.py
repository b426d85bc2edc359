"""docs/api.md says of every endpoint what the page itself says, and its examples call what is there."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio.utils import get_function_description

from playground.app import Site, build
from playground.web.owner import Owner
from tests.fakes import catalog
from tests.fakes.engine import GRAVITY, FakeEngine
from tests.fakes.proxy import Proxy
from tests.fakes.queue import FakeQueue
from tests.fakes.site import serving, without_loops

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/api.md").read_text()
TOKEN = "a-token-of-the-owner"


@pytest.fixture(scope="module")
def endpoints() -> dict[str, Callable[..., Any]]:
    """The public functions of the page, by name."""
    return {options["api_name"]: function for function, options in site().app._deferred_apis}


def site() -> Site:
    with without_loops():
        return build(FakeEngine(), Owner("127.0.0.1"), FakeQueue())


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


def test_every_route_is_documented() -> None:
    """Each path of our own is named with its method, and no other is."""
    paths = site().app.openapi()["paths"]
    routes = {f"{verb.upper()} {path}" for path, verbs in paths.items() if path.startswith("/api/") for verb in verbs}
    routes.add("GET /api/page")  # a route of Starlette's, which the schema leaves out
    named = re.findall(r"`(GET|POST) (/api/[\w/{}-]+)", PAGE)
    assert {f"{verb} {re.sub(r'{[^}]*}', '{}', path)}" for verb, path in named} == {
        re.sub(r"{[^}]*}", "{}", route) for route in routes
    }


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


@dataclass(frozen=True)
class Example:
    """One block of code in the file, under its heading."""

    language: str
    heading: str
    code: str


EXAMPLES = [
    Example(language, re.findall(r"^##+ (.*)$", PAGE[: found.start()], re.MULTILINE)[-1], code)
    for found in re.finditer(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
    for language, code in [found.groups()]
]
SAID = {  # what the examples under a heading print, in their order
    "Base URL, roles, token": ['"id":"smollm2:nf4"', '"panes":['],
    "Refusals": ['"message":"The prompt is empty."'],
    "Streams": ["event: end", "pane 1: ' masses'"],
    "The command line": ["comparison"],
    "gradio_client": ["job1 queued"],
    "MCP": ["'generate'"],
    "Routes": ['"state":"queued"'],
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("PLAYGROUND_OWNER_TOKEN", TOKEN)
        patch.setattr("playground.jobs.queue.best_device", lambda: "cpu")
        with serving(FakeEngine(), queue=FakeQueue(), mcp=True) as url:
            yield url.rstrip("/")


def test_every_block_is_an_example_that_runs() -> None:
    headings = [example.heading for example in EXAMPLES]
    assert {example.language for example in EXAMPLES} == {"sh", "python"}
    assert headings == [heading for heading, said in SAID.items() for _ in said]


def run(example: Example, url: str) -> str:
    """What an example prints."""
    shell = ["bash", "-euo", "pipefail"] if example.language == "sh" else [sys.executable]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*shell, "-c", example.code],
        env=os.environ | {"BASE": url, "TOKEN": TOKEN, "PATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(len(EXAMPLES)), ids=[f"{e.heading}-{e.language}" for e in EXAMPLES])
def test_an_example_works_as_written(served: str, number: int) -> None:
    example = EXAMPLES[number]
    said = SAID[example.heading][[e for e in EXAMPLES if e.heading == example.heading].index(example)]
    assert said in run(example, served)


def test_the_stream_in_python_goes_on_where_it_broke_off(served: str) -> None:
    (example,) = (one for one in EXAMPLES if (one.heading, one.language) == ("Streams", "python"))
    proxy = Proxy(int(served.rpartition(":")[2]), [500, 400])
    try:
        lines = run(example, proxy.url).splitlines()
    finally:
        proxy.close()
    said = [line.removeprefix("pane 0: ") for line in lines if line.startswith("pane 0: ")]
    assert proxy.cuts == 2 and said == [repr(token) for token in GRAVITY]


def test_without_gradio_client_a_call_has_two_steps(served: str) -> None:
    answers = []
    for prompt in ("Hi", " "):
        body = {"variants": ["smollm2"], "prompt": prompt}
        begun = httpx.post(f"{served}/gradio_api/call/v2/generate", json=body).json()
        answers.append(httpx.get(f"{served}/gradio_api/call/generate/{begun['event_id']}", timeout=60).text)
    (complete,) = re.findall(r"event: complete\ndata: (.*)\n", answers[0])
    assert json.loads(complete)[0]["panes"][0]["text"] == "".join(GRAVITY)
    (error,) = re.findall(r"event: error\ndata: (.*)\n", answers[1])
    assert "prompt is empty" in json.loads(error)["error"]


def test_every_field_of_a_pane_is_described(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    catalog.install(monkeypatch)
    with serving(FakeEngine()) as url:
        made = httpx.post(f"{url}api/generate", json={"variants": ["fake", "fake:nf4"], "prompt": "Hi"}).json()
    assert [pane["text"] for pane in made["panes"]] == ["".join(GRAVITY)] * 2
    table = section("generate").split("| field | meaning |")[1]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    fields = set(re.findall(r"`(\w+)`", "".join(rows)))
    assert set(made["panes"][0]) <= fields, "every field of a pane is said"
    assert fields - set(made["panes"][0]) == {"divergence", "error"}
