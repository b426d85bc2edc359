"""What an MCP tool answers: JSON. Gradio 6.31 sends Python's `str` of it, which no client can read back."""

from __future__ import annotations

import json
from typing import Any


def as_json(server: Any) -> None:
    """`server` is gradio's, of a page whose tools answer with JSON's types only."""
    original = server.postprocess_output_data

    def told(data: Any, root_url: str) -> Any:
        return original(
            [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in data], root_url
        )

    server.postprocess_output_data = told
