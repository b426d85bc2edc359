"""How far a measurement is and how long it will take, from the steps that are done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from playground.speed.spec import LOAD, Plan, Stage


@dataclass(slots=True)
class Pace:
    """Feed it every stage with the time it came, in seconds of one clock."""

    addresses: Sequence[str]
    plan: Plan
    _position: int = 0
    _stage: Stage | None = None
    _since: float = 0.0
    _took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def _steps(self) -> list[tuple[str, str]]:
        tests = [(LOAD, 1), *((test.name, test.steps) for test in self.plan.tests())]
        return [(address, name) for address in self.addresses for name, count in tests for _ in range(count)]

    @property
    def total(self) -> int:
        return len(self._steps())

    @property
    def done(self) -> int:
        """Steps behind this one; those of an address that failed are behind as soon as the next one begins."""
        return self._position

    def see(self, stage: Stage, now: float) -> None:
        last = self._stage
        if last and (last.address, last.test, last.run) == (stage.address, stage.test, stage.run):
            return
        if last and last.test:
            steps = max(1, stage.run - last.run) if (stage.address, stage.test) == (last.address, last.test) else 1
            self._took[last.test] += [(now - self._since) / steps] * steps
        self._stage, self._since = stage, now
        self._position = self._steps().index((stage.address, stage.test), 0) + stage.run

    def left_s(self, now: float) -> float | None:
        """Seconds until the end, as far as one can tell; None before the first generation is done.

        A test that has not run yet is taken for as long as the mean of those that have.
        """
        runs = [seconds for name, all_of in self._took.items() if name != LOAD for seconds in all_of]
        if not runs:
            return None
        means = {name: fmean(all_of) for name, all_of in self._took.items()}
        otherwise = {LOAD: means.get(LOAD, 0.0)}
        ahead = [means.get(name, otherwise.get(name, fmean(runs))) for _, name in self._steps()[self._position :]]
        return max(0.0, sum(ahead) - min(now - self._since, ahead[0] if ahead else 0.0))
