"""What is wrong with a map's parts is told at its place, with the cure."""

import numpy as np
import pytest

import dbgsom_core
from dbgsom_core import SomVQ
from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError
from dbgsom_core.runs.pipeline import prepare_run

FILE = "experiment: t\ndataset: iris\ntracking: []\nmodel:\n  {}\n"
START = "init: {name: array, values: [[1.0, 2.0], [1.0, 3.0], [2.0, 2.0], [1.0, 1.0]]}"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("grid: square_torus", r":5:9: model.grid: .* too small.*; a torus is for maps of fixed"),
        (
            "growth: {name: gsom, spreading_factor: auto}",
            r":5:42: model.growth.spreading_factor: .* estimator's own spreading_factor",
        ),
        (START, r":5:9: model.init: init has shape \(4, 2\).*: shape \(4, 4\)"),
    ],
)
def test_it_is_told_at_its_line(line, told, tmp_path):
    (tmp_path / "t.yaml").write_text(FILE.format(line))
    with pytest.raises(ConfigError, match=told):
        prepare_run(load_experiment(tmp_path / "t.yaml"))


def test_words_are_those_of_python_there(iris):
    with pytest.raises(ValueError, match=r"growth.spreading_factor must be a number: 'auto' is"):
        SomVQ(growth={"name": "directed", "spreading_factor": "auto"}).fit(iris[0])
    with pytest.raises(ValueError, match="fixed size: take growth fixed, or another grid"):
        SomVQ(grid="square_torus").fit(iris[0])
    start = {"name": "array", "values": np.ones((4, 2)).tolist()}
    config = {"experiment": "t", "dataset": "iris", "model": {"init": start}, "tracking": []}
    with pytest.raises(ConfigError, match=r"model.init: init has shape"):
        dbgsom_core.run(config)


def test_a_full_map_says_which_spreading_factor_is_smaller(rng):
    with pytest.warns(UserWarning, match=r"a number, or spreading_factor one below 0\.99") as told:
        SomVQ(spreading_factor=0.99, epochs=60).fit(rng.random((40, 2)))
    assert len(told) == 1
