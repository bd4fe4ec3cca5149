"""What a configuration becomes, and what is told when it is wrong."""

from pathlib import Path
from types import ModuleType

import pytest

from dbgsom_core.config import Split, load_experiment
from dbgsom_core.config.components import PrepareStep
from dbgsom_core.config.experiment import Model
from dbgsom_core.errors import PluginError
from dbgsom_core.plugins.registry import Registry
from dbgsom_plugins.engines.local import LocalEngine


def test_every_section_is_built(bench, fakes, full):
    made = bench.load(full)
    assert (made.experiment, made.resolved["name"], made.seed) == ("group/one", "first", 7)
    assert made.dataset_name == "toy"
    assert made.dataset == fakes.Toy(
        path=Path("data/x.csv"), columns=(1, 2), drop=["a", 3], size=(3, 4), table={"a": 1.0}
    )
    assert made.prepare == (
        PrepareStep("range_scale"),
        PrepareStep("sklearn.preprocessing:PowerTransformer", {"method": "yeo-johnson"}),
    )
    assert made.split == Split(test_size=0.25, stratify=True)
    assert made.model.estimator == "classifier"
    params = made.model.params
    assert params["kernel"] == fakes.Gauss(start=2.0, end=0.5, decay="linear")
    assert (params["metric"], params["init"]) == (fakes.Power(p=3.0), fakes.Lot())
    assert (params["epochs"], params["tol"], params["max_neurons"]) == (20, 1e-4, 50)
    assert made.measures == (("quality", fakes.Quality()), ("other", fakes.Quality(samples=3)))
    assert made.tracking[0] == ("mlflow", fakes.DefaultTrack(uri="http://h"))
    assert made.engine == LocalEngine(threads=2)
    assert made.folder == bench.folder


def test_what_is_left_out_has_a_default(bench, small):
    made = bench.load(small)
    assert made.model == Model("vq", {})
    assert (made.seed, made.split, made.prepare, made.measures) == (42, None, (), None)
    assert [name for name, _ in made.figures] == ["label_map", "u_matrix"]  # those on offer
    assert [name for name, _ in made.tracking] == ["mlflow"]
    assert made.engine == LocalEngine()


@pytest.mark.parametrize("key", ["tracking", "figures", "measures", "prepare"])
def test_null_and_an_empty_list_are_none_of_them(bench, small, key):
    for nothing in ("null", "[]"):
        assert getattr(bench.load(f"{small}{key}: {nothing}\n"), key) == ()


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("tracking: run_folder", ["run_folder"]),
        ("tracking: [mlflow, {name: mlflow, uri: x}]", ["mlflow", "mlflow"]),
        ("figures: sketch", ["sketch"]),
        ("figures: default", ["label_map", "u_matrix"]),
    ],
)
def test_one_name_or_mapping_is_a_list_of_one(bench, small, section, names):
    made = bench.load(f"{small}{section}\n")
    assert [name for name, _ in getattr(made, section.partition(":")[0])] == names


def test_all_problems_are_told_in_the_order_of_the_file(bench):
    told = bench.problems(
        "experiment: 3\nsplit: {folds: 0}\n"
        "model:\n  epochs: x\n  labeler: m\n  metric: no\nsed: 3\n",
        "model.tol=-1",
    )
    assert [line.split(": ")[:2] for line in told] == [
        ["run.yaml:1:1", "dataset"],
        ["run.yaml:1:13", "experiment"],
        ["run.yaml:2:16", "split.folds"],
        ["run.yaml:4:11", "model.epochs"],
        ["run.yaml:5:3", "model.labeler"],
        ["run.yaml:6:11", "model.metric"],
        ["run.yaml:7:1", "sed"],
        ["--set model.tol=-1", "model.tol"],
    ]


def test_a_plugin_whose_check_is_broken_is_a_plugin_error(bench):
    with pytest.raises(PluginError, match="dataset 'faulty' cannot check its fields"):
        bench.load("experiment: e\ndataset: faulty\n")


def test_names_that_two_plugins_offer_are_a_plugin_error(bench):
    clashing = Registry()
    offers = next(iter(bench.registry._manager.get_plugins()))
    for name in ("one", "two"):
        plugin = ModuleType(name)
        vars(plugin).update(vars(offers))
        clashing.register(plugin, name, name, "1")
    with pytest.raises(PluginError, match="one:toy"):
        load_experiment({"experiment": "e", "dataset": "toy"}, registry=clashing)
