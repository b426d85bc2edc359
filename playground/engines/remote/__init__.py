"""Any OpenAI-compatible endpoint that the owner has added, behind the same protocol as every engine."""

from playground.engines.remote.engine import RemoteEngine

__all__ = ["RemoteEngine"]
