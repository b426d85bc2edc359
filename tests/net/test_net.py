"""The net: what the code of today makes of homes that earlier commits left, held word by word.

`home-1.zip` was made by commit 2b8fad8, `home-2.zip` by 7972e6e (with the two columns of `jobs` that step 0005 keeps
since), both by `make_home.py` beside this file. Each is unpacked and opened; what command line, page and exports show
of its runs, jobs, reviews and variants is compared with the JSON files in `snapshots/`. Whoever means to change one
writes it anew, and reads the difference before committing:

    NET_REWRITE=1 .venv/bin/python -m pytest -n 0 tests/net && git diff tests/net/snapshots

A home is unpacked to a path of one length, because tables of the command line are as wide as the paths in them.
Stored times, versions and machines are in the zips and never move. What is of this machine or of the code's version is
replaced (`_plain`). Commands that compute are held by shape only: keys and types.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import secrets
import shutil
import sqlite3
import struct
import tempfile
import time
import zipfile
from collections.abc import Iterator
from difflib import unified_diff
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from playground import __version__
from playground.cli import app
from playground.store import jobs
from tests.fakes.engine import FakeEngine
from tests.fakes.queue import FakeQueue
from tests.fakes.site import serving
from tests.fakes.visitor import Visitor
from tests.net.make_home import MADE_AT

HERE = Path(__file__).parent
HOMES = ("home-1", "home-2")
VISITOR = {"X-Forwarded-For": "203.0.113.9"}  # through a proxy: a visitor
LONG = re.compile(r"(?<![\w.])\d+\.\d{9,}(?:e-?\d+)?(?![\w.])")
HEAD = re.compile(r"<title>[^<]*</title>|<meta property=\"og:[^>]*>")
HOME_CHARS = 40  # of the path of an unpacked home
MOST_LINES = 60  # of a difference
FORMS = {"json": "--json", "csv": "--csv", "html": "--html", "png": "--png", "md": "--card"}

# What reviews of the page call wrong, by the row of their list, and where the snapshots have it. Whoever mends one
# writes the snapshots anew and takes its line out.
KNOWN_WRONG = (
    ("A1: no difference found is told as none", "exports/evaluation-2", "is not distinguishable from BF16 at n ="),
    ("A2: the speed of unpacked weights in the headline", "exports/evaluation-1", "× decode speed"),
    ("A8: the estimate that was given is not stored", "page/quantization-1", '"estimate": null'),
    ("A9: the fastest, whatever the spread", "page/bench-1", "is the fastest here"),
    ("A10: bandwidth of a busy machine as a fact", "exports/bench-1", "GB/s measured"),
    ("A11: an interval below zero of a score of zero", "exports/evaluation-1", "(−77.4 to +77.4)"),
    ("B5: broken, where chance would do", "exports/evaluation-1", "it is broken, or its answers are not read"),
)


def unpack(name: str, home: Path) -> None:
    """A home of `make_home.pack`, as if it had been made where it lies now."""
    with zipfile.ZipFile(HERE / f"{name}.zip") as packed:
        packed.extractall(home)
    made_at = (home / MADE_AT).read_text()
    for path in home.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".jsonl", ".yaml", ".txt"):
            path.write_bytes(path.read_bytes().replace(made_at.encode(), str(home).encode()))
    with sqlite3.connect(home / "playground.db") as store:
        for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for column in [row[1] for row in store.execute(f"PRAGMA table_info({table})")]:
                change = f'UPDATE {table} SET "{column}" = replace("{column}", ?, ?) WHERE instr("{column}", ?)'  # noqa: S608
                store.execute(change, (made_at, str(home), made_at))
    store.close()


@pytest.fixture(params=HOMES)
def home(request: pytest.FixtureRequest) -> Iterator[Path]:
    base = Path(tempfile.gettempdir()).resolve()
    room = HOME_CHARS - len(f"{base}/net-")
    assert room >= 8, "Set TMPDIR to a folder with a shorter path: tables are as wide as the paths in them."
    folder = base / f"net-{secrets.token_hex(room)[:room]}"
    settings = {"HOME": folder, "OFFLINE": "1", "MODEL": folder / "models/tiny", "PREWARM": "0"}
    try:
        unpack(request.param, folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("PLAYGROUND_DATABASE_URL", raising=False)
            for name, value in settings.items():
                patch.setenv(f"PLAYGROUND_{name}", str(value))
            patch.setenv("TZ", "UTC")
            time.tzset()
            yield folder
    finally:
        time.tzset()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def held(request: pytest.FixtureRequest, home: Path) -> Any:
    """Compare a value with its snapshot, or write that with NET_REWRITE=1."""
    folder = HERE / "snapshots" / request.node.callspec.params["home"]

    def compare(name: str, value: Any) -> None:
        file = folder / f"{name}.json"
        text = json.dumps(_plain(value, home), indent=1, ensure_ascii=False) + "\n"
        if os.environ.get("NET_REWRITE") == "1":
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        assert file.is_file(), f"{file} is missing: NET_REWRITE=1 writes it"
        before, after = file.read_text(encoding="utf-8").splitlines(), text.splitlines()
        changes = list(islice(unified_diff(before, after, str(file), "now", n=2, lineterm=""), MOST_LINES))
        if changes:
            pytest.fail("\n".join(changes), pytrace=False)

    return compare


def _plain(value: Any, home: Path) -> Any:
    """Without what is of this machine and of the code's version, and no figure finer than processors agree on. Half
    characters become question marks.
    """
    if isinstance(value, str):
        plain = value.replace(str(home), "HOME").replace(f"Quantization Playground {__version__}", "VERSION")
        return LONG.sub(lambda found: f"{float(found[0]):.10g}", plain).encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, dict):
        return {_plain(key, home): _plain(one, home) for key, one in value.items()}
    return [_plain(one, home) for one in value] if isinstance(value, list | tuple) else value


def shape(value: Any) -> Any:
    """Keys and types; of a list, the different shapes in it. A figure may be missing: null is one too."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        shapes: list[Any] = []
        for one in map(shape, value):
            shapes += [one] if one not in shapes else []
        return shapes
    figure = value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    return "number or null" if figure else type(value).__name__


def command(*arguments: str) -> str:
    """Standard output of a command that ends well."""
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def listed(*arguments: str) -> list[dict[str, Any]]:
    return list(json.loads(command(*arguments, "--json")))


def named_runs() -> dict[str, str]:
    """ "comparison-1" → id, the oldest first: the names of the snapshots."""
    found: dict[str, str] = {}
    for row in reversed(listed("runs", "list", "--limit", "100")):
        number = sum(name.startswith(row["kind"]) for name in found) + 1
        found[f"{row['kind']}-{number}"] = row["id"]
    return found


class Page(HTMLParser):
    """What a reader of an exported page sees: its text and the tips of its tokens, without styles and scripts. A plot
    is "PLOT": `test_plots.py` holds what is in it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._inside = ""
        self._plot = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        if tag == "svg":
            self._plot = True
            self.seen.append("PLOT")
        self.seen += [f"{name}: {value}" for name, value in attrs if name in ("data-tip", "data-at", "href")]

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""
        if tag == "svg":
            self._plot = False

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script") and not self._plot and data.strip():
            self.seen.append(" ".join(data.split()))


def readable(ending: str, body: bytes) -> Any:
    """An exported file as a snapshot holds it: of a picture its size alone."""
    match ending:
        case "json":
            row = json.loads(body)
            assert row["playground"] == __version__
            return row | {"playground": "VERSION"}
        case "csv":
            return list(csv.reader(io.StringIO(body.decode())))
        case "md":
            return body.decode().splitlines()
        case "html":
            page = Page()
            page.feed(body.decode())
            return page.seen
    assert body.startswith(b"\x89PNG")
    return struct.unpack(">II", body[16:24])


def test_runs_on_the_command_line(home: Path, held: Any) -> None:
    held("runs-list", {"json": listed("runs", "list"), "text": command("runs", "list").splitlines()})
    for name, run_id in named_runs().items():
        text = command("runs", "show", run_id).splitlines()
        held(f"runs/{name}", {"json": json.loads(command("runs", "show", run_id, "--json")), "text": text})


def test_exports_of_runs(home: Path, held: Any, tmp_path: Path) -> None:
    for name, run_id in named_runs().items():
        files = {ending: tmp_path / f"{name}.{ending}" for ending in FORMS}
        command("runs", "export", run_id, *(part for one, path in files.items() for part in (FORMS[one], str(path))))
        held(f"exports/{name}", {ending: readable(ending, path.read_bytes()) for ending, path in files.items()})


def test_jobs_on_the_command_line(home: Path, held: Any) -> None:
    rows = listed("jobs", "list")
    assert {row["state"] for row in rows} == {"done", "failed", "cancelled", "interrupted", "queued"}
    shown = {row["id"]: command("jobs", "show", row["id"]).splitlines() for row in rows}
    held("jobs", {"json": rows, "text": command("jobs", "list").splitlines(), "show": shown})


def test_reviews_on_the_command_line(home: Path, held: Any) -> None:
    rows = listed("review", "list")
    for row in rows:
        row["results"] = json.loads(command("review", "show", row["id"], "--json"))
        row["text"] = command("review", "show", row["id"]).splitlines()
    held("reviews", rows)


def test_variants_and_endpoints_on_the_command_line(home: Path, held: Any) -> None:
    text = command("endpoints", "list").splitlines()
    held("endpoints", {"json": listed("endpoints", "list"), "text": text})
    held("models", [row for row in listed("models", str(home / "models/tiny")) if row["method"] == "rtn"])


def test_the_page(home: Path, held: Any) -> None:
    """Over HTTP: what a link, the list and the documented endpoints give to the owner and to a visitor."""
    queue = FakeQueue({job.id: job for job in jobs.all_jobs()})
    with serving(FakeEngine(), queue=queue) as address, httpx.Client(base_url=address, timeout=60) as client:

        def fetched(where: str, **more: Any) -> dict[str, Any]:
            answer = client.get(where, **more)
            return {"status": answer.status_code, "json": _on_lines(answer.json())}

        runs = named_runs()
        for name, run_id in runs.items():
            old = client.get("/", params={"run": run_id})
            assert old.headers["location"] == f"run/{run_id}", "links of earlier versions lead there"
            link = client.get(f"/run/{run_id}")
            seen: dict[str, Any] = {
                "link": [link.status_code, *HEAD.findall(link.text.replace(address, "http://PAGE/"))]
            }
            seen["data"] = fetched(f"/api/runs/{run_id}")
            seen["visitor"] = fetched(f"/api/runs/{run_id}", headers=VISITOR)
            seen["visitor_files"] = [client.get(f"/run/{run_id}.{one}", headers=VISITOR).status_code for one in FORMS]
            held(f"page/{name}", seen)
            files = {ending: client.get(f"/run/{run_id}.{ending}").content for ending in FORMS}
            held(f"exports/{name}", {ending: readable(ending, body) for ending, body in files.items()})
        asked = {"task": "bundled_cloze", "variant": "1"}
        held("page/items", fetched(f"/api/runs/{runs['evaluation-1']}/items", params=asked))
        held("page/pair", fetched(f"/api/runs/{runs['comparison-1']}/pair/{runs['comparison-2']}"))
        reviews = {}
        for name, *link in _reviewers(home):
            asked = dict(zip(("review", "key"), link, strict=True))
            answer = client.get("/", params=asked, follow_redirects=True)
            reviews[name] = [answer.status_code, fetched("/review/state", params=asked)]
        held("page/reviews", reviews)
        owner = Visitor(address)
        held("page/list", fetched("/api/runs", params={"revoked": "true"})["json"])
        answers = {name: owner.call(name) for name in ("models", "jobs", "runs")}
        answers["models"] = [row for row in answers["models"] if row["method"] == "rtn"]
        held("page/api", answers)


def _on_lines(value: Any) -> Any:
    """With every row of a replay and every specification of a plot as one line of JSON."""
    if isinstance(value, dict):
        if "steps" in value and "rows" in value:
            return value | {"rows": [json.dumps(row, ensure_ascii=False) for row in value["rows"]]}
        if "spec" in value:
            return value | {"spec": json.dumps(value["spec"], ensure_ascii=False)}
        return {key: _on_lines(one) for key, one in value.items()}
    return [_on_lines(one) for one in value] if isinstance(value, list) else value


def _reviewers(home: Path) -> list[tuple[str, str, str]]:
    """Name, review and key of everyone invited. Keys are in links that are shown once, when a review is made."""
    with sqlite3.connect(home / "playground.db") as store:
        rows = store.execute("SELECT label, review_id, key FROM reviewers WHERE invited ORDER BY label").fetchall()
    store.close()
    return rows


@pytest.mark.parametrize(("row", "snapshot", "text"), KNOWN_WRONG)
def test_what_is_known_to_be_wrong_is_marked(row: str, snapshot: str, text: str) -> None:
    for home in HOMES:
        assert text in (HERE / f"snapshots/{home}/{snapshot}.json").read_text(encoding="utf-8"), f"{row}: mended?"


@pytest.mark.parametrize("home", HOMES[-1:], indirect=True)
def test_the_shape_of_commands_that_compute(home: Path, held: Any) -> None:
    """On the stored model and its variant: a new run of each keeps its keys and types."""
    tiny = str(home / "models/tiny")
    both = (tiny, f"{tiny}:rtn-w4a16-g32")
    for name, arguments in {
        "generate": (*both, "--prompt", "Hi", "--max-tokens", "2", "--divergence"),
        "bench": (tiny, "-p", "4", "-n", "2", "-r", "1"),
        "eval": (tiny, "--tasks", "bundled_cloze", "--limit", "1", "--batch-size", "1"),
        "models": (tiny,),
    }.items():
        held(f"live/{name}", shape(json.loads(command(name, *arguments, "--json"))))
