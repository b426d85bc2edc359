"""The app that is attacked: served as `python -m playground run` does, over a scripted engine and queue.

Everything else is real: the models, the store, gradio's routes. A line on standard input asks what came of it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from playground import app
from playground.web import access
from tests.fakes.engine import FakeEngine
from tests.fakes.queue import FakeQueue

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what a public page listens on


def main() -> None:
    if "--no-gate" in sys.argv:  # so that a test sees the script find something
        access.Gate = lambda served, *_: served  # type: ignore[assignment,misc]
    engine, queue = FakeEngine(), FakeQueue()
    demo = app.launch(host=EVERYWHERE, port=0, engine=engine, queue=queue, block=False)
    routes = [[route.path, sorted(route.methods)] for route in _routes(demo.app.routes)]
    _say({"port": demo.blocks.server_port, "routes": routes})
    for _ in sys.stdin:
        asked = [[one.variant, one.sampling.max_tokens, len(one.prompt_ids)] for one in engine.asked]
        _say({"jobs": len(queue.jobs), "asked": asked})
    app.close(demo, engine)


def _routes(found: Any) -> Any:
    """Every route with methods, those of routers in it included."""
    for route in found:
        if getattr(route, "methods", None):
            yield route
        else:
            yield from _routes(getattr(getattr(route, "original_router", route), "routes", None) or ())


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
