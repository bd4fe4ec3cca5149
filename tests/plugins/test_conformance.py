"""Every built-in keeps the promises of its kind."""

import contextlib

import numpy as np
import pandas as pd
import pytest

from dbgsom_core.hookspecs import KINDS
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.testing import checks_for
from dbgsom_plugins.engines.dask import DaskEngine

# What a component needs to be built; those without an entry are built with their defaults.
FIELDS = {name: {"path": f"table.{name}"} for name in ("csv", "npy", "npz", "parquet", "feather")}
FIELDS["novelty_auc"] = {"outlier": "ash"}  # a class of the kit's samples
FIELDS["array"] = {"values": tuple((0.5 * i, float(i), 1.0, -1.0) for i in range(6))}
FIELDS["time_limit"] = {"seconds": 3600.0}
FIELDS["epoch_limit"] = {"epochs": 3}
# MLflow makes its store, which takes seconds; tests/plugins/trackers drive it through whole runs.
SLOW = {("mlflow", "runs")}


def components():
    registry = Registry.discover(own_only=True)
    for kind in KINDS:
        for one in registry.offered(kind):
            yield kind, one.name, one.load()(**FIELDS.get(one.name, {}))


def cases():
    for kind, name, component in components():
        for check in checks_for(component):
            if (name, check.name) not in SLOW:
                yield pytest.param(component, check, id=f"{kind}-{name}-{check.name}")


@pytest.fixture(scope="module", autouse=True)
def files(tmp_path_factory):
    with contextlib.chdir(tmp_path_factory.mktemp("files")):
        table = np.arange(12.0).reshape(4, 3) ** 0.5
        np.save("table.npy", table)
        np.savez("table.npz", X=table)
        frame = pd.DataFrame(table, columns=list("abc"))
        frame.to_csv("table.csv", index=False)
        frame.to_feather("table.feather")
        frame.to_parquet("table.parquet")
        yield


@pytest.mark.parametrize(("component", "check"), list(cases()))
def test_every_built_in_passes_every_check_of_its_kind(component, check, request):
    if isinstance(component, DaskEngine):
        request.getfixturevalue("client")  # else a cluster is started for each fit
    check(component)
