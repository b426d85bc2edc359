"""How the threads of torch wait for each other in a job.

Hundreds of times in a layer they meet, and libgomp lets who is first spin for 300,000 rounds: 17 ms where a round is
the `pause` of a new Intel core. Beside anything else that keeps a core busy the one waited for is not running, and all
of them spin for nothing. Asleep at once (`OMP_WAIT_POLICY=PASSIVE`) is safe and slow: each meeting is a sleep and a
waking. So a job spins for a twentieth of a millisecond, which outlasts most meetings: as fast as spinning on a quiet
machine, and no slower than sleeping on a busy one (docs/measurements.md).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_OWN = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # what a user may have said
_BRIEFLY = {"GOMP_SPINCOUNT": "1000"}
_said: dict[str, str] = {}  # by `wait_briefly`, in this process


def briefly(environment: Mapping[str, str]) -> dict[str, str]:
    """What to add to the environment of a process that works like a job, unless the user has said how to wait."""
    return {} if any(name in environment for name in _OWN) else dict(_BRIEFLY)


def wait_briefly() -> None:
    """In this process. It is read when torch is loaded, so it has to come before that."""
    added = briefly(os.environ)
    _said.update(added)
    os.environ.update(added)


def as_user_said(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what `wait_briefly` added: an engine that a job starts is to be as fast as one that the page starts."""
    return {name: value for name, value in environment.items() if name not in _said}
