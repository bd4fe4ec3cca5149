"""Comparing runs: one ranking for `compare` and for sweeps."""
