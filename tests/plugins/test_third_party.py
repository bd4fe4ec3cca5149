"""Small packages as others write them: checked by the kit, used from YAML and Python, saved."""

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from dbgsom_core import SomVQ
from dbgsom_core.persistence import load
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.python import run
from dbgsom_core.testing import checks_for

PACKAGES = Path(__file__).parent / "third_party"
RUN = """
experiment: e
dataset: iris
seed: 3
model: {epochs: 20, tol: 0}
measures: [quantization_error]
figures: []
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a package as an installer would, for this test alone."""

    def install(name):
        text = (PACKAGES / f"{name}.py").read_text(encoding="utf-8")
        assert len(text.splitlines()) < 60
        site = tmp_path / "site"
        info = site / f"dbgsom_{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{name}.py").write_text(text, encoding="utf-8")
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: dbgsom-{name}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[dbgsom.plugins]\n{name} = {name}\n")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, name, raising=False)
        get_registry.cache_clear()
        return get_registry()

    monkeypatch.chdir(tmp_path)
    yield install
    monkeypatch.undo()
    get_registry.cache_clear()


def ran(**changed):
    """Run a configuration from its file, and return the run."""
    config = yaml.safe_load(RUN) | changed
    Path("run.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return run("run.yaml")


def keeps_its_promises(registry, kind, name):
    cls = registry.find(kind, name)
    for check in checks_for(cls(), kind, name=name):
        check(cls())


@pytest.mark.filterwarnings("ignore:the map has not converged")
def test_growth_that_also_takes_away(installed, iris):
    keeps_its_promises(installed("restless"), "growth", "restless")
    finished = ran(model={"growth": "restless", "epochs": 20, "tol": 0})
    own = SomVQ(growth="restless", epochs=20, tol=0, random_state=3).fit(iris[0])
    again = finished.model.estimator
    np.testing.assert_array_equal(own.weights_, again.weights_)
    assert {type(one).__name__ for r in again.history_ for one in r.changes} > {"Death", "Insert"}
    own.save("own.npz")
    other = load("own.npz")
    assert other.history_ == own.history_
    np.testing.assert_array_equal(other.som_map_.hops, own.som_map_.hops)
    np.testing.assert_array_equal(other.predict(iris[0]), own.labels_)
