"""Quantize: from a model and a recipe to a variant."""
