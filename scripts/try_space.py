"""Run the page as a free CPU Space would, without a Space: `make try-space` (as root on Linux).

What git tracks lies read-only in /home/user/app, HOME is empty, the environment is a Space's, and `python app.py` runs
as user 1000 in mounts of its own, where nothing but HOME and /tmp is written. Then the page is asked for itself, for
/health and for a comparison on the bundled model, ended with SIGTERM, and started once more with another empty HOME, as
after a restart. Prints what it saw as JSON; exit status 1 where something is not as it should be.

Not as there: the packages are those of this environment, without the platform's own `spaces` (gradio's hot reload says
so and ends), the model is restored from its package instead of downloaded, and processor, memory and network are this
machine's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
from gradio_client import Client

ROOT = Path(__file__).parents[1]
USER = 1000
WITHOUT_SPACES = re.compile(
    r"^Exception in thread [^\n]*\nTraceback (?:(?!Exception in thread).)*?"
    r"^RuntimeError: `spaces` package is required to run hot-reloading in Spaces$",
    re.DOTALL | re.MULTILINE,
)
START_S = 180  # a Space may take half an hour; a page that needs more than this has a fault
SPACE = {
    "SYSTEM": "spaces",
    "SPACE_ID": "someone/quantization-playground",
    "SPACE_AUTHOR_NAME": "someone",
    "SPACE_REPO_NAME": "quantization-playground",
    "SPACE_TITLE": "Quantization Playground",
    "SPACE_HOST": "someone-quantization-playground.hf.space",
    "SPACE_CREATOR_USER_ID": "0123456789abcdef01234567",
    "CPU_CORES": "2",
    "MEMORY": "16Gi",
    "ACCELERATOR": "none",
    "GRADIO_SERVER_NAME": "0.0.0.0",  # noqa: S104
    "GRADIO_NUM_PORTS": "1",
    "GRADIO_ALLOW_FLAGGING": "never",
    "PYTHONUNBUFFERED": "1",
    "HOME": "/home/user",
    "PYTHONPATH": "/home/user/app",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
}
# $1 app, $2 home, $3 tmp, $4 Python's own folder, $5 the environment's, $6 the first folder above Python's that others
# may not enter, or nothing. What is about to be mounted over is held aside and put back where it was.
MOUNTS = """
set -eu
mkdir -p "$3/held/python" "$3/held/environment"
mount --bind "$4" "$3/held/python"
mount --bind "$5" "$3/held/environment"
[ -z "$6" ] || mount -t tmpfs -o mode=755 none "$6"
mount -t tmpfs -o mode=755 none /home
mkdir -p /home/user
mount --bind "$2" /home/user
mkdir -p /home/user/app
mount --bind "$1" /home/user/app
mount -o remount,bind,ro /home/user/app
mount --rbind "$3" /tmp
for held in python environment; do
    [ $held = python ] && place=$4 || place=$5
    [ -d "$place/bin" ] || { mkdir -p "$place"; mount --bind "$3/held/$held" "$place"; }
done
mount -o remount,bind,ro /
cd /home/user/app
shift 6
exec setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all --no-new-privs "$@"
"""


def tracked(into: Path) -> None:
    """What git tracks, as it lies in the working tree."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, into / name)


def closed_to_others(folder: Path) -> Path | str:
    """The first folder on the way to `folder` that only its owner may enter; "" where there is none."""
    return next((path for path in reversed([folder, *folder.parents]) if not path.stat().st_mode & 0o001), "")


def start(place: Path, port: int) -> subprocess.Popen[bytes]:
    """The app in mounts of its own, writing into `place`/home and `place`/tmp, its output into `place`/log."""
    for name in ("home", "tmp"):
        shutil.rmtree(place / name, ignore_errors=True)
        (place / name).mkdir()
        os.chown(place / name, USER, USER)
    (place / "tmp").chmod(0o1777)
    python, environment = Path(sys.base_prefix), Path(sys.prefix).resolve()
    folders = [place / "app", place / "home", place / "tmp", python, environment, closed_to_others(python)]
    with (place / "log").open("wb") as log:
        return subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNTS, "sh", *map(str, folders),
             str(environment / "bin" / Path(sys.executable).name), "app.py"],
            env=SPACE | {"GRADIO_SERVER_PORT": str(port), "PORT": str(port)}, stdout=log, stderr=log,
        )  # fmt: skip


def answered(app: subprocess.Popen[bytes], url: str) -> float:
    """Seconds until the page answers."""
    begin = time.monotonic()
    while time.monotonic() - begin < START_S:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return time.monotonic() - begin
        except httpx.TransportError:
            time.sleep(0.1)
        if app.poll() is not None:
            break
    raise RuntimeError("The page does not answer.")


def family(app: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return [psutil.Process(app.pid), *psutil.Process(app.pid).children(recursive=True)]


def digest(folder: Path) -> str:
    """Of every name and byte in it."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        found.update(str(path).encode() + (path.read_bytes() if path.is_file() else b""))
    return found.hexdigest()


def end(app: subprocess.Popen[bytes]) -> dict[str, Any]:
    everyone = family(app)
    app.send_signal(signal.SIGTERM)
    status = app.wait(60)
    _, alive = psutil.wait_procs(everyone[1:], 10)
    return {"exit_status": status, "left_behind": len(alive)}


def compare(url: str) -> dict[str, Any]:
    """What the page itself may do for anybody: the bundled model and a variant of it."""
    began = time.monotonic()
    made = Client(url, verbose=False).predict(
        ["smollm2", "smollm2:nf4"], "What is gravity?", max_tokens=16, api_name="/generate"
    )
    panes = [{"variant": p["variant"], "text": p["text"], "error": p.get("error")} for p in made["panes"]]
    return {"panes": panes, "seconds": round(time.monotonic() - began, 1)}


def visit(place: Path, generate: bool) -> dict[str, Any]:
    """One start to end with an empty home."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    app = start(place, port)
    url = f"http://127.0.0.1:{port}/"
    try:
        seen: dict[str, Any] = {"seconds_to_page": round(answered(app, url), 1)}
        seen["health"] = httpx.get(f"{url}health", timeout=5).json()
        seen["user"] = psutil.Process(app.pid).uids().real
        if generate:
            seen["compared"] = compare(url)
        seen["megabytes_in_memory"] = sum(one.memory_info().rss for one in family(app)) // 10**6
        seen |= end(app)
    finally:
        if app.poll() is None:
            app.kill()
            app.wait()
    seen["written"] = {
        name: sorted({path.name for path in (place / name).glob("*")} - {"app", "held"}) for name in ("home", "tmp")
    }
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--no-generate", action="store_true", help="only the page and /health: no model is loaded")
    parser.add_argument("--once", action="store_true", help="without the second start")
    options = parser.parse_args()
    if sys.platform != "linux" or os.geteuid() != 0:
        raise SystemExit("Mounts and users are needed for this: Linux, as root.")
    place = Path(tempfile.mkdtemp(prefix="try-space-", dir="/var/tmp"))
    place.chmod(0o755)
    try:
        (place / "app").mkdir()
        tracked(place / "app")
        before = digest(place / "app")
        visits = [visit(place, not options.no_generate) for _ in range(1 if options.once else 2)]
        trouble = [
            line
            for line in WITHOUT_SPACES.sub("", (place / "log").read_text(errors="replace")).splitlines()
            if "Traceback" in line or "Error" in line
        ]
        unchanged = digest(place / "app") == before
        fine = unchanged and not trouble and all(map(as_it_should_be, visits))
        report = {"fine": fine, "app_unchanged": unchanged, "trouble_in_log": trouble, "visits": visits}
        print(json.dumps(report, indent=2, ensure_ascii=False))
        if not fine:
            print((place / "log").read_text(errors="replace")[-4000:], file=sys.stderr)
            raise SystemExit(1)
    except Exception:
        print((place / "log").read_text(errors="replace")[-4000:], file=sys.stderr)
        raise
    finally:
        shutil.rmtree(place, ignore_errors=True)


def as_it_should_be(seen: dict[str, Any]) -> bool:
    panes = seen.get("compared", {}).get("panes", [])
    return (
        seen["health"] == {"status": "ok"}
        and seen["user"] == USER
        and (seen["exit_status"], seen["left_behind"]) == (0, 0)
        and all(pane["text"] and not pane["error"] for pane in panes)
    )


if __name__ == "__main__":
    main()
