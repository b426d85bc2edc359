"""Nothing that is anonymous, foreign, too large or made up gets through, and the script would say so if it did."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.hostile.__main__ import attack
from tests.hostile.calls import Call, everything, other_websites
from tests.hostile.target import SECRETS, TOKEN, attacked


def test_hostile_calls_are_refused_or_inert(tmp_path: Path) -> None:
    with attacked(tmp_path) as target:
        paths = {path for path, _ in target.routes}
        assert {
            "/gradio_api/queue/join",
            "/gradio_api/upload",
            "/access/login",
            "/api/quantize/files",
            "/stream/{id}",
        } <= paths
        outcome = attack(target, everything(target, thorough=False))
        assert outcome.made.total() > 1200 and len(outcome.made) >= 11, str(outcome)
        assert not outcome.through, str(outcome)
        written = [path for path in (*target.home.rglob("*"), tmp_path / "stderr.log") if path.is_file()]
        told = {path.name: word for path in written for word in SECRETS.values() if word.encode() in path.read_bytes()}
        assert len(written) > 3 and not told, "nothing that a session writes, log or store, holds a secret"
    print(outcome)


def test_the_script_finds_what_gets_through(tmp_path: Path) -> None:
    """Without the gate, other websites are answered; a leak, a job and a change of the home are seen."""
    from tests.fakes.visitor import Visitor

    with attacked(tmp_path, "--no-gate") as target:
        someone = Visitor(target.url)
        foreign = itertools.islice(other_websites(target, someone), 40)
        outcome = attack(target, foreign)
        assert len(outcome.through) > 20 and "another website" in str(outcome)
        owner = Visitor(target.url)

        def steal() -> object:
            owner.log_in(TOKEN)
            assert owner.http.post("/api/compare/endpoints/remove", json={"name": "mine"}).status_code == 200
            return owner.http.get("/api/page")

        *_, found = attack(target, iter([Call("theft", "forget", steal)])).through  # type: ignore[arg-type]
        assert "the home changed: ['endpoints.json']" in found


@pytest.mark.parametrize("secret", SECRETS.values())
def test_planted_secrets_are_words_that_occur_nowhere_else(secret: str) -> None:
    root = Path(__file__).parents[2]
    assert not [path for path in (root / "playground").rglob("*.py") if secret in path.read_text()]
