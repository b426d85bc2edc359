"""The server module that the launcher runs. `FAKE_VLLM` in the environment is a JSON object that says how it behaves:

log         lines to print before it listens
reject      lines to print before it exits with 1
taken       how many starts find their port taken (counted in the file `starts`)
foreign     how many starts are answered by another server, which knows another model (counted likewise)
chunks      how many tokens each event carries, over and over
chunk_s     seconds before each event
first_s     seconds before the first
error_at    after this many events: an error event, as when the core is dead
lingers     after that: "no" the process ends, "unhealthy" /health answers 503, "healthy" nothing else happened
others      how many other requests the metrics say have finished meanwhile
hold        file that must exist before it listens
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SCRIPT: dict[str, Any] = json.loads(os.environ.get("FAKE_VLLM", "{}"))
LOG = (
    "(APIServer pid=7) INFO 11-24 00:49:12 [api_utils.py:286] non-default args: {'port': 18000}",
    "(APIServer pid=7) INFO 11-24 00:49:26 [model.py:733] Resolved architecture: LlamaForCausalLM",
    "(EngineCore pid=8) INFO 11-24 00:49:39 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model=x",
    "(Worker pid=9) INFO 11-24 00:49:52 [cpu_model_runner.py:68] Starting to load model tiny...",
    "Loading safetensors checkpoint shards:   0% Completed | 0/2 [00:00<?, ?it/s]",
    "Loading safetensors checkpoint shards: 100% Completed | 2/2 [00:00<00:00,  1.29it/s]",
    "(Worker pid=9) INFO 11-24 00:49:54 [cpu_worker.py:260] Explicitly set (1.0/15.09) GiB for KV cache on node 0.",
    "(APIServer pid=7) INFO 11-24 00:49:57 [entry.py:140] Starting vLLM server on http://127.0.0.1:18000",
)


class State:
    """What /metrics tells, and what /seen tells a test."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running = 0
        self.healthy = True
        self.sums: dict[str, tuple[int, float]] = {}
        self.bodies: list[dict[str, Any]] = []
        self.metrics_reads = 0

    def observe(self, name: str, value: float, n: int = 1) -> None:
        with self.lock:
            count, total = self.sums.get(name, (0, 0.0))
            self.sums[name] = count + n, total + value

    def page(self) -> str:
        with self.lock:
            label = '{engine="0",model_name="m"}'
            lines = ["# HELP vllm:num_requests_running x", f"vllm:num_requests_running{label} {float(self.running)}"]
            for name, (count, total) in self.sums.items():
                lines += [f"vllm:{name}_sum{label} {total}", f"vllm:{name}_count{label} {float(count)}"]
            return "\n".join(lines) + "\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state = State()
    arguments: argparse.Namespace

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        if self.path == "/health":
            return self.answer(200 if self.state.healthy else 503, b"")
        if self.path == "/metrics":
            self.state.metrics_reads += 1
            return self.answer(200, self.state.page().encode())
        if self.path == "/seen":
            seen = {"arguments": sys.argv[1:], "environment": dict(os.environ), "bodies": self.state.bodies}
            seen["metrics_reads"] = self.state.metrics_reads
            return self.answer(200, json.dumps(seen).encode())
        if not self.allowed():
            return None
        row = {"id": self.arguments.served_model_name, "max_model_len": self.arguments.max_model_len}
        return self.answer(200, json.dumps({"data": [row]}).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed():
            return
        self.state.bodies.append(body)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with self.state.lock:
            self.state.running += 1
        try:
            self.generate(body)
        except OSError:
            self.close_connection = True
        finally:
            with self.state.lock:
                self.state.running -= 1

    def allowed(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {os.environ['VLLM_API_KEY']}":
            return True
        self.answer(401, b'{"error": "Unauthorized"}')
        return False

    def answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def gone(self) -> bool:
        """Whether the client has closed its side, which is how a request is aborted."""
        ready, _, _ = select.select([self.connection], [], [], 0)
        return bool(ready) and self.connection.recv(1, socket.MSG_PEEK) == b""

    def generate(self, body: dict[str, Any]) -> None:
        began = time.monotonic()
        sent = events = 0
        first = last = began
        chunks = SCRIPT.get("chunks", [1])
        prompt, wanted = len(body["prompt"]), body["max_tokens"]
        while sent < wanted:
            time.sleep(SCRIPT.get("chunk_s", 0.002) if events else SCRIPT.get("first_s", 0.01))
            if self.gone():
                raise ConnectionError
            if events == SCRIPT.get("error_at"):
                self.event({"error": {"message": "EngineCore encountered an issue.", "type": "x", "code": 500}})
                if SCRIPT["lingers"] == "no":
                    os._exit(1)
                self.state.healthy = SCRIPT["lingers"] == "healthy"
                raise ConnectionError
            n = min(chunks[events % len(chunks)], wanted - sent)
            ids = [10 + (sent + at) % 20 for at in range(n)]
            last = time.monotonic()
            first = first if events else last
            if not events:
                self.state.observe("time_to_first_token_seconds", first - began)
            sent += n
            events += 1
            finish = "length" if sent == wanted else None
            choice = {"index": 0, "text": "".join(f"<{i}>" for i in ids), "token_ids": ids, "finish_reason": finish}
            usage = {"prompt_tokens": prompt, "completion_tokens": sent, "total_tokens": prompt + sent}
            asked = body["logprobs"]
            choice |= {"logprobs": None if asked is None else logprobs(ids, asked)}
            self.event({"choices": [choice], "usage": usage})
        self.event({"choices": [], "usage": usage})
        self.state.observe("request_prefill_time_seconds", (first - began) * 0.9)
        self.state.observe("inter_token_latency_seconds", last - first, sent - 1)
        for _ in range(1 + SCRIPT.get("others", 0)):
            self.state.observe("e2e_request_latency_seconds", last - began)
        self.write(b"data: [DONE]\n\n")
        self.write(b"")

    def event(self, body: dict[str, Any]) -> None:
        self.write(b"data: " + json.dumps(body).encode() + b"\n\n")

    def write(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


def logprobs(ids: list[int], n: int) -> dict[str, Any]:
    """As vLLM orders them: the chosen token first, though here it is the second most probable, then the best."""
    tops = [{f"token_id:{i}": -0.9, **{f"token_id:{i + 1 + at}": -0.5 - at for at in range(n)}} for i in ids]
    return {"tokens": [f"token_id:{i}" for i in ids], "token_logprobs": [-0.9 for _ in ids], "top_logprobs": tops}


def nth_start(name: str) -> int:
    """How many times this was reached, over all the processes of a test."""
    path = Path(SCRIPT["starts"])
    with path.open("a") as file:
        file.write(f"{name}\n")
    return path.read_text().split().count(name)


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for option in ("--host", "--model", "--served-model-name", "--dtype", "--kv-cache-dtype", "--generation-config"):
        parser.add_argument(option)
    for option in ("--port", "--max-model-len", "--max-num-seqs", "--tensor-parallel-size"):
        parser.add_argument(option, type=int)
    for option in ("--no-enable-prefix-caching", "--disable-uvicorn-access-log", "--enforce-eager"):
        parser.add_argument(option, action="store_true")
    arguments, _ = parser.parse_known_args()
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

    def end(*_: object) -> None:
        worker.kill()
        worker.wait()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    if "reject" in SCRIPT:
        worker.kill()
        sys.exit("\n".join(SCRIPT["reject"]))
    if "taken" in SCRIPT and nth_start("taken") <= SCRIPT["taken"]:
        worker.kill()
        sys.exit("OSError: [Errno 98] Address already in use")
    for line in (*LOG, *SCRIPT.get("log", ())):
        print(line, flush=True)
    while "hold" in SCRIPT and not Path(SCRIPT["hold"]).exists():
        time.sleep(0.02)
    if "foreign" in SCRIPT and nth_start("foreign") <= SCRIPT["foreign"]:
        arguments.served_model_name = "someone-else"
    Handler.arguments = arguments
    ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
