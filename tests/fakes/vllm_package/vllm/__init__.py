"""A stand-in for vLLM: standard library only, the same HTTP and the same log lines, and it misbehaves on demand."""
