"""Timing in turns, and tables."""

from __future__ import annotations

import time

import numpy as np


def seconds(function, *arguments):
    """Return how long one call takes."""
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def paired(functions, rounds, before=lambda: None):
    """Time functions in turns, each after ``before``; return {name: array (rounds,)}."""
    for function in functions.values():  # compile, and warm the caches
        function()
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            before()
            times[name].append(seconds(function))
    return {name: np.array(values) for name, values in times.items()}


def table(title, header, rows):
    """Return a Markdown table."""
    lines = [f"## {title}", "", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""])


def told(times):
    """Return (minimum, median) of times in milliseconds."""
    return f"{1e3 * times.min():.1f}", f"{1e3 * np.median(times):.1f}"
