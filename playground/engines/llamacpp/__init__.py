"""llama.cpp: one server process per GGUF variant, behind the same protocol as every engine."""

READY = "playground-ready "  # begins the line of its log that says, as JSON, what only this process can ask llama.cpp
