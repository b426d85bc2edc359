"""Quantization Playground: compare a language model with its quantized variants, with numbers that hold."""

__version__ = "0.1.0"
