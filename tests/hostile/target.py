"""The attacked process, what is planted around it, and what must be the same afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playground.evaluate.items import TaskFacts
from playground.models import endpoints
from playground.models.endpoints import Endpoint
from tests.fakes.evaluation_run import FakeVariant, evaluation

ROOT = Path(__file__).parents[2]
EVIL = "<img src=x onerror=alert(1)>"
TOKEN = "hostile-owner-token-4bd1c2"
SECRETS = {
    "PLAYGROUND_OWNER_TOKEN": TOKEN,
    "HF_TOKEN": "hf_planted_for_hostile_5e1f",
    "OPENAI_API_KEY": "sk-planted-for-hostile-77aa",
}
KEY = "sk-planted-endpoint-key-9c3d"
CANARY = "canary-of-a-file-outside-0f2a"
MODEL = "smollm2"


@dataclass
class Target:
    """home     its home folder; `canary` is a file beside it that no answer may hold
    routes   path and methods of every route that it has
    evil_run the id of a stored run whose every text is a tag
    """

    url: str
    home: Path
    canary: Path
    routes: list[tuple[str, list[str]]]
    evil_run: str
    process: subprocess.Popen[str]

    def came_of_it(self) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def state(self) -> dict[str, str]:
        """Every stored row and every file of the home, by hash: what nobody but the owner may change."""
        found = {}
        for path in sorted(self.home.rglob("*")):
            inside = path.relative_to(self.home).as_posix()
            if path.is_file() and not inside.startswith(("playground.db", "logs/", "cache/")):
                found[inside] = hashlib.sha256(path.read_bytes()).hexdigest()
        with sqlite3.connect(f"file:{self.home / 'playground.db'}?mode=ro", uri=True) as store:
            tables = [name for (name,) in store.execute("select name from sqlite_master where type = 'table'")]
            for table in tables:
                asked = " where kind != 'comparison'" if table == "runs" else ""  # visitors may make those
                rows = store.execute(f'select * from "{table}"{asked}').fetchall()  # noqa: S608 - its own table
                found[f"table {table}"] = hashlib.sha256(repr(sorted(map(repr, rows))).encode()).hexdigest()
        store.close()
        return found

    @property
    def planted(self) -> list[str]:
        """What no answer may hold."""
        return [*SECRETS.values(), KEY, CANARY, str(self.home)]


@contextmanager
def attacked(folder: Path, *options: str) -> Iterator[Target]:
    """The app in a process of its own, with secrets in its environment and tags in its store."""
    home, canary = folder / "home", folder / "canary.txt"
    home.mkdir()
    canary.write_text(CANARY)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLAYGROUND_")}
    environment |= SECRETS | {
        "PLAYGROUND_HOME": str(home),
        "PLAYGROUND_OFFLINE": "1",
        "PLAYGROUND_PREWARM": "0",
        "PLAYGROUND_PUBLIC_RATE": "100000/minute",  # the rules themselves are attacked, not how often one may ask
        "PLAYGROUND_PUBLIC_GENERATIONS": "1000",
        "HF_HUB_OFFLINE": "1",
    }
    evil_run = _plant(home)
    with (folder / "stderr.log").open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.server", *options],
            cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
        )  # fmt: skip
    try:
        assert process.stdout
        first = process.stdout.readline()
        assert first, (folder / "stderr.log").read_text()[-3000:]
        said = json.loads(first)
        yield Target(f"http://127.0.0.1:{said['port']}", home, canary, said["routes"], evil_run, process)
    finally:
        assert process.stdin
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _plant(home: Path) -> str:
    """A run with a tag in every text, an endpoint with a key, a file in the home. The id of the run."""
    before = os.environ.get("PLAYGROUND_HOME")
    os.environ["PLAYGROUND_HOME"] = str(home)
    try:
        endpoints.add(Endpoint("mine", "http://127.0.0.1:9", KEY))
        evil = [FakeVariant(f"{MODEL}:{EVIL}{n}", EVIL, EVIL, EVIL, 10**8, 6.0, 3.0, 0.04) for n in range(2)]
        task = TaskFacts(EVIL, EVIL, EVIL, None, True, 0, 9, 9, False, False, False)
        run = evaluation(evil, [task], model=EVIL, title=EVIL, settings={"tasks": [EVIL], "note": EVIL})
    finally:
        os.environ.pop("PLAYGROUND_HOME")
        if before is not None:
            os.environ["PLAYGROUND_HOME"] = before
    (home / "private.txt").write_text(CANARY)
    return run.id
