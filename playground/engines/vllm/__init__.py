"""vLLM: one server process per variant, from an environment of its own, behind the same protocol as every engine."""
