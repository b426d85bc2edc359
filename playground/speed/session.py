"""Measurements of browser tabs: each runs in its own thread, and the page streams its state."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from typing import Any

from playground import machine
from playground.core import Progress, Variant
from playground.engines.base import Engine
from playground.errors import Cancelled, EngineError, PlaygroundError
from playground.models.address import Address
from playground.speed.bench import Pace, Requests, bench
from playground.speed.report import Labels, engine_title, files, headline, page_row
from playground.speed.report import bench as recorded
from playground.speed.spec import LOAD, BenchRow, Plan, Stage
from playground.store.runs import Kept, keep
from playground.web.values import inert

log = logging.getLogger(__name__)
UPDATES_PER_SECOND = 5
HEARTBEAT_S = 0.5
WAITING = Progress("Waiting: another measurement is running on this device")


# Measurements.


class Measurement:
    """One measurement, started by the constructor. It holds the lock `device`, so only one runs at a time."""

    def __init__(
        self, engine: Engine, addresses: Sequence[str], plan: Plan, labels: Labels, device: threading.Lock
    ) -> None:
        self._engine, self._addresses, self._plan, self._labels = engine, addresses, plan, labels
        self._device = device
        self._requests = Requests(engine)
        self._pace = Pace(addresses, plan)
        self._condition = threading.Condition()
        self._rows: list[BenchRow] = []
        self._stage = Stage("", "", 0, 0, Progress("Starting"))
        self._state = "running"
        self._error: PlaygroundError | None = None
        self._changed = True
        self._watched = False
        self._kept = Kept()
        threading.Thread(target=copy_context().run, args=(self._run,), name="measurement", daemon=True).start()

    @property
    def running(self) -> bool:
        return self._state == "running"

    def stop(self) -> None:
        """Stop the measurement and its requests; rows so far are kept."""
        self._requests.stop()

    def value(self) -> str:
        """Return the page's state as JSON."""
        with self._condition:
            error = self._error or self._kept.error  # rows are shown even if they could not be stored
            state: dict[str, Any] = {
                "state": self._state,
                "rows": [page_row(row, self._labels) for row in self._rows],
                "error": [error.message, error.hint] if error else None,
                "headline": headline(self._rows, self._labels),
                "chosen": len(self._addresses),
            }
            if self._state == "running":
                state["stage"] = self._progress()
            else:
                state["files"] = files(self._rows)
                state["run"] = self._kept.id
            return inert(state)

    def _progress(self) -> dict[str, Any]:
        stage, now = self._stage, time.monotonic()
        engine = Address.parse(stage.address).engine
        return {
            "name": self._labels.variant(stage.address) if stage.address else "",
            "title": engine_title(engine) if engine else "",
            "words": stage.progress.stage,
            "load": [stage.progress.done, stage.progress.total, stage.progress.unit] if stage.test == LOAD else None,
            "done": self._pace.done,
            "total": self._pace.total,
            "left_s": self._pace.left_s(now),
        }

    @property
    def run_id(self) -> str:
        """Id of the stored run; "" before the end, and if it could not be stored."""
        return self._kept.id

    def claim(self) -> bool:
        """Return True for the first caller only, whose stream ends the measurement when it is closed."""
        with self._condition:
            was_watched, self._watched = self._watched, True
        return not was_watched

    def changes(self) -> Iterator[str]:
        """Yield `value()` when it changes, and twice a second, until the end. Closing the generator stops it."""
        try:
            while self.running:
                with self._condition:
                    self._condition.wait_for(lambda: self._changed or not self.running, HEARTBEAT_S)
                    self._changed = False
                if self.running:
                    yield self.value()
                    time.sleep(1 / UPDATES_PER_SECOND)
            yield self.value()
        finally:
            self.stop()

    def _update(self, change: Callable[[], None]) -> None:
        with self._condition:
            change()
            self._changed = True
            self._condition.notify_all()

    def _set_stage(self, stage: Stage) -> None:
        def change() -> None:
            if stage.test:
                self._pace.see(stage, time.monotonic())
            self._stage = stage

        self._update(change)

    def _end(self, state: str, error: PlaygroundError | None = None) -> None:
        """Store the run, then set the final state, which includes the run's id."""
        kept = keep(lambda: recorded(self._rows, self._addresses, self._plan, stopped=state == "stopped"))

        def change() -> None:
            self._state, self._error, self._kept = state, error, kept

        self._update(change)

    def _run(self) -> None:
        locked = False
        try:
            while not (locked := self._device.acquire(timeout=0.2)):
                if self._requests.stopped:
                    raise Cancelled("Stopped while it waited.")
                self._set_stage(Stage("", "", 0, 0, WAITING))
            self._set_stage(Stage("", "", 0, 0, Progress("Measuring the bandwidth of this memory")))
            probe = _probe()
            for row in bench(self._engine, self._addresses, self._plan, probe, self._set_stage, self._requests):
                self._update(lambda row=row: self._rows.append(row))  # type: ignore[misc]
            self._end("done")
        except Cancelled:
            self._end("stopped")
        except PlaygroundError as error:
            self._end("failed", error)
        except Exception:
            log.exception("the measurement failed")
            self._end("failed", EngineError("The measurement ended unexpectedly.", hint="Details are in the log."))
        finally:
            if locked:
                self._device.release()


def _probe() -> machine.Probe | None:
    """Return the device's bandwidth; None if it cannot be measured, as without torch."""
    try:
        return machine.probe()
    except PlaygroundError as error:
        log.warning("the bandwidth could not be measured: %s", error)
        return None


class SpeedTabs:
    """The last measurement and the offered variants of each browser tab, by session hash."""

    def __init__(self) -> None:
        self._measurements: dict[str, Measurement] = {}
        self._offered: dict[str, Labels] = {}
        self._lock = threading.Lock()
        self._device = threading.Lock()

    def offer(self, key: str, choices: Sequence[Variant]) -> None:
        with self._lock:
            offered = self._offered.get(key, Labels()).variants
            self._offered[key] = Labels({**offered, **{variant.id: variant for variant in choices}})

    def begin(self, key: str, engine: Engine, addresses: Sequence[str], plan: Plan) -> Measurement | None:
        """Start a measurement for this tab; return None if one is running."""
        with self._lock:
            current = self._measurements.get(key)
            if current and current.running:
                return None
            labels = self._offered.get(key, Labels())
            self._measurements[key] = Measurement(engine, addresses, plan, labels, self._device)
            return self._measurements[key]

    def current(self, key: str) -> Measurement | None:
        return self._measurements.get(key)

    def close(self, key: str) -> None:
        with self._lock:
            measurement = self._measurements.pop(key, None)
            self._offered.pop(key, None)
        if measurement:
            measurement.stop()

    def close_all(self) -> None:
        for key in {*self._measurements, *self._offered}:
            self.close(key)
