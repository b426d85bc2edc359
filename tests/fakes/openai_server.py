"""An OpenAI-compatible server in a process of its own that behaves, or misbehaves, as its first argument says.

`python openai_server.py MODE [--key KEY] [--certificate FILE]` prints its port. Standard library only. GET /seen tells
what it was asked: a list of `{"path", "body", "headers", "gone"}`, `gone` once a client left in mid-stream.
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ("Gravity", " is", " a", " force", " of", " nature", ",", " and", " it", " pulls", ".")
MODEL = "lab/tiny-7B"
MODES = (
    *("fine", "ids", "llamacpp", "chat-only", "pairs", "usage", "raw-only", "no-fields", "no-models", "models", "many"),
    *("401", "404", "429", "500", "redirect", "html", "compressed", "echo-key", "echo-key-in-text", "error-event"),
    *("hang", "hang-first", "hang-mid", "cut", "drip", "endless-line", "endless-body", "too-many"),
)
METADATA = "http://169.254.169.254/latest/meta-data/"


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, mode: str, key: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.mode, self.key = mode, key
        self.seen: list[dict[str, Any]] = []
        self.greeted = False


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # as every server that streams has it
    server: Server

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        if self.path == "/seen":
            return self.answer(200, self.server.seen)
        self.note(None)
        mode = self.server.mode
        if self.trouble():
            return None
        if self.path == "/v1/models" and mode != "no-models":
            return self.answer(200, {"object": "list", "data": self.models()})
        return self.answer(404, {"detail": "Not Found"})

    def models(self) -> list[dict[str, Any]]:
        owner = {"ids": "vllm", "pairs": "vllm", "usage": "sglang", "llamacpp": "llamacpp", "raw-only": "vllm"}
        row = {"id": MODEL, "object": "model", "owned_by": owner.get(self.server.mode, "lab")}
        if row["owned_by"] == "vllm":
            row["max_model_len"] = 2048  # type: ignore[assignment]
        if row["owned_by"] == "llamacpp":
            row["meta"] = {"n_ctx": 1024, "ftype": "Q4_1"}  # type: ignore[assignment]
        if self.server.mode == "models":
            return [row, {"id": "lab/other"}]
        if self.server.mode == "many":
            return [{"id": f"lab/{'x' * 1000}-{n}"} for n in range(2000)]
        return [row]

    def trouble(self) -> bool:
        """The answer of a mode that fails before anything streams."""
        mode, key = self.server.mode, self.server.key
        if mode == "hang":
            time.sleep(60)
        elif mode == "401":
            self.answer(401, {"error": {"message": "Incorrect API key provided."}})
        elif mode == "echo-key":
            self.answer(401, {"error": {"message": f"Incorrect API key provided: {key}. Bad {'x' * 400}"}})
        elif mode == "429":
            self.answer(429, {"error": {"message": "Rate limit reached."}}, {"Retry-After": "7"})
        elif mode == "500":
            self.answer(500, b"<html><h1>Internal\x1b[31m Server Error</h1></html>", {"Content-Type": "text/html"})
        elif mode == "redirect":
            self.answer(302, b"", {"Location": METADATA})
        elif mode == "html":
            self.answer(200, b"<html>Welcome to nginx</html>", {"Content-Type": "text/html"})
        elif mode == "endless-body":
            self.endless(b'{"data": [' + b" " * 65536)
        elif mode == "compressed":
            self.answer(200, b"\x1f\x8b" + bytes(100), {"Content-Encoding": "gzip"})
        elif key and self.headers.get("Authorization") != f"Bearer {key}":
            self.answer(401, {"error": {"message": "Wrong key."}})
        else:
            return False
        return True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.note(body)
        mode = self.server.mode
        if self.trouble():
            return None
        route = self.path.removeprefix("/v1")
        if mode in ("ids", "pairs", "raw-only") and route == "/tokenize":
            if mode == "raw-only" and "messages" in body:
                return self.answer(400, {"error": {"message": "This model has no chat template."}})
            text = body.get("prompt") or "\n".join(turn["content"] for turn in body["messages"])
            return self.answer(200, {"tokens": ids_of(text), "count": 1, "max_model_len": 2048})
        if mode == "llamacpp" and route == "/apply-template":
            return self.answer(200, {"prompt": "<s>" + body["messages"][-1]["content"]})
        if mode == "llamacpp" and route == "/tokenize":
            return self.answer(200, {"tokens": ids_of(body["content"]) if body.get("content") else []})
        if route == "/completions" and not body.get("stream"):
            return self.whole(body)
        if route == "/completions" and mode in ("ids", "pairs", "llamacpp", "raw-only"):
            return self.stream(body, chat=False)
        if route == "/chat/completions" and mode != "raw-only":
            return self.stream(body, chat=True)
        return self.answer(404, {"detail": "Not Found"})

    def whole(self, body: dict[str, Any]) -> None:
        """An answer to each prompt of a batch, cut off where it is longer than asked for."""
        text, cut = "".join(WORDS[: body["max_tokens"]]), body["max_tokens"] < len(WORDS)
        reason = "length" if cut else "stop"
        prompts = [body["prompt"]] if isinstance(body["prompt"], str) else body["prompt"]
        choices = [{"index": n, "text": text, "finish_reason": reason} for n in range(len(prompts))]
        self.answer(200, {"object": "text_completion", "choices": choices})

    def stream(self, body: dict[str, Any], chat: bool) -> None:
        mode, number = self.server.mode, body.get("max_tokens", body.get("max_completion_tokens", 16))
        if refusal := self.refusal(body):
            return self.answer(404 if mode == "404" else 400, {"error": {"message": refusal}})
        # Modes that break in mid-stream behave in the two tokens of a load.
        spare = number <= 2 and not self.server.greeted
        self.server.greeted = True
        if mode == "hang-first" and not spare:
            time.sleep(60)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            return self.events(body, chat, mode, number, spare)
        except (BrokenPipeError, ConnectionResetError):
            self.server.seen[-1]["gone"] = True
            return None

    def refusal(self, body: dict[str, Any]) -> str:
        if self.server.mode == "404":
            return "The model does not exist."
        if self.server.mode != "no-fields":
            return ""
        for name in ("logprobs", "top_logprobs", "seed", "stream_options"):
            if name in body:
                return f"Unrecognized request argument supplied: {name}"
        return "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'." if "max_tokens" in body else ""

    def events(self, body: dict[str, Any], chat: bool, mode: str, number: int, spare: bool) -> None:
        if chat:
            self.event(
                {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
            )
        if mode == "endless-line" and not spare:
            self.wfile.write(b"data: ")
            self.flood(b"x" * 65536)
        step = 2 if mode == "pairs" else 1
        total = 10**9 if mode == "drip" and not spare else min(number, len(WORDS)) + 9 * (mode == "too-many")
        for at in range(0, total, step):
            words = [WORDS[i % len(WORDS)] for i in range(at, min(at + step, total))]
            if mode == "echo-key-in-text":
                words = [self.server.key[at * 3 : at * 3 + 3] or "!"] if not spare else words
            time.sleep(0.002 if total < 100 and mode != "pairs" else 0.02)
            self.event(self.chunk(body, chat, mode, words, at + len(words)))
            if at == 4 and not spare:
                if mode == "cut":
                    return None
                if mode == "hang-mid":
                    time.sleep(60)
                if mode == "error-event":
                    return self.event({"error": {"message": "CUDA out of memory", "key": self.server.key}})
        end = {"index": 0, "finish_reason": "length" if total == number else "stop"}
        self.event({"choices": [{**end, **({"delta": {}} if chat else {"text": ""})}]})
        if "stream_options" in body:
            self.event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": total}})
        self.wfile.write(b"data: [DONE]\n\n")
        return None

    def chunk(self, body: dict[str, Any], chat: bool, mode: str, words: list[str], so_far: int) -> dict[str, Any]:
        text = "".join(words)
        choice: dict[str, Any] = {"index": 0, "finish_reason": None}
        choice |= {"delta": {"content": text}} if chat else {"text": text}
        made: dict[str, Any] = {"choices": [choice]}
        if mode in ("ids", "pairs", "raw-only") and body.get("return_token_ids"):
            choice["token_ids"] = [WORDS.index(word) + 100 for word in words]
        if mode in ("ids", "pairs") and body.get("logprobs"):
            choice["logprobs"] = {
                "tokens": words,
                "token_logprobs": [-0.25] * len(words),
                "top_logprobs": [{word: -0.25, " other": -2.0} for word in words],
            }
        if mode == "llamacpp" and body.get("logprobs"):
            entries = [{"id": WORDS.index(word) + 100, "token": word, "logprob": -0.5} for word in words]
            choice["logprobs"] = {"content": [{**one, "top_logprobs": [one]} for one in entries]}
        if mode == "usage":
            made["usage"] = {"prompt_tokens": 5, "completion_tokens": so_far}
        return made

    def event(self, made: dict[str, Any]) -> None:
        self.wfile.write(b": comment\n\n" + f"data: {json.dumps(made)}\n\n".encode())
        self.wfile.flush()

    def endless(self, start: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.wfile.write(start)
        self.flood(b" " * 65536)

    def flood(self, part: bytes) -> None:
        """Until the client has had enough; 1 GiB would be a client without limits."""
        try:
            for _ in range(1 << 14):
                self.wfile.write(part)
        except OSError:
            self.server.seen[-1]["gone"] = True
            raise ConnectionResetError from None

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # a client that leaves, or does not trust the certificate
            self.close_connection = True

    def note(self, body: Any) -> None:
        self.server.seen.append({"path": self.path, "body": body, "headers": dict(self.headers), "gone": False})

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def ids_of(text: str) -> list[int]:
    return [sum(map(ord, word)) % 50_000 for word in text.split()]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--key", default="")
    parser.add_argument("--certificate", default="")
    chosen = parser.parse_args()
    server = Server(chosen.mode, chosen.key)
    if chosen.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chosen.certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(server.server_port, flush=True)
    # It ends with the test that started it, however that ended.
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
