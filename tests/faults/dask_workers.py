"""Workers of Dask that are killed, added and sent away during fits, to the same bits.

    python tests/faults/dask_workers.py --rounds 20 [--threads]

Each round fits an estimator to data in partitions of its own by a cluster of two processes, while
a thread does to these what comes to its mind, at random moments; with --threads, threads of this
process, one to four of them, read the partitions, and nothing happens to them. Then the map is the
one that `local` made, to the bit. At the end no process is left.
Exits with 1 when anything differs, and tells which seed to try again.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

SECONDS = (0.1, 2.0)  # between two faults
MOST = 4  # workers
PATIENCE = 20  # looks without any, until somebody adds one
FITTED = (
    "weights_", "neurons_", "hit_counts_", "errors_", "quantization_error_", "topographic_error_",
    "neuron_labels_", "labels_", "leaf_hit_counts_", "offset_",
)  # fmt: skip


def kill(cluster, client, chance):
    """Kill one worker; its nanny starts another."""
    _killed(cluster, 1, chance)


def kill_all(cluster, client, chance):
    """Kill all workers at once."""
    _killed(cluster, MOST, chance)


def add(cluster, client, chance):
    """Let one more worker join."""
    if len(cluster.workers) < MOST:
        cluster.scale(len(cluster.workers) + 1)


def send_away(cluster, client, chance):
    """Ask one worker to go."""
    if len(cluster.workers) > 1:
        cluster.scale(len(cluster.workers) - 1)


def more(cluster, client, chance):
    """Let another worker join where nannies gave theirs up."""
    cluster.scale(len(cluster.workers) + 1)


FAULTS = [kill, kill, kill_all, add, send_away]


def _killed(cluster, most, chance):
    pids = [nanny.pid for nanny in list(cluster.workers.values()) if nanny.pid]
    for pid in chance.sample(pids, min(most, len(pids))):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def disturbed(cluster, client, chance, over, done):
    """Do faults until the fit is over; count them."""
    alone = 0
    while not over.wait(chance.uniform(*SECONDS)):
        alone = 0 if cluster.scheduler.workers else alone + 1
        if 0 < alone < PATIENCE:  # it takes them a while to come back
            continue
        fault = chance.choice(FAULTS) if alone == 0 else more
        alone = 0
        try:
            fault(cluster, client, chance)
        except Exception as error:  # what is being killed may not answer
            done[f"{fault.__name__}, unanswered ({type(error).__name__})"] += 1
        else:
            done[fault.__name__] += 1


def data(chance):
    """Return rows, classes and weights."""
    rng, d = np.random.default_rng(chance.randrange(2**32)), chance.choice([4, 9, 16])
    n = chance.randrange(50_000, 300_000)
    codes = rng.integers(0, 6, n)
    X = (3 * rng.normal(size=(6, d)))[codes] + rng.normal(size=(n, d))
    weights = rng.integers(0, 4, n).astype(float)
    return X.astype(chance.choice([np.float32, np.float64])), codes, weights


def divided(X, chance):
    """Return X as a dask array or data frame of uneven partitions."""
    import dask.array as da
    import dask.dataframe as dd
    import pandas as pd

    if chance.random() < 0.3:
        return dd.from_pandas(pd.DataFrame(X), npartitions=chance.randrange(1, 9))
    cuts = sorted(chance.randrange(len(X)) for _ in range(chance.randrange(8)))
    sizes = np.diff([0, *cuts, len(X)])
    return da.from_array(X, chunks=(tuple(sizes.tolist()), (X.shape[1],)))


def one_round(seed, cluster, client, done, threads):
    """Fit once with faults, or by ``threads``, and once without; return what differs."""
    from dbgsom_core import SomClassifier, SomVQ

    chance = random.Random(seed)
    X, codes, weights = data(chance)
    kind = chance.choice(["plain", "classes", "weights"])
    given = {"epochs": chance.choice([20, 40]), "tol": 0, "random_state": 0}
    given |= {"max_neurons": chance.choice([30, 100]), "spreading_factor": 0.8}
    estimator = SomClassifier if kind == "classes" else SomVQ
    more = {"sample_weight": weights} if kind == "weights" else {}
    targets = [codes] if kind == "classes" else []
    usual = estimator(**given).fit(X, *targets, **more)
    os.environ["DBGSOM_THREADS"] = str(chance.randrange(1, 5) if threads else 64)
    engine = {"name": "dask", "shard": chance.choice([0.1, 1.0, 4.0, 16.0])}
    if not threads:
        engine |= {"address": cluster.scheduler_address, "timeout": 300}
    over = threading.Event()
    faults = threading.Thread(target=disturbed, args=(cluster, client, chance, over, done))
    if not threads:
        faults.start()
    try:
        mine = estimator(engine=engine, **given).fit(divided(X, chance), *targets, **more)
    finally:
        over.set()
        if not threads:
            faults.join()
    wrong = [
        name
        for name in FITTED
        if not np.array_equal(getattr(mine, name), getattr(usual, name), equal_nan=False)
    ]
    told = [
        [(one.quantization_error, one.movement, one.births) for one in fitted.history_]
        for fitted in (mine, usual)
    ]
    return kind, wrong + ([] if told[0] == told[1] else ["history_"])


def main():
    """Do rounds; return how many went wrong."""
    import dask
    import distributed

    from dbgsom_core.engine import partitioned

    partitioned._FEW_BYTES = 0  # no table is held in this process for being small
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--threads", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    # Dask blames a task at which four workers died; here it is not the task's fault.
    dask.config.set({"distributed.scheduler.allowed-failures": 10_000})
    done, wrong = Counter(), 0
    cluster = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
    )
    with cluster, distributed.Client(cluster, set_as_default=False) as client:
        for seed in range(options.seed, options.seed + options.rounds):
            started, before = time.monotonic(), sum(done.values())
            try:
                kind, differs = one_round(seed, cluster, client, done, options.threads)
            except Exception as error:
                kind, differs = f"{type(error).__name__}: {error}", ["all"]
            wrong += bool(differs)
            said = f"differs in {', '.join(differs)}" if differs else "the same bits"
            faults = sum(done.values()) - before
            took = time.monotonic() - started
            print(f"seed {seed}: {kind}, {faults} faults, {took:.0f} s, {said}", flush=True)
            cluster.scale(2)
    me = os.getpid()
    left = Path(f"/proc/{me}/task/{me}/children").read_text().split()
    names = [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in left]
    left = [name for name in names if "tracker" not in name]  # ends with this process
    print(f"{dict(done)}; {wrong} of {options.rounds} rounds wrong; left running: {left or 'none'}")
    return wrong + len(left)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
