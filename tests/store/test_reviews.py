"""Votes: on the disk before anybody is told so."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from sqlalchemy import text

from playground.errors import VoteRefused
from playground.review import voting
from playground.store import database, reviews
from tests.fakes.review import invited, review

ROOT = Path(__file__).parents[2]
SERVER = """
import uvicorn, socket
from starlette.applications import Starlette
from playground.review import routes
app = Starlette(); routes.serve(app)
listener = socket.create_server(("127.0.0.1", 0)); print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listener])
"""


def test_a_vote_that_was_answered_survives_kill_9(home: Path) -> None:
    found = review(3)
    key = invited(found)[0].key
    server = subprocess.Popen([sys.executable, "-c", SERVER], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        base = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        for at, choice in ((0, "a"), (1, "bad")):
            body = json.dumps({"review": found.id, "key": key, "at": at, "choice": choice, "comment": f"no {at}"})
            headers = {"Content-Type": "application/json", "Origin": base}
            request = urllib.request.Request(f"{base}/review/vote", body.encode(), headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert json.load(answer)["done"] == at + 1
    finally:
        server.send_signal(signal.SIGKILL)
        server.communicate(timeout=60)
    assert server.returncode == -signal.SIGKILL
    assert [(vote.choice, vote.comment) for vote in reviews.votes(found.id)] == [("a", "no 0"), ("bad", "no 1")]
    with pytest.raises(VoteRefused):
        voting.vote(found.id, key, "", 1, "a", "")
    if database.engine().dialect.name == "sqlite":
        with database.writing() as session:
            assert session.execute(text("PRAGMA synchronous")).scalar() == 2, "FULL"


def test_reviews_are_listed_newest_first_with_their_votes(home: Path) -> None:
    first, second = review(2), review(3)
    voting.vote(second.id, invited(second)[0].key, "", 0, "tie", "")
    assert [(row.id, items, votes) for row, items, votes in reviews.latest()] == [(second.id, 3, 1), (first.id, 2, 0)]
    assert reviews.remove(second.id)
    assert [row.id for row, _, _ in reviews.latest()] == [first.id] and reviews.votes(second.id) == []
