"""A run on a table of fruit, and the commands that use what it left."""

import numpy as np
import pandas as pd
import pytest
import yaml

from dbgsom_core import persistence, presets

FRUIT = {
    "experiment": "fruit",
    "dataset": {
        "name": "csv", "path": "fruit.csv", "delimiter": ";", "target": "kind", "drop": ["id"],
        "categorical": ["colour"],
    },
    "prepare": ["standardize"],
    "model": {"estimator": "classifier", "epochs": 15, **presets.square()},
    "figures": ["label_map"],
    "tracking": [],
}  # fmt: skip


def _fruit(n, seed):
    rng = np.random.default_rng(seed)
    kind = rng.choice(["apple", "plum"], n)
    size = rng.normal(np.where(kind == "apple", 8, 4)).round(3)
    return pd.DataFrame(
        {
            "id": [f"{i:04d}" for i in range(n)],
            "size": size,
            "colour": rng.choice(["red", "blue"], n),
            "weight": rng.normal(size, 0.3).round(3),
            "kind": kind,
        }
    )


@pytest.fixture(scope="session")
def fruit():
    """Make a table of so many fruits, by a seed."""
    return _fruit


@pytest.fixture(scope="session")
def described():
    """What a run on a table of fruit is described by."""
    return FRUIT


@pytest.fixture(scope="session")
def shop(tmp_path_factory, called):
    folder = tmp_path_factory.mktemp("shop")
    _fruit(120, 1).to_csv(folder / "fruit.csv", sep=";", index=False)
    (folder / "fruit.yaml").write_text(yaml.safe_dump(FRUIT))
    code, _, err = called(folder, "run", "fruit.yaml", "-q")
    assert code == 0, err
    return folder


@pytest.fixture(scope="session")
def run_folder(shop):
    (found,) = (shop / "runs" / "fruit").iterdir()
    return found


@pytest.fixture(scope="session")
def model(run_folder):
    return persistence.load(run_folder / "model.npz")


@pytest.fixture(scope="session")
def new():
    return _fruit(50, 2)


@pytest.fixture
def told(shop, called):
    """Call the command where it has to succeed, and return what it printed."""

    def tell(*arguments, stdin=b""):
        code, out, err = called(shop, *arguments, stdin=stdin)
        assert code == 0, err
        return out, err

    return tell


@pytest.fixture
def refused(shop, called):
    """Call the command where it has to be refused, and return the sentence."""

    def tell(*arguments):
        before = sorted(shop.rglob("*"))
        code, out, err = called(shop, *arguments)
        assert code == 2, (out, err)
        assert out == ""
        assert sorted(shop.rglob("*")) == before
        return err

    return tell
