"""How an epoch of the engine dask grows with rows, features, neurons and workers.

    python tests/benchmarks/scaling.py [--rounds 3]

It measures one and two workers on this machine, fits a model, checks it on a table that it has not
seen, and says what it makes of 100 workers and a billion rows. The work of a worker is told by the
processor time that its epochs take, what is beside it (client, scheduler, messages) by the least
time of an epoch on a table so small that there is hardly any work: other processes disturb both
little.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from typing import NamedTuple

import numpy as np
from timing import table

EPOCHS, FIRST = 24, 3  # of a fit, and the first that is measured
BASE = (200_000, 16, 10)  # rows, features, side of the map
VARIED = [
    BASE,
    *((n, 16, 10) for n in (100_000, 400_000)),
    *((200_000, d, 10) for d in (8, 32, 64)),
    *((200_000, 16, side) for side in (20, 30)),
    (200_000, 64, 20),
]
CHECKED = (300_000, 32, 20)
SMALL = 4000  # rows of which hardly anything is to be done
FAR = (1_000_000_000, 16, 20, 100)  # rows, features, side, workers
LINE = 125e6  # bytes a second through the scheduler, a gigabit
STRAGGLERS = 1.2  # times as long as the mean the last worker takes


class Found(NamedTuple):
    """The seconds of an epoch: of the processor in each worker, and from epoch to epoch, least."""

    n: int
    d: int
    side: int
    workers: int
    work: float
    least: float


def measured(client, workers, n, d, side, rounds):
    """Return the least that fits of so many rounds took."""
    from dbgsom_core import SomVQ

    rng = np.random.default_rng(0)
    centres = 2 * rng.normal(size=(30, d))
    X = (centres[rng.integers(0, 30, n)] + rng.normal(size=(n, d))).astype(np.float32)
    work, least = [], []
    for _ in range(rounds):
        ends, used = [], {}

        def heard(epoch, ends=ends, used=used):
            if epoch.epoch in (FIRST, EPOCHS):
                used[epoch.epoch] = sum(client.run(time.process_time).values())
            ends.append(time.perf_counter())

        growth = {"name": "fixed", "rows": side, "columns": side}
        SomVQ(growth=growth, epochs=EPOCHS, tol=0, engine="dask", callbacks=[heard]).fit(X)
        work.append((used[EPOCHS] - used[FIRST]) / (EPOCHS - FIRST) / workers)
        least.append(np.diff(ends)[FIRST:-1].min())
    return Found(n, d, side, workers, min(work), min(least))


def of_work(n, d, side, power):
    """Return what the time of a worker is a sum of: once, by rows, numbers, and comparisons."""
    return [1.0, n, n * d, n * d * side ** (2 * power)]


def fitted(found):
    """Return the power of K, and the factors, of the model that suits best, in relative terms."""
    from scipy.optimize import nnls

    def of(power):
        rows = [of_work(one.n / one.workers, one.d, one.side, power) for one in found]
        weighed = np.array(rows) / np.array([[one.work] for one in found])
        factors, off = nnls(weighed, np.ones(len(found)))
        return off, power, factors

    _, power, factors = min((of(p) for p in np.arange(0.3, 1.01, 0.05)), key=lambda one: one[0])
    return power, factors


def main():
    """Measure, and print tables."""
    import distributed

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    found, beside = [], {}
    for workers in (1, 2):
        cluster = distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        )
        with cluster, distributed.Client(cluster) as client:
            for shape in [*VARIED, CHECKED]:
                found.append(measured(client, workers, *shape, options.rounds))
            for side in (10, 20, 30):
                small = measured(client, workers, SMALL, 16, side, options.rounds + 1)
                beside[workers, side] = max(small.least - small.work, 0.0)
    learned = [one for one in found if one[:3] != CHECKED]
    power, factors = fitted(learned)

    def worked(n, d, side, workers):
        return float(np.dot(of_work(n / workers, d, side, power), factors))

    rows = [
        (
            f"{one.n:,}", one.d, one.side**2, one.workers, f"{1e3 * one.work:.1f}",
            f"{1e3 * worked(*one[:4]):.1f}" + (" (not fitted)" if one[:3] == CHECKED else ""),
        )
        for one in found
    ]  # fmt: skip
    header = ("rows", "D", "K", "workers", "measured, ms a worker", "model")
    print(table("Work of an epoch", header, rows))
    once, by_row, by_number, compared = 1e9 * factors
    print(
        f"{once / 1e6:.1f} ms + rows × ({by_row:.1f} + {by_number:.2f} D + {compared:.4f} D "
        f"K^{power:.2f}) ns. Load {os.getloadavg()[0]:.1f}.\n"
    )
    rows = [(side**2, *(f"{1e3 * beside[w, side]:.1f}" for w in (1, 2))) for side in (10, 20, 30)]
    print(table("Beside the work, ms an epoch", ("K, D=16", "1 worker", "2"), rows))
    n, d, side, workers = FAR
    work = worked(*FAR) * STRAGGLERS
    more = max(beside[2, side] - beside[1, side], 1e-3)  # that each worker adds
    trips = beside[1, side] + (workers - 1) * more
    sent = 8 * side**2 * (3 * d + 16) * workers / LINE  # out, and two sums back
    print(
        f"{workers} workers, {n:,} × {d}, K={side**2}: an epoch {work + trips + sent:.2f} s (work "
        f"{work:.2f}, client and messages {trips:.2f}, bytes {sent:.2f}), 50 epochs "
        f"{50 * (work + trips + sent):.0f} s; one worker of this kind would take "
        f"{worked(n, d, side, 1):.0f} s an epoch."
    )


if __name__ == "__main__":
    main()
