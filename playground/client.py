"""A running server as the command line asks it: `--server URL`, and the owner's token from PLAYGROUND_TOKEN.

Paths, bodies and refusals are those of docs/api.md. Nothing here loads a model or reads the store of this machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias
from urllib.parse import quote

import httpx
import typer

from playground.console import POLL_S, Watch, err, interrupts
from playground.errors import Cancelled, InvalidRequest, ServerUnreachable, from_wire
from playground.settings import settings

if TYPE_CHECKING:
    from playground.store.runs import Entry
    from playground.store.schema import Job

HEADER = "X-Playground-Token"
TIMEOUT = httpx.Timeout(10.0, read=None)  # an answer takes as long as the longest generation
LOST_S = 60.0  # a server that restarts is back by then
STOP_S = 15.0  # a job that is stopped leaves nothing behind within 10 s
Ask: TypeAlias = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="Ask this running server; PLAYGROUND_SERVER. See docs/api.md."),
]


class Server:
    """One server. Every method raises the PlaygroundError with which it refuses, or ServerUnreachable."""

    def __init__(self, url: str, token: str = "") -> None:
        if not url.startswith(("http://", "https://")):
            raise InvalidRequest(f"{url[:80]!r} is no address of a server.", hint="Write http://127.0.0.1:7860.")
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, headers={HEADER: token} if token else {}, timeout=TIMEOUT)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        return self._ask("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask("POST", path, json=body)

    def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            response = self._http.request(method, path, **arguments)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServerUnreachable(
                f"{self.url} does not answer: {error}.", hint="Start it with `make run`, or correct --server."
            ) from error
        try:
            value = response.json()
        except ValueError:
            value = None
        if response.is_success and value is not None:
            return value
        if isinstance(value, dict) and isinstance(value.get("error"), dict):
            raise from_wire(value)
        raise ServerUnreachable(
            f"{self.url} answered with status {response.status_code} and no JSON.",
            hint="Is it this playground, in this version?",
        )

    # ---- jobs
    def job(self, job_id: str) -> tuple[Job, dict[str, Any]]:
        """Return a job and its card."""
        row = self.get(f"/api/jobs/{quote(job_id, safe='')}")
        return job_of(row), row["card"]

    def cancel(self, job_id: str) -> Job:
        """Stop a job and return it once it is over, or after STOP_S."""
        self.post("/api/jobs/cancel", {"id": job_id})
        end = time.monotonic() + STOP_S
        while not (job := self.job(job_id)[0]).over and time.monotonic() < end:
            time.sleep(POLL_S / 4)
        return job

    def follow(self, row: Mapping[str, Any], printed: Sequence[str] = ()) -> Job:
        """Show the progress of a job until it is over. Ctrl+C cancels it on the server.

        printed  notes that are on the screen already

        Raises Cancelled, the error of a job that failed, and ServerUnreachable after LOST_S without an answer.
        """
        job, seen = job_of(row), time.monotonic()
        with interrupts() as signals, Watch(printed) as watch:
            while not signals:
                try:
                    job, card = self.job(job.id)
                except ServerUnreachable as lost:
                    if time.monotonic() - seen > LOST_S:
                        raise ServerUnreachable(
                            lost.message, hint=f"The job may go on: python -m playground jobs show {job.id}"
                        ) from lost
                    time.sleep(POLL_S)
                    continue
                seen = time.monotonic()
                if job.state == "queued":
                    watch.wait(card["ahead"])
                watch.take(_events(card))
                if job.over:
                    break
                time.sleep(POLL_S)
        if signals and not job.over:
            err.print("Stopping it …")
            self.cancel(job.id)
            raise Cancelled("The job was stopped.")
        if job.state == "cancelled":
            raise Cancelled("The job was stopped.")
        if (error := job.failure) is not None:
            raise error
        return job

    # ---- runs
    def run(self, run_id: str) -> Entry:
        """Return a stored run with its result."""
        return entry_of(self.get(f"/api/runs/{quote(run_id, safe='')}/row"))


def asked(url: str | None, **local: object) -> Server | None:
    """Return the server that a command asks; None: it works on this machine.

    local  options that need this machine, by their names; none of them may be set
    """
    config = settings()
    if not (url := url or config.server):
        return None
    for name, value in local.items():
        if value:
            raise InvalidRequest(
                f"--{name.replace('_', '-')} works on this machine only.", hint="Leave it out, or leave out --server."
            )
    return Server(url, config.token.get_secret_value() if config.token else "")


def named(*names: str) -> list[str]:
    """Return names of models, variants or texts, none of which is a path. Raises InvalidRequest."""
    for name in names:
        if name.startswith(("/", "~", "./", "../")) or Path(name).is_file():
            raise InvalidRequest(
                f"{name[:80]!r} is a path of this machine.", hint="A server takes names, such as smollm2 or owner/name."
            )
    return list(names)


def job_of(row: Mapping[str, Any]) -> Job:
    """Return the job of a row."""
    from playground.store.schema import Job

    names = ("id", "kind", "title", "device", "state", "created_at", "started_at", "ended_at", "spec", "result")
    error = {"error": row["error"]} if row["error"] else None
    return Job(**{name: row[name] for name in names}, error=error)


def entry_of(row: Mapping[str, Any]) -> Entry:
    """Return the run of a row, with or without its result."""
    from playground.store.runs import Entry
    from playground.store.schema import FIELDS, Run

    fields: dict[str, Any] = {name: row.get(name) for name in FIELDS}
    return Entry(Run(**fields), row["title"], row["note"], row["revoked_at"])


def _events(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a card shows as the events of a job."""
    at = card["elapsed_s"] or 0.0
    events: list[dict[str, Any]] = [{"kind": "note", "text": text} for text in card["notes"]]
    if card["stage"]:
        name, done, total, unit = card["stage"]
        events.append({"kind": "stage", "stage": name, "done": done, "total": total, "unit": unit, "at": at})
    for _, layers in card["layers"][-1:]:
        events += [{"kind": "layer", "name": name, "error": error} for name, error in layers[-1:]]
    if card["memory"]:
        events.append({"kind": "memory", "bytes": card["memory"][-1][1]})
    return events
