"""Measurements of the Speed page: each runs in its own thread and writes rows, which the page follows as a stream."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Sequence
from contextvars import copy_context
from typing import Any

from starlette.requests import Request

from playground import machine
from playground.core import Progress
from playground.engines.base import Engine
from playground.errors import Cancelled, EngineError, PlaygroundError, TooMany, UnknownSession
from playground.models.address import Address
from playground.speed import report
from playground.speed.bench import Pace, Requests, bench
from playground.speed.report import Labels, engine_title
from playground.speed.spec import LOAD, BenchRow, Plan, Stage
from playground.store.runs import keep
from playground.web.api import error_row
from playground.web.owner import Owner
from playground.web.stream import Readers, Rows

log = logging.getLogger(__name__)
KEPT_S = 600.0  # after its end, for a page that comes back
WATCH_S = 0.25
MAX_RUNNING = 8
WAITING = Progress("Waiting: another measurement is running on this device")


# Measurements.


class Measurement:
    """One measurement, started by the constructor. It holds the lock `device`, so only one runs at a time.

    Its rows are ["stage", progress], ["row", result], ["shown", headline and plots], and at last ["end", state].
    """

    def __init__(
        self, engine: Engine, addresses: Sequence[str], plan: Plan, labels: Labels, device: threading.Lock
    ) -> None:
        self.id = secrets.token_hex(16)
        self.rows, self.readers = Rows(), Readers()
        self._engine, self._addresses, self._plan, self._labels = engine, addresses, plan, labels
        self._device = device
        self._requests = Requests(engine)
        self._pace = Pace(addresses, plan)
        self._results: list[BenchRow] = []
        self.ended_at: float | None = None
        self.readers.renew()
        for work in (self._run, self._watch):
            threading.Thread(target=copy_context().run, args=(work,), name="measurement", daemon=True).start()

    @property
    def working(self) -> bool:
        return self.ended_at is None

    def stop(self) -> None:
        """Stop the measurement and its requests; rows so far are kept."""
        self._requests.stop()

    def _watch(self) -> None:
        """Stop it once its page is gone: what is measured for nobody takes the device from others."""
        while self.working:
            if self.readers.abandoned:
                self.stop()
            time.sleep(WATCH_S)

    def _set_stage(self, stage: Stage) -> None:
        now = time.monotonic()
        if stage.test:
            self._pace.see(stage, now)
        engine = Address.parse(stage.address).engine
        progress = stage.progress
        self.rows.append(
            [
                "stage",
                {
                    "name": self._labels.variant(stage.address) if stage.address else "",
                    "title": engine_title(engine) if engine else "",
                    "words": progress.stage,
                    "load": [progress.done, progress.total, progress.unit] if stage.test == LOAD else None,
                    "done": self._pace.done,
                    "total": self._pace.total,
                    "left_s": self._pace.left_s(now),
                },
            ],
            "stage",
            restart=True,
        )

    def _add(self, row: BenchRow) -> None:
        self._results.append(row)
        self.rows.append(["row", report.page_row(row, self._labels)])
        self.rows.append(["shown", report.shown(self._results, self._labels)], "shown", restart=True)

    def _end(self, state: str, error: PlaygroundError | None = None) -> None:
        """Store the run, then write the final row, which has the run's id."""
        kept = keep(lambda: report.bench(self._results, self._addresses, self._plan, stopped=state == "stopped"))
        shown_error = error or kept.error  # results are shown even if they could not be stored
        end: dict[str, Any] = {
            "state": state,
            "error": error_row(shown_error) if shown_error else None,
            "run": kept.id,
            "files": report.files(self._results) if self._results else None,
        }
        self.rows.append(["end", end])
        self.ended_at = time.monotonic()

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
                self._add(row)
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


class Measurements:
    """The measurements of this process by their ids, which only the owner gets. One that ended is kept for a while."""

    def __init__(self) -> None:
        self._all: dict[str, Measurement] = {}
        self._lock = threading.Lock()
        self._device = threading.Lock()

    def begin(self, engine: Engine, addresses: Sequence[str], plan: Plan, labels: Labels) -> Measurement:
        """Start a measurement. Raises TooMany while too many run or wait."""
        with self._lock:
            now = time.monotonic()
            self._all = {
                name: one for name, one in self._all.items() if one.ended_at is None or now - one.ended_at < KEPT_S
            }
            if sum(one.working for one in self._all.values()) >= MAX_RUNNING:
                raise TooMany(f"{MAX_RUNNING} measurements run or wait.", hint="Stop one, or wait until it is done.")
            measurement = Measurement(engine, addresses, plan, labels, self._device)
            self._all[measurement.id] = measurement
            return measurement

    def get(self, name: str) -> Measurement:
        """Return a measurement. Raises UnknownSession."""
        with self._lock:
            measurement = self._all.get(name)
        if measurement is None:
            raise UnknownSession("This measurement is no longer here.", hint="Its results are in Runs.")
        return measurement

    def of(self, name: str, request: Request, owner: Owner) -> Measurement:
        """Return a measurement for its stream. Raises UnknownSession, OwnerOnly."""
        measurement = self.get(name)
        owner.check(request)
        return measurement

    def close_all(self) -> None:
        for measurement in list(self._all.values()):
            measurement.stop()
