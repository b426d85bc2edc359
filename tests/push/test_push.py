"""The upload against a hub of our own: one commit, typed errors at once, and a token that is nowhere afterwards."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from playground.core import Progress
from playground.errors import (
    Cancelled,
    HubUnreachable,
    InvalidRequest,
    MissingToken,
    NameTaken,
    NoRights,
    PlaygroundError,
    PushError,
    WrongToken,
)
from playground.push import Plan, hub, plan, push
from playground.store import jobs, runs
from playground.store.schema import StoredVariant
from tests.fakes.hub import Hub
from tests.push.conftest import TOKEN

NAME = "me/tiny-awq"
GOES = {"README.md", "config.json", "model.safetensors", "recipe.yaml", "tokenizer.json"}


def ready(variant: StoredVariant, name: str = NAME) -> Plan:
    return plan(variant.id, name)


def held(hub: Hub, name: str = NAME) -> set[str]:
    return set(hub.repos[name].files) - {".gitattributes"}


def test_all_of_it_in_one_commit(hub: Hub, variant: StoredVariant) -> None:
    seen: list[Progress] = []
    pushed = push(ready(variant), TOKEN, report=seen.append)
    repo = hub.repos[NAME]
    assert held(hub) == GOES
    assert repo.files["model.safetensors"] == b"w" * 1_000_000
    assert repo.files["config.json"] == b'{\n  "model_type": "llama"\n}', "without the folder it was read from"
    assert b"secret" not in b"".join(repo.files.values())
    assert (repo.private, pushed.private, pushed.sent, pushed.files) == (True, True, 1_000_000, 5)
    assert (pushed.url, pushed.commit) == (f"{hub.url}/{NAME}", repo.commit)
    assert [path for method, path, _ in hub.requests if "/commit/" in path] == [f"/api/models/{NAME}/commit/main"]
    _, front, _ = repo.files["README.md"].decode().split("---\n", 2)
    assert yaml.safe_load(front)["base_model_relation"] == "quantized"
    stages = list(dict.fromkeys(progress.stage for progress in seen))
    assert stages == ["asking the hub", "creating the repository", "computing checksums", "uploading", "committing"]
    uploading = [progress for progress in seen if progress.stage == "uploading"]
    assert {(progress.total, progress.unit) for progress in uploading} == {(1_000_000, "bytes")}


def test_public_is_asked_for(hub: Hub, variant: StoredVariant) -> None:
    assert not push(ready(variant), TOKEN, private=False).private
    assert not hub.repos[NAME].private


def test_what_the_hub_has_is_not_sent_twice(hub: Hub, variant: StoredVariant) -> None:
    hub.writes.faults["commit"] = 500
    with pytest.raises(HubUnreachable, match="answered 500"):
        push(ready(variant), TOKEN)
    assert held(hub) == set(), "no commit, so nothing of it"
    hub.writes.faults.clear()
    assert push(ready(variant), TOKEN).sent == 0
    assert held(hub) == GOES


@pytest.mark.parametrize(
    ("token", "error", "said"),
    [
        ("", MissingToken, "No token was given"),
        ("two words", WrongToken, "That is not a token"),
        ("hf_ä", WrongToken, "That is not a token"),
        ("a\r\nX-Evil: 1", WrongToken, "That is not a token"),
        ("hf_nobody", WrongToken, "does not know this token"),
        ("hf_other", NoRights, "may not write to me/tiny-awq.* You don't have the rights"),
    ],
)
def test_tokens_that_do_not_open(
    hub: Hub, variant: StoredVariant, token: str, error: type[PlaygroundError], said: str
) -> None:
    with pytest.raises(error, match=said):
        push(ready(variant), token)
    assert NAME not in hub.repos


@pytest.mark.parametrize("step", ["models", "preupload", "commit"])
def test_a_hub_that_fails_is_asked_once(hub: Hub, variant: StoredVariant, step: Any) -> None:
    hub.writes.faults[step] = 503
    with pytest.raises(HubUnreachable, match="The hub answered 503"):
        push(ready(variant), TOKEN)
    assert hub.writes.struck[step] == 1


@pytest.mark.parametrize(("step", "status"), [("create", 401), ("commit", 403)])
def test_a_token_that_is_refused_midway(hub: Hub, variant: StoredVariant, step: Any, status: int) -> None:
    hub.writes.faults[step] = status
    with pytest.raises(WrongToken if status == 401 else NoRights):
        push(ready(variant), TOKEN)
    assert NAME not in hub.repos or held(hub) == set()


def test_a_hub_that_is_not_there_is_said_at_once(
    hub: Hub, variant: StoredVariant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(HubUnreachable, match="cannot be reached"):
        push(ready(variant), TOKEN)
    assert time.monotonic() - began < 20, "five retries would take 23 s, and importing the library takes some"


def test_a_hub_that_says_nothing_is_not_waited_for(hub: Hub, variant: StoredVariant) -> None:
    hub.writes.faults["commit"] = "hang"
    with pytest.raises(HubUnreachable, match=r"stopped answering\. It may have taken the commit"):
        push(ready(variant), TOKEN, quiet_s=0.5)
    hub.writes.released.set()


def test_an_upload_that_is_cut_is_tried_again(hub: Hub, variant: StoredVariant) -> None:
    hub.writes.faults["storage"], hub.writes.times["storage"] = "cut", 1
    assert push(ready(variant), TOKEN).sent == 1_000_000
    assert hub.writes.struck["storage"] == 1 and held(hub) == GOES


@pytest.mark.parametrize("fault", ["cut", 500])
def test_an_upload_that_is_always_cut_is_given_up(hub: Hub, variant: StoredVariant, fault: Any) -> None:
    hub.writes.faults["storage"] = fault
    with pytest.raises(HubUnreachable, match="push again"):
        push(ready(variant), TOKEN)
    assert hub.writes.struck["storage"] == 3 and held(hub) == set()


def test_a_commit_that_is_cut_may_have_arrived(hub: Hub, variant: StoredVariant) -> None:
    hub.writes.faults["commit"] = "cut"
    with pytest.raises(HubUnreachable, match="look at the repository first"):
        push(ready(variant), TOKEN)
    assert hub.writes.struck["commit"] == 1


def test_a_name_that_holds_something_is_kept_until_it_is_given_up(hub: Hub, variant: StoredVariant) -> None:
    before = {".gitattributes": b"", "pytorch_model.bin": b"old", "README.md": b"mine"}
    hub.add(NAME, before, private=True)
    with pytest.raises(NameTaken, match="holds files"):
        push(ready(variant), TOKEN)
    assert hub.repos[NAME].files == before
    push(ready(variant), TOKEN, replace=True)
    assert held(hub) == GOES, "no weights of before are left beside the new ones"


def test_private_weights_never_go_to_a_public_repository(hub: Hub, variant: StoredVariant) -> None:
    hub.add(NAME, {"README.md": b"mine"}, private=False)
    with pytest.raises(NameTaken, match="is public"):
        push(ready(variant), TOKEN, replace=True)
    assert not push(ready(variant), TOKEN, replace=True, private=False).private


def test_stop_ends_it_wherever_it_is(hub: Hub, variant: StoredVariant) -> None:
    hub.writes.faults["storage"] = "hang"
    began = time.monotonic()
    with pytest.raises(Cancelled, match="was stopped"):
        push(ready(variant), TOKEN, stop=lambda: hub.writes.struck["storage"] > 0)
    hub.writes.released.set()
    assert time.monotonic() - began < 30 and held(hub) == set()
    assert not children()


def test_an_app_that_is_killed_takes_the_upload_with_it(hub: Hub, variant: StoredVariant) -> None:
    hub.writes.faults["commit"] = "hang"
    code = f"from playground.push import plan, push\npush(plan({variant.id!r}, {NAME!r}), input())"
    app = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True, env=os.environ.copy())
    assert app.stdin is not None
    app.stdin.write(TOKEN + "\n")
    app.stdin.flush()
    until(lambda: hub.writes.struck["commit"] > 0)
    (child,) = psutil.Process(app.pid).children()
    assert TOKEN not in " ".join(child.cmdline()) + str(child.environ())
    app.send_signal(signal.SIGKILL)
    app.wait()
    app.stdin.close()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    hub.writes.released.set()
    assert held(hub) == set()


@pytest.mark.parametrize("variable", ["PLAYGROUND_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_says_so_and_asks_nothing(
    hub: Hub, variant: StoredVariant, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv(variable, "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", variable == "HF_HUB_OFFLINE")
    with pytest.raises(HubUnreachable, match=f"{variable} is set"):
        push(ready(variant), TOKEN)
    assert not hub.requests


@pytest.mark.parametrize(
    "name",
    [
        *("tiny", "me/../you", "../../etc", "me/a/b", "me/", "/me", "me/<b>", "me/a b", "me/a\nb", "me/a--b"),
        *("https://evil.example/me/x", "me/x.git", "@me/x", "me/x?y", "me%2Fx", f"me/{'a' * 99}"),
    ],
)
def test_names_that_are_no_repository(hub: Hub, variant: StoredVariant, name: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a repository name"):
        plan(variant.id, name)
    with pytest.raises(InvalidRequest, match="is not a repository name"):
        push(replace(ready(variant), repository=name), TOKEN)
    assert not hub.requests


@pytest.mark.parametrize("fault", [None, 403, 500, "hang"])
def test_the_token_is_nowhere_afterwards(
    hub: Hub, variant: StoredVariant, home: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
    fault: Any,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    hub.writes.said = f"Your token {TOKEN} may not do that"
    if fault is not None:
        hub.writes.faults["commit"] = fault
    said = ""
    try:
        push(ready(variant), TOKEN, quiet_s=2.0)
    except PlaygroundError as error:
        said = f"{error} {error.log_tail} {error!r} {error.__cause__} {error.__context__}"
    hub.writes.released.set()
    assert (fault == 403) == ("Your token … may not" in said)
    assert TOKEN not in said + caplog.text + "".join(capfd.readouterr())
    assert TOKEN not in str(hub.requests) and not any(TOKEN in str(value) for value in os.environ.values())
    files = [path for path in home.rglob("*") if path.is_file()]
    assert files and not [path for path in files if TOKEN.encode() in path.read_bytes()]
    assert not jobs.all_jobs() and not runs.latest()


def test_what_nobody_foresaw_is_a_push_error() -> None:
    assert type(hub.typed(ValueError("odd"), NAME)) is PushError
    wrapped = RuntimeError("Error while uploading 'x' to the Hub.")
    wrapped.__cause__ = FileNotFoundError(2, "No such file or directory")
    assert "could not be read: No such file" in str(hub.typed(wrapped, NAME))


def children() -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [one for one in found if "playground.push.upload" in " ".join(one.cmdline())]


def until(condition: Any, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)
