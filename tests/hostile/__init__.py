"""Hostile calls against the real app in public mode: `python -m tests.hostile` says how many, and what got through."""
