"""The process that runs llama.cpp's own server; only its `__main__` imports xllamacpp."""

READY = "playground-ready "  # begins the line of its log that says, as JSON, what only this process can ask llama.cpp
