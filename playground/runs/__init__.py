"""Runs: the list of what was measured, the page of one run, its link and its files."""
