"""llama.cpp: one server process per GGUF variant, behind the same protocol as every engine."""
