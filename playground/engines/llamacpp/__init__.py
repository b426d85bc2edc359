"""llama.cpp: one server process per GGUF variant, behind the same protocol as every engine."""

from playground.engines.llamacpp.engine import LlamaCppEngine

__all__ = ["LlamaCppEngine"]
