"""The engine `dask` on a cluster has the bits of `local`, whatever the partitions and who dies."""

import os
import signal
import socket
import time
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest

from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.errors import DataError
from dbgsom_plugins.engines import dask as engine_module
from dbgsom_plugins.engines import dask_workers as clusters
from dbgsom_plugins.engines.dask import DaskEngine

distributed = pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")
ROWS = 30_013  # four ranges of rows that are summed together
PARAMS = {"growth": {"name": "directed", "max_neurons": 30}, "epochs": 8, "random_state": 0}
LEARNED = (
    "weights_", "neurons_", "hit_counts_", "errors_", "quantization_error_", "topographic_error_",
    "neuron_labels_", "labels_", "leaf_hit_counts_", "offset_",
)  # fmt: skip


def samples():
    rng = np.random.default_rng(7)
    codes = rng.integers(0, 5, ROWS)
    X = (3 * rng.normal(size=(5, 5)))[codes] + rng.normal(size=(ROWS, 5))
    return X.astype(np.float32), codes


@pytest.fixture(scope="module")
def usual():
    return SomVQ(**PARAMS).fit(samples()[0])


def assert_same(mine, usual):
    for name in LEARNED:
        np.testing.assert_array_equal(getattr(mine, name), getattr(usual, name), name)
    told = [
        [(one.quantization_error, one.movement, one.births) for one in fitted.history_]
        for fitted in (mine, usual)
    ]
    assert told[0] == told[1]


def unequal(X):
    return da.from_array(X, chunks=((7, 3000, 0, 0, ROWS - 3007), (2, 3)))


def unknown(X):
    counted = da.from_array(X, chunks=(2500, 5))
    return counted[counted[:, 0] > -1e9]


def frame(X):
    dd = pytest.importorskip("dask.dataframe")
    return dd.from_pandas(pd.DataFrame(X, columns=list("abcde")), npartitions=3)


@pytest.mark.parametrize("lies", [unequal, unknown, frame])
def test_a_dask_collection_chooses_the_engine_and_gives_the_same_bits(client, usual, lies):
    X, _ = samples()
    mine = SomVQ(**PARAMS).fit(lies(X))
    assert isinstance(mine._parts.engine, DaskEngine)
    assert_same(mine, usual)
    if lies is frame:
        assert mine.feature_names_in_.tolist() == list("abcde")


def test_classes_and_weights_may_be_dask_arrays_too(client):
    X, codes = samples()
    weights = np.random.default_rng(3).integers(0, 4, ROWS).astype(float)
    lazy = [da.from_array(one, chunks=1999) for one in (X, codes, weights)]
    mine = SomClassifier(**PARAMS).fit(lazy[0], lazy[1], sample_weight=lazy[2])
    assert_same(mine, SomClassifier(**PARAMS).fit(X, codes, sample_weight=weights))


class Interrupt:
    """A person who ends a fit."""

    vital = True

    def __init__(self, after):
        self.after = after

    def __call__(self, record):
        if record.epoch > self.after:
            raise KeyboardInterrupt


def test_its_own_cluster_is_closed_whatever_happens(monkeypatch):
    made, real = [], distributed.Client

    def start(*args, **given):
        made.append(real(*args, **given, processes=False))
        return made[-1]

    monkeypatch.setattr(distributed, "Client", start)
    engine = {"name": "dask", "workers": 1}
    with pytest.raises(KeyboardInterrupt):
        SomVQ(engine=engine, callbacks=[Interrupt(0)], **PARAMS).fit(samples()[0])
    assert [(one.status, one.cluster.status.name) for one in made] == [("closed", "closed")]
    assert engine_module._SESSION.get() is None


def test_a_script_that_cannot_start_processes_is_told_why(monkeypatch):
    monkeypatch.setattr(distributed, "Client", Mock(side_effect=RuntimeError("Nanny failed")))
    with pytest.raises(DataError, match=r"Nanny failed.* under if __name__ == '__main__'"):
        SomVQ(engine={"name": "dask", "workers": 1}, **PARAMS).fit(samples()[0])


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_no_bit(usual):
    here = {"processes": False, "protocol": "tcp", "n_workers": 1, "threads_per_worker": 1}
    X, _ = samples()
    killed = []
    with (
        distributed.LocalCluster(silence_logs=60, dashboard_address=":0", **here) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):

        async def start():
            nanny = await distributed.Nanny(cluster.scheduler_address, nthreads=1, silence_logs=60)
            nanny.auto_restart = False
            return nanny

        def kill(record):
            if record.epoch == 3:
                held = [one.key for one in cluster.scheduler.workers[far.worker_address].has_what]
                killed.append(len(held))
                os.kill(far.process.pid, signal.SIGKILL)

        far = client.sync(start)
        try:
            engine = {"name": "dask", "address": cluster.scheduler_address, "shard": 0.2}
            mine = SomVQ(engine=engine, callbacks=[kill], **PARAMS).fit(X)
        finally:
            client.sync(far.close)
    assert len(killed) == 1
    assert killed[0] > 0  # shards were there
    assert_same(mine, usual)


# ------------------------------------------------------------------------------- bad input


def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(clusters, "_SECONDS", 0.5)
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{port.getsockname()[1]}"
        with pytest.raises(DataError, match=f"dask has no workers at {address} "):
            SomVQ(engine={"name": "dask", "address": address}).fit(samples()[0])


def test_a_fit_without_workers_ends():
    here = {"processes": False, "n_workers": 1, "threads_per_worker": 1}
    heard = []
    with distributed.LocalCluster(silence_logs=60, dashboard_address=":0", **here) as cluster:

        def leave(record):
            heard.append(record.epoch)
            if record.epoch == 3:
                cluster.scale(0)
                while cluster.scheduler.workers:
                    time.sleep(0.01)

        engine = {"name": "dask", "address": cluster.scheduler_address, "timeout": 1.0}
        with pytest.raises(DataError, match=r"there is no worker of dask at .*, for \d+ s: start"):
            SomVQ(engine=engine, callbacks=[leave], **PARAMS).fit(samples()[0])
    assert heard == [1, 2, 3]


def test_an_address_and_workers_are_one_too_many():
    with pytest.raises(ValueError, match="an address and workers: give one of them"):
        SomVQ(engine={"name": "dask", "address": "tcp://h:1", "workers": 2}).parts()
