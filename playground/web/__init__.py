"""The page: the only package that imports gradio. It never loads a model; engines are processes of their own."""

from __future__ import annotations

import os
import sys

# Read by gradio: the page calls nobody, and the queue does not build a data frame for every event.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1000000000"

# Read by uvicorn: no X-Forwarded-For replaces the address of a connection. Which proxies are believed says
# PLAYGROUND_PROXIES (visitor.py).
os.environ["FORWARDED_ALLOW_IPS"] = ""

# gradio imports `mcp` wherever it is installed, 12 MB of the page's process; only a page with its tools wants it.
if "mcp" not in sys.modules and "--mcp" not in sys.argv and "PLAYGROUND_MCP" not in os.environ:
    sys.modules["mcp"] = None  # type: ignore[assignment]

import gradio as gradio  # after the settings that it reads
