"""The methods table: one row per method, one file per method. Everything that lists methods reads it."""

from playground.formatting import did_you_mean
from playground.methods.base import Method, OnLoad
from playground.methods.table import TABLE, method, on_load, on_load_names

__all__ = ["TABLE", "Method", "OnLoad", "did_you_mean", "method", "on_load", "on_load_names"]
