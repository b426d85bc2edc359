"""llama.cpp: one server process per GGUF variant, behind the same protocol as every engine."""

READY = "playground-ready "  # prefix of the log line with facts, as JSON, that only the host process can query
