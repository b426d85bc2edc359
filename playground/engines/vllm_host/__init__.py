"""Starts vLLM's server so that it cannot outlive the app. Runs in vLLM's interpreter: standard library only."""
