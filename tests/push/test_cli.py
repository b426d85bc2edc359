"""`python -m playground push`: the card without a token, the upload with one that no list of processes shows."""

from __future__ import annotations

import json
import subprocess
import sys

from playground.store.schema import StoredVariant
from tests.fakes.command_line import playground
from tests.fakes.hub import Hub
from tests.push.conftest import TOKEN


def test_a_dry_run_prints_the_card_and_sends_nothing(hub: Hub, variant: StoredVariant) -> None:
    done = playground("push", variant.id, "me/tiny", "--dry-run")
    assert done.returncode == 0 and done.stdout.startswith("---\nbase_model: HuggingFaceTB/SmolLM2-135M-Instruct\n")
    assert "5 files, 1 MB: README.md, config.json" in done.stderr.replace("\n", " ")
    assert not hub.requests


def test_json_is_alone_on_standard_output(hub: Hub, variant: StoredVariant) -> None:
    words = ["push", variant.id, "me/tiny", "--token-stdin", "--json"]
    command = [sys.executable, "-m", "playground", *words]  # a process: libraries may write to its standard output too
    done = subprocess.run(command, input=f"{TOKEN}\n", capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "repository": "me/tiny",
        "url": f"{hub.url}/me/tiny",
        "commit": hub.repos["me/tiny"].commit,
        "private": True,
        "files": 5,
        "bytes": sum(map(len, hub.repos["me/tiny"].files.values())) - len(hub.repos["me/tiny"].files[".gitattributes"]),
        "sent": 1_000_000,
    }
    assert "uploading" in done.stderr and TOKEN not in done.stdout + done.stderr


def test_the_token_may_come_from_the_environment(hub: Hub, variant: StoredVariant) -> None:
    done = playground("push", variant.id, "me/tiny", "--public", HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert f"{hub.url}/me/tiny (public), commit {hub.repos['me/tiny'].commit[:7]}" in done.stdout


def test_what_is_wrong_is_a_sentence(hub: Hub, variant: StoredVariant) -> None:
    done = playground("push", variant.id, "me/tiny")
    assert done.returncode == 1 and "No token was given." in done.stderr and "Traceback" not in done.stderr
    done = playground("push", "smollm2:nothing", "me/tiny", "--dry-run")
    assert done.returncode == 1 and "smollm2 has no variant" in done.stderr
