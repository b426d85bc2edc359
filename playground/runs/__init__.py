"""Runs: the list of stored results, the page of one run, its link and its files."""
