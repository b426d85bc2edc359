"""What the process that runs llama.cpp's own server (`host`) and its parent (`server`) agree on."""

READY = "playground-ready "  # begins the line of its log that says, as JSON, what only this process can ask llama.cpp
