"""What a command line names, written so that it means the same in another process and folder."""

from __future__ import annotations

from pathlib import Path


def absolute(name: str) -> str:
    """The address of a variant, a local model by its path from the root."""
    from playground import models
    from playground.engines import base
    from playground.models import names

    asked = base.parse(name)
    model, suffix = models.split(asked.variant)
    variant = f"{names.key(model)}:{suffix}" if suffix else names.key(model)
    return str(base.Address(variant, asked.engine))


def source(text: str) -> str:
    """Where text comes from: a file by its path from the root, all else as it is."""
    path = Path(text).expanduser()
    return str(path.absolute()) if path.is_file() else text
