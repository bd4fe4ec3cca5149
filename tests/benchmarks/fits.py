"""Whole fits of equal size against peers, beside the ratios that were aimed at."""

from __future__ import annotations

import numpy as np
from contestants import installed
from timing import paired, table
from workloads import FITS

TARGETS = {  # ours / theirs, at most
    "clusters 100k x 64, K=400": {"faiss k-means": 0.25, "fastersom": 0.2},
    "digits 60k x 64, K=400": {"faiss k-means": 0.35},
    "clusters 1M x 16, K=100": {"faiss k-means": 0.28},
}


def fits(options):
    """Validation, measures and labels included."""
    rows = []
    for name, (make, *shape) in FITS.items():
        X = make()
        functions = {
            peer: lambda fit=fit, X=X, shape=shape: fit(X, *shape)
            for peer, fit in installed(options.slow).items()
        }
        times = paired(functions, options.rounds)
        base = times["dbgsom-core"]
        for peer, values in times.items():
            target = TARGETS[name].get(peer)
            rows.append(
                (
                    name,
                    peer,
                    f"{values.min():.3f}",
                    f"{np.median(values):.3f}",
                    f"{np.median(base / values):.2f}",
                    "" if target is None else f"≤ {target}",
                )
            )
    header = ("data", "who", "least s", "median s", "ours / theirs", "target")
    return table("Whole fits, 50 epochs", header, rows)
