"""Every built-in keeps the promises of its kind."""

import contextlib
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from dbgsom_core.hookspecs import KINDS
from dbgsom_core.plugins.registry import Registry, get_registry
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
# What is true of the built-in metrics (between prepared samples), which do not state it.
CLAIMS = {
    "euclidean": ("identity", "symmetry", "triangle"),
    "manhattan": ("identity", "symmetry", "triangle"),
    "cosine": ("identity", "symmetry"),
    "chebyshev": ("identity", "symmetry", "triangle"),
    "minkowski": ("identity", "symmetry", "triangle"),
    "correlation": ("identity", "symmetry"),
    "canberra": ("identity", "symmetry", "triangle"),
    "hamming": ("identity", "symmetry", "triangle"),
    "jensen_shannon": ("identity", "symmetry", "triangle"),
    "mahalanobis": ("identity", "symmetry", "triangle"),
}


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


@pytest.mark.parametrize("name", CLAIMS)
def test_what_is_known_of_the_built_in_metrics_is_true(name):
    cls = get_registry().find("metric", name)
    members = {"claims": CLAIMS[name], "__annotations__": {"claims": ClassVar[tuple]}}
    claiming = type(cls.__name__, (cls,), {**members, "__module__": __name__, "__doc__": "x"})
    (check,) = [one for one in checks_for(claiming()) if one.name == "claims"]
    check(claiming())


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
