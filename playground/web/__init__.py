"""The page: the only package that imports gradio. It never loads a model; engines are processes of their own."""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any

# Read by gradio: the page calls nobody, and the queue does not build a data frame for every event.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1000000000"

# Read by uvicorn: no X-Forwarded-For replaces the address of a connection. Which proxies are believed says
# PLAYGROUND_PROXIES (visitor.py).
os.environ["FORWARDED_ALLOW_IPS"] = ""

# gradio imports `mcp` wherever it is installed, 12 MB of the page's process; only a page with its tools wants it.
if "mcp" not in sys.modules and "--mcp" not in sys.argv and "PLAYGROUND_MCP" not in os.environ:
    sys.modules["mcp"] = None  # type: ignore[assignment]

_getfile = inspect.getfile


def _no_stub_files(object: Any) -> str:
    """Importing gradio parses 81 sources to rewrite stub files, half of its 4 s; what has no source is skipped."""
    if str(getattr(object, "__module__", "")).startswith("gradio."):
        raise OSError("no source wanted")
    return _getfile(object)


inspect.getfile = _no_stub_files
try:
    import gradio as gradio
finally:
    inspect.getfile = _getfile
