"""`python -m tests.hostile`: attack the app, say what got through. Exit status 1 when anything did."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.hostile.calls import Call, everything
from tests.hostile.target import MODEL, Target, attacked

MOST_TOKENS = 256  # what visitors get by default
POLICY = "content-security-policy"  # on every answer; 400 may be the server's, to what is no HTTP


@dataclass
class Outcome:
    """made: how many calls of each kind; through: those that were not refused or inert, and why."""

    made: Counter[str] = field(default_factory=Counter)
    through: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = "\n".join(f"{count:6,}  {kind}" for kind, count in self.made.items())
        got = "".join(f"\n  {one}" for one in self.through)
        return f"{kinds}\n{self.made.total():,} hostile calls, {len(self.through):,} got through{got}"


def attack(target: Target, calls: Iterator[Call]) -> Outcome:
    """Make every call; judge each answer, and after each kind what has become of the app and its home."""
    outcome, kind = Outcome(), ""
    before = target.state()
    for call in calls:
        if kind not in ("", call.kind):
            _aftermath(target, outcome, kind, before)
        kind = call.kind
        outcome.made[kind] += 1
        try:
            answer = call.make()
        except httpx.HTTPError as error:
            answer = httpx.Response(400, text=type(error).__name__)
        heard = answer.text + str(answer.headers)
        if told := [
            word for word in target.planted if word in heard and word not in call.what
        ]:  # an echo tells nothing
            outcome.through.append(f"{kind}: {call.what} was told {told}")
        elif "http_version" in answer.extensions and answer.status_code != 400 and POLICY not in answer.headers:
            outcome.through.append(f"{kind}: {call.what} was answered without a policy")
        elif not call.fine(answer):
            outcome.through.append(f"{kind}: {call.what} → {answer.status_code} {answer.text[:200]!r}")
    _aftermath(target, outcome, kind, before)
    return outcome


def _aftermath(target: Target, outcome: Outcome, kind: str, before: dict[str, str]) -> None:
    after, done = target.state(), target.came_of_it()
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    if changed:
        outcome.through.append(f"{kind}: the home changed: {changed}")
        before.clear()
        before.update(after)
    if done["jobs"]:
        outcome.through.append(f"{kind}: {done['jobs']} jobs were queued")
    for variant, tokens, _ in done["asked"]:
        if not (variant == MODEL or variant.startswith((f"{MODEL}:", f"{MODEL}@"))) or tokens > MOST_TOKENS:
            outcome.through.append(f"{kind}: {variant} generated up to {tokens} tokens")
    if httpx.get(f"{target.url}/api/page", timeout=60).status_code != 200:
        outcome.through.append(f"{kind}: the page does not answer any more")


def main() -> int:
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, attacked(Path(folder)) as target:
        outcome = attack(target, everything(target))
    print(outcome)
    return 1 if outcome.through else 0


if __name__ == "__main__":
    sys.exit(main())
