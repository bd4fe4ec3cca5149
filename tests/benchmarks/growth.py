"""How the time of a fit grows with samples and with neurons."""

from __future__ import annotations

import numpy as np
from contestants import ours
from timing import seconds, table
from workloads import clusters

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
NEURONS = ((10, 10), (20, 10), (20, 20), (40, 25), (50, 40))


def growth(options):
    """How the time of a fit grows with n and K; the exponents are those of a straight line."""
    from matplotlib.figure import Figure

    X = clusters(max(SIZES), 16)
    by_n = [min([seconds(ours, X[:n], 10, 10, 20) for _ in range(options.rounds)]) for n in SIZES]
    X = clusters(100_000, 64)
    by_k = [min([seconds(ours, X, *shape, 20) for _ in range(options.rounds)]) for shape in NEURONS]
    sizes = [rows * columns for rows, columns in NEURONS]
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    rows = []
    for axes, name, x, y in zip(
        figure.subplots(1, 2), ("samples", "neurons"), (SIZES, sizes), (by_n, by_k), strict=True
    ):
        exponent = np.polyfit(np.log(x), np.log(y), 1)[0]
        axes.loglog(x, y, "o-")
        axes.set(xlabel=name, ylabel="seconds", title=f"time ~ {name}^{exponent:.2f}")
        rows += [(name, size, f"{value:.3f}", "") for size, value in zip(x, y, strict=True)]
        rows.append((name, "exponent", "", f"{exponent:.2f}"))
    figure.savefig(options.out / "growth.png", dpi=120)
    return table("Growth of a fit of 20 epochs", ("with", "size", "seconds", "exponent"), rows)
