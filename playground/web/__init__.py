"""The page: the only package that imports gradio. It never loads a model; engines are processes of their own."""

from __future__ import annotations

import os
import sys

# Read by gradio: no analytics requests, and no data frame built for every event.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1000000000"

# Read by uvicorn: X-Forwarded-For must not replace the address of a connection. Trusted proxies are in
# PLAYGROUND_PROXIES (visitor.py).
os.environ["FORWARDED_ALLOW_IPS"] = ""

# gradio imports `mcp` if it is installed, which takes 12 MB; only a page with MCP tools needs it.
if "mcp" not in sys.modules and "--mcp" not in sys.argv and "PLAYGROUND_MCP" not in os.environ:
    sys.modules["mcp"] = None  # type: ignore[assignment]

import gradio as gradio  # after the settings that it reads
