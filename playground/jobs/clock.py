"""How long each stage of a job took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Clock:
    """Seconds of each stage."""

    laps: dict[str, float] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)
    _lap: float = field(default_factory=time.monotonic)

    def lap(self, name: str) -> None:
        """The stage that ends now."""
        now = time.monotonic()
        self.laps[name] = round(now - self._lap, 3)
        self._lap = now

    @property
    def total(self) -> float:
        return round(time.monotonic() - self._began, 3)
