"""Make a home folder with one stored thing of every kind, as a zip: `PYTHONPATH=. python tests/net/make_home.py FILE`.

It runs the code of the folder it is started in, through its command line, so that another commit's home is made by
starting it in that commit's checkout. home-1.zip was made by 2b8fad8, home-2.zip by 7972e6e. They are not made again:
what the code of today makes of them is held by test_net.py. It takes about four minutes on one core.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

MADE_AT = "made_at"  # the file of the zip that says which folder the paths in the home begin with
PROMPT = "What is gravity?"


def playground(*arguments: str, fails: bool = False) -> str:
    """Standard output of a command."""
    done = subprocess.run(command(*arguments), stdout=subprocess.PIPE, text=True)
    if bool(done.returncode) != fails:
        sys.exit(f"{' '.join(arguments)} ended with {done.returncode}")
    return done.stdout


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "playground", *arguments]


def rows(*arguments: str) -> list[dict[str, Any]]:
    return list(json.loads(playground(*arguments, "--json")))


def newest(kind: str) -> str:
    """The id of the newest run of a kind."""
    return str(rows("runs", "list", "--kind", kind)[0]["id"])


def fill(home: Path) -> None:
    from tests.fakes.evaluation_run import evaluation
    from tests.fakes.model import make_tiny

    tiny = str(sure(make_tiny(home / "models/tiny")))
    rtn = f"{tiny}:rtn-w4a16-g32"
    playground("quantize", tiny, "--method", "rtn", "--scheme", "W4A16", "--group-size", "32")
    asked = ("generate", tiny, rtn, "--prompt")
    compared = []
    for more in (
        (PROMPT, "--max-tokens", "12", "--divergence"),
        ("The river", "--raw", "--max-tokens", "12"),
        ("Name a river.", "--system", "Be brief.", "--max-tokens", "24"),
        ("Grüße 你好", "--max-tokens", "20", "--temperature", "0.7", "--top-k", "5", "--seed", "3", "--stop", "the"),
    ):
        playground(*asked, *more)
        compared.append(newest("comparison"))
    playground("generate", tiny, f"{tiny}:nope", "--prompt", PROMPT, "--max-tokens", "4", fails=True)
    playground("bench", tiny, rtn, "-p", "16", "-n", "8", "-d", "0,8", "-r", "2")
    playground("bench", tiny, "-p", "8", "-n", "4", "-r", "2", "--concurrency", "1,2")
    tasks = "bundled_cloze,bundled_facts,bundled_reading"
    playground("eval", tiny, rtn, "--tasks", tasks, "--limit", "20", "--kld", "--tokens", "256", "--speed")
    playground("kld", tiny, rtn, "--tokens", "256")
    playground("eval", tiny, "--tasks", "gsm8k", "--limit", "2", fails=True)  # offline: its items are not here
    interrupt(("quantize", tiny, "--method", "rtn", "--scheme", "W8A16", "--name", "interrupted"))

    playground("runs", "rename", compared[0], "Gravity, for Anna")
    playground("runs", "note", compared[0], "Both answers are noise: the weights are random.")
    playground("runs", "revoke", newest("divergence"))
    playground("endpoints", "add", "house", "http://127.0.0.1:9/v1", "--key-env", "HOUSE_KEY", "--model", "tiny")

    invited = ("--runs", ",".join(compared), "--reviewers", "Anna,Ben")
    vote(json.loads(playground("review", "make", *invited, "--json")))
    prompts = home / "prompts.txt"
    prompts.write_text("Name a river.\n")
    playground("review", "make", tiny, rtn, "--prompts", str(prompts), "--places", "2", "--max-tokens", "6")

    from playground.jobs.queue import again

    done = next(row["id"] for row in rows("jobs", "list") if row["kind"] == "divergence")
    playground("jobs", "cancel", again(done).id)
    again(done)  # stays queued
    evaluation(files=False)  # of five variants with drawn answers: no verdict on a random model is more than "none"


def sure(model: Path) -> Path:
    """With logits 20 times as large: random ones are nearly all alike, and rounding would move nothing."""
    from safetensors.torch import load_file, save_file

    file = model / "model.safetensors"
    tensors = load_file(file)
    tensors["lm_head.weight"] *= 20
    save_file(tensors, file, metadata={"format": "pt"})
    return model


def interrupt(arguments: tuple[str, ...]) -> None:
    """Run a command whose job's worker is ended from outside."""
    process = subprocess.Popen(command(*arguments))
    workers: list[tuple[int]] = []
    while not workers and process.poll() is None:
        time.sleep(0.05)
        with sqlite3.connect(database()) as store:
            workers = store.execute("SELECT pid FROM jobs WHERE state = 'running' AND pid IS NOT NULL").fetchall()
    os.kill(workers[0][0], signal.SIGTERM)
    process.wait()


def database() -> Path:
    return Path(os.environ["PLAYGROUND_HOME"]) / "playground.db"


def vote(made: dict[str, Any]) -> None:
    """Anna votes for all, Ben for one; both with a word."""
    from urllib.parse import parse_qs, urlsplit

    from playground.review import voting

    for link, most in zip(made["links"], (100, 1), strict=True):
        key = parse_qs(urlsplit(link["link"]).query)["key"][0]
        for at in range(min(most, voting.state(made["review"], key)["total"])):
            voting.vote(made["review"], key, "", at, ("a", "tie", "b")[at % 3], "Neither says anything.")


def pack(home: Path, file: Path) -> None:
    """Without caches, locks and the app's logs; in the logs of jobs, without the folders of code and Python."""
    code, python = str(Path.cwd()), sys.base_prefix
    with sqlite3.connect(database()) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        packed.writestr(MADE_AT, str(home))
        for path in sorted(home.rglob("*")):
            inside = path.relative_to(home)
            left_out = inside.parts[0] in ("cache", "logs", "running") or path.suffix in (".lock", ".db-shm")
            if path.is_file() and not left_out and path.stat().st_size:
                body = path.read_bytes()
                if path.name == "log.txt":
                    body = body.replace(code.encode(), b"CODE").replace(python.encode(), b"PYTHON")
                packed.writestr(str(inside), body)


def main(file: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="net-") as folder:
        home = Path(folder) / "home"
        os.environ |= {"PLAYGROUND_HOME": str(home), "PLAYGROUND_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        fill(home)
        pack(home, file)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
