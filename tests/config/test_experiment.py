"""What a configuration becomes, and what is told when it is wrong."""

from pathlib import Path
from types import ModuleType

import pytest

from dbgsom_core.config import Model, PrepareStep, Split, parse_experiment
from dbgsom_core.errors import ConfigError, PluginError
from dbgsom_core.plugins.registry import Registry
from dbgsom_plugins.engines.local import LocalEngine


def test_every_section_is_built(bench, fakes, full):
    made = bench.load(full)
    assert (made.experiment, made.name, made.seed) == ("group/one", "first", 7)
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
    assert made.model.params == {
        "metric": fakes.Power(p=3.0),
        "kernel": fakes.Gauss(start=2.0, end=0.5, decay="linear"),
        "growth": fakes.Grow(spreading_factor=0.3),
        "labeller": fakes.Majority(),
        "epochs": 20,
        "tol": 1e-4,
        "spreading_factor": 0.3,
        "max_neurons": 50,
        "init": fakes.Lot(),
    }
    assert made.measures == (("quality", fakes.Quality()), ("other", fakes.Quality(samples=3)))
    assert made.figures == (("sketch", fakes.Picture()),)
    assert made.tracking == (
        ("mlflow", fakes.DefaultTrack(uri="http://h")),
        ("run_folder", fakes.Track()),
    )
    assert made.engine == LocalEngine(threads=2)
    assert made.source == "run.yaml"
    assert made.folder == bench.folder


def test_what_is_left_out_has_a_default(bench, small):
    made = bench.load(small)
    assert made.model == Model("vq", {})
    assert (made.seed, made.split, made.prepare, made.measures) == (42, None, (), None)
    assert [name for name, _ in made.figures] == ["label_map", "u_matrix"]  # those on offer
    assert [name for name, _ in made.tracking] == ["mlflow"]
    assert made.engine == LocalEngine()


def test_only_given_keys_become_keyword_arguments(bench, small):
    given = bench.load(small + "model: {epochs: 3, max_neurons: null, spreading_factor: null}\n")
    assert given.model.params == {"epochs": 3, "max_neurons": None, "spreading_factor": None}


@pytest.mark.parametrize("key", ["tracking", "figures", "measures", "prepare"])
@pytest.mark.parametrize("nothing", ["null", "[]"])
def test_null_and_an_empty_list_are_none_of_them(bench, small, key, nothing):
    assert getattr(bench.load(f"{small}{key}: {nothing}\n"), key) == ()


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("tracking: run_folder", ["run_folder"]),
        ("tracking: {name: mlflow, uri: x}", ["mlflow"]),
        ("tracking: [mlflow, {name: mlflow, uri: x}]", ["mlflow", "mlflow"]),
        ("figures: sketch", ["sketch"]),
        ("figures: {name: sketch, size: 2}", ["sketch"]),
        ("figures: default", ["label_map", "u_matrix"]),
        ("measures: quality", ["quality"]),
    ],
)
def test_one_name_or_mapping_is_a_list_of_one(bench, small, section, names):
    made = bench.load(f"{small}{section}\n")
    assert [name for name, _ in getattr(made, section.partition(":")[0])] == names


def test_a_distribution_can_be_named(bench):
    made = bench.load("experiment: e\ndataset: fakes:toy\n")
    assert made.resolved["dataset"]["name"] == made.dataset_name == "fakes:toy"


WRONG = {
    "experiment: 3": "1:13: experiment: must be text, not 3",
    "experiment: ''": "1:13: experiment: must be letters, digits, spaces and . _ - with / between "
    "groups, such as 'digits/first try'",
    'name: "a\\nb"': "3:7: name: must be one line without control characters",
    "zzz: 3": "3:1: zzz: unknown key; known: experiment, name, tags, dataset, prepare, split, "
    "model, seed, measures, figures, stability, tracking, patience, engine, plugins, extends, "
    "sweep",
    "split: {stratify: true}": "3:1: split: needs one of test_size, folds, test and name",
    "split: 0.5": "3:8: split: must be a section of 'key: value' lines, not 0.5",
    "split: {test_size: 1.5}": "3:20: split.test_size: must be a number between 0 and 1 "
    "or an integer of at least 1, not 1.5",
    "split: {test_size: 1}": "3:20: split.test_size: must be a share below 1, or at least 2 "
    "samples; not 1",
    "split: {name: KFold, gap: 2}": "3:27: split.gap: is not for KFold, which takes n_splits, "
    "shuffle",
    "split: {name: GroupKFold}": "3:15: split.name: needs 'groups': the column or array that "
    "holds them",
    "split: {name: TimeSeriesSplit, test_size: 0.2}": "3:43: split.test_size: must be how many "
    "samples, an integer, for TimeSeriesSplit",
    "split: {name: KFold, n_splits: 1}": "3:32: split.n_splits: must be at least 2 for KFold",
    "split: {test: mooons}": "3:15: split.test: unknown dataset 'mooons'; known: faulty, toy",
    "split: {test: toy, stratify: true}": "3:30: split.stratify: divides nothing where 'test' "
    "holds the samples for testing",
    "split: {folds: 3, refit: true}": "3:26: split.refit: is for test_size; with folds a model of "
    "all data is kept anyway",
    "split: {test_size: .5, stratify: no}": "3:34: split.stratify: must be true or false, "
    "not the text 'no'",
    "prepare: [x.Y]": "3:11: prepare.0: unknown step 'x.Y'; write 'range_scale' or 'standardize' "
    "or module:Class",
    "prepare: [{with_mean: true}]": "3:11: prepare.0.name: is required",
    "prepare: [[a]]": "3:11: prepare.0: must be the name of a scikit-learn transformer or a "
    "mapping with a 'name'",
    "split: {folds:3}": "3:9: split.folds:3: unknown key; a space is missing after the colon: "
    "folds: 3",
    "model: {max_neurons: 3}": "3:22: model.max_neurons: must be an integer between 4 and 1000000 "
    "or 'auto', not 3",
    "model: {max_neurons: atuo}": "3:22: model.max_neurons: must be an integer or 'auto', "
    "not the text 'atuo'; did you mean 'auto'?",
    "model: {metric: {name: 3}}": "3:24: model.metric.name: must be the name of a metric",
    "model: {metric: null}": "3:17: model.metric: must be the name of a metric or a mapping "
    "with a 'name'",
    "model: {growth: fixed}": "3:9: model.growth.rows: is required",
    "model: {growth: {name: grow, rule: entropy, spreading_factor: 0.3}}": "3:9: model.growth: "
    "spreading_factor has no effect with rule 'entropy'; leave it out",
    "model: {growth: {name: nested, inner: {stat: 1}}}": "3:40: model.growth.inner.stat: "
    "unknown key; did you mean 'start'?",
    "sweep: {grid: {seed: [1]}}": "3:1: sweep: this file describes several runs; "
    "use 'dbgsom sweep run.yaml'",
    "dataset: {name: toy, columns: [1, x]}": "2:35: dataset.columns.1: must be an integer, "
    "not the text 'x'",
    "dataset: {name: toy, drop: [1.5]}": "2:29: dataset.drop.0: must be an integer or text, "
    "not 1.5",
    "dataset: {name: toy, size: [1, 2, 3]}": "2:28: dataset.size: must be a list of 2, not a list",
    "dataset: {name: toy, table: {a: x}}": "2:33: dataset.table.a: must be a number, "
    "not the text 'x'",
    "dataset: {name: toy, word: {a: 1}}": "2:28: dataset.word: must be text, "
    "not a section of 'key: value' lines",
    "dataset: {name: toy, token: badly}": "2:29: dataset.token: badly is no token that the "
    "store accepts",
}


@pytest.mark.parametrize("section", WRONG)
def test_a_wrong_value_is_told_at_its_place(bench, section):
    lines = {"experiment": "experiment: e", "dataset": "dataset: toy"}
    lines[section.partition(":")[0]] = section
    assert bench.problem("\n".join(lines.values()) + "\n") == f"run.yaml:{WRONG[section]}"


@pytest.mark.parametrize("name", ["digits", "a/b", "a b/c_d-e.f", "1", "v1.2/x"])
def test_names_that_are_folders_are_fine(bench, small, name):
    assert bench.load(small, f"experiment='{name}'").experiment == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\\b", "a:b", "é", "a\nb", "a/ /b"],
)
def test_names_that_leave_their_folder_are_refused(registry, name):
    with pytest.raises(ConfigError, match="experiment: must be letters"):
        parse_experiment({"experiment": name, "dataset": "toy"}, registry)


def test_what_is_missing_is_told_at_the_top(bench):
    assert bench.problems("# a comment\nseed: 3\n") == [
        "run.yaml:1:1: experiment: is required",
        "run.yaml:1:1: dataset: is required",
    ]


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


def test_a_plugin_that_cannot_be_imported_is_a_plugin_error(bench, small):
    with pytest.raises(PluginError, match="lost"):
        bench.load(small + "model: {metric: lost}\n")


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
        parse_experiment({"experiment": "e", "dataset": "toy"}, clashing)
