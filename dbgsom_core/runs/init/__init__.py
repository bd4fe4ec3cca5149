"""Profiling a data set of which nothing is known, and suggesting a first configuration for it."""
