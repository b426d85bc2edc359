"""The methods table: one row per method, one file per method. Everything that lists methods reads it."""

from playground.methods.row import Method, OnLoad
from playground.methods.table import TABLE, did_you_mean, maker, method, on_load, on_load_names

__all__ = ["TABLE", "Method", "OnLoad", "did_you_mean", "maker", "method", "on_load", "on_load_names"]
