"""The transformers host: the only place that imports torch; runs in a process of its own."""
