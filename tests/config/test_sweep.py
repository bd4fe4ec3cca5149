"""One file, several runs: all validated before any of them starts."""

import re

import pytest

from dbgsom_core.config import is_sweep, load_sweep
from dbgsom_core.errors import ConfigError
from dbgsom_core.plugins.registry import Registry

BASE = """\
experiment: e
dataset: toy
model: {kernel: {name: gauss, start: 3}, growth: {name: grow, spreading_factor: 0.5}}
"""


def test_a_grid_is_every_combination_in_order(bench):
    made = bench.sweep(
        BASE + "sweep:\n  grid:\n    model.kernel: [gauss, bubble]\n"
        "    model.growth.spreading_factor: [0.3, 0.6]\n"
    )
    assert [child.name for child in made.children] == [
        "kernel=gauss, spreading_factor=0.3",
        "kernel=gauss, spreading_factor=0.6",
        "kernel=bubble, spreading_factor=0.3",
        "kernel=bubble, spreading_factor=0.6",
    ]
    first, *_, last = made.children
    assert first.varies == {"model.kernel": "gauss", "model.growth.spreading_factor": 0.3}
    assert first.experiment.model.params["kernel"].start == 3  # the same name merges
    assert last.experiment.model.params["kernel"].start is None  # another one replaces
    assert last.experiment.model.params["growth"].spreading_factor == 0.6
    assert (made.experiment, made.folder) == ("e", bench.folder)
    assert made.resolved["sweep"]["grid"]["model.kernel"] == ["gauss", "bubble"]
    assert "sweep" not in first.experiment.resolved


def test_a_list_says_what_each_run_changes(bench):
    made = bench.sweep(
        BASE + "sweep: {list: [{seed: 1}, {seed: 2, model.epochs: 5}, {model: {epochs: 6}}]}\n"
    )
    assert [child.name for child in made.children] == ["seed=1", "seed=2, epochs=5", "epochs=6"]
    assert made.children[1].experiment.model.params["epochs"] == 5
    assert made.children[2].experiment.model.params["kernel"].start == 3


def test_random_draws_distinct_combinations_and_the_same_ones_each_time(bench):
    text = BASE + (
        "sweep: {random: {samples: 5, space: {seed: [1, 2, 3], model.epochs: [1, 2, 3]}}}\n"
    )
    made = bench.sweep(text)
    assert len({child.name for child in made.children}) == 5
    assert bench.sweep(text) == made
    assert bench.sweep(text, "sweep.random.seed=1") != made


@pytest.mark.parametrize(
    ("grid", "names"),
    [
        ("{model.kernel.start: [1, null]}", ["start=1", "start=null"]),
        (
            "{prepare: [[], [range_scale, standardize]]}",
            ["prepare=none", "prepare=range_scale standardize"],
        ),
        (
            "{dataset.word: ['a/b', 'ü(x)', 'ö(x)']}",
            ["word=a/b", "word=-u00fc-x-", "word=-u00f6-x-"],
        ),
        (
            "{model.kernel: [gauss, {name: bubble, start: 2}]}",
            ["kernel=gauss", "kernel=bubble, start=2"],
        ),
    ],
)
def test_children_are_named_by_what_varies(bench, grid, names):
    text = f"{BASE}sweep: {{grid: {grid}}}\n"
    made = [child.name for child in bench.sweep(text).children]
    assert made == names
    assert all(re.fullmatch(r"[A-Za-z0-9 ,.\-_/:=]+", name) for name in made)


def test_a_wrong_grid_value_is_told_at_its_axis(bench):
    text = BASE + "sweep:\n  grid:\n    model.growth.spreading_factor: [0.3, 2]\n    seed: [1, 2]\n"
    assert bench.problem(text, sweep=True) == (
        "run.yaml:6:36: model.growth.spreading_factor: must be less than 1, not 2"
    )


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{}", "4:8: sweep: needs exactly one of grid, random, list or optimize"),
        (
            "{grid: {seed: [1]}, x: 1}",
            "4:28: sweep.x: unknown key; known: grid, random, list, optimize, repeats, decide",
        ),
        (
            "{grid: {seed: []}}",
            "4:22: sweep.grid.seed: must have at least 1 item, not 0",
        ),
        (
            "{grid: {model.kernel: {name: gaussian}}}",
            "4:30: sweep.grid.model.kernel: must be a list, not a section of 'key: value' lines",
        ),
        (
            "{grid: {seed: [1, 2, 1]}}",
            "4:8: sweep: 2 variants are called 'seed=1': leave all but one out",
        ),
        ("{grid: {a..b: [1]}}", "4:22: sweep.grid.a..b: is no dotted key such as model.epochs"),
        (
            "{random: {samples: 3, space: {seed: [1, 2]}}}",
            "4:27: sweep.random.samples: asks for 3 of 2 combinations",
        ),
        (
            "{grid: {seed: "
            + str(list(range(101)))
            + ", model.epochs: "
            + str(list(range(1, 101)))
            + "}}",
            "4:8: sweep: makes 10100 runs, more than 10000; use random",
        ),
    ],
)
def test_a_wrong_sweep_section_is_told(bench, section, message):
    assert bench.problem(f"{BASE}sweep: {section}\n", sweep=True) == f"run.yaml:{message}"


def test_repeats_are_runs_of_one_variant_with_seeds_of_their_own(bench):
    made = bench.sweep(
        BASE + "seed: 7\nsweep: {repeats: {seeds: 3}, grid: {model.epochs: [5, 9]}}\n"
    )
    assert [child.name for child in made.children] == [
        f"epochs={epochs}, seed={seed}" for epochs in (5, 9) for seed in (7, 8, 9)
    ]
    assert [child.experiment.seed for child in made.children] == [7, 8, 9] * 2
    assert made.children[4].varies == {"model.epochs": 9, "seed": 8}
    assert (made.seeds, made.runs) == (3, 6)


def test_a_search_has_probes_and_makes_its_trials(bench):
    made = bench.sweep(
        BASE + "sweep:\n  repeats: {seeds: 2}\n  optimize:\n    trials: 20\n    space:\n"
        "      model.epochs: {low: 5, high: 50, step: 5}\n"
        "      model.growth.spreading_factor: {low: 0.1, high: 0.9}\n"
        "      model.kernel: [gauss, {name: bubble, start: 2}]\n"
    )
    assert made.runs == 40
    assert len({child.name for child in made.children}) == 4 * 2  # each end and each value
    chosen = {"model.epochs": 15, "model.growth.spreading_factor": 0.25, "model.kernel": 1}
    first, second = made.optimization.variant(3, chosen)
    assert first.name == "3: epochs=15, spreading_factor=0.25, kernel=bubble, start=2, seed=42"
    assert second.name == first.name.replace("42", "43")
    assert first.experiment.model.params["kernel"].start == 2
    assert first.varies == {
        "model.epochs": 15,
        "model.growth.spreading_factor": 0.25,
        "model.kernel": {"name": "bubble", "start": 2},
        "seed": 42,
    }


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{grid: {seed: [1, 2]}, repeats: {seeds: 2}}",
         "22: sweep.grid.seed: is set by repeats: leave it out of what varies"),
        ("{optimize: {trials: 1, space: {model.tol: {low: 0, high: 3, log: true}}}}",
         "a logarithmic scale needs a low above 0, not 0"),
        ("{optimize: {trials: 1, space: {dataset: [toy, faulty]}}}",
         "dataset: cannot be optimized: measures of other data do not compare"),
    ],
)  # fmt: skip
def test_a_wrong_search_or_repetition_is_told(bench, section, message):
    problems = bench.problems(f"{BASE}sweep: {section}\n", sweep=True)
    assert any(message in one for one in problems), problems
    assert all(one.startswith("run.yaml:4:") for one in problems), problems


@pytest.mark.parametrize("tail", ["", "sweep: null\n"])
def test_a_file_without_a_sweep_is_for_run(bench, tail):
    assert bench.problem(BASE + tail, sweep=True) == (
        "run.yaml:1:1: sweep: is required; for a single run use 'dbgsom run' or run()"
    )
    assert bench.load(BASE + tail).experiment == "e"
    assert not is_sweep("run.yaml")
    assert is_sweep("run.yaml", ["sweep.list=[{seed: 3}]"])


@pytest.mark.parametrize(
    ("decide", "column", "told"),
    [
        (
            "{measure: test/purity}",
            21,
            ".measure: unknown measure 'test/purity'; did you mean 'purity'?",
        ),
        (
            "{measure: accuracy}",
            21,
            ".measure: 'accuracy' is not measured by every run: add it to 'measures'",
        ),
        ("{split: test}", 19, ".split: there is no test part; divide the data by 'split'"),
    ],
)
def test_a_measure_that_cannot_decide_is_told(tmp_path, monkeypatch, decide, column, told):
    monkeypatch.chdir(tmp_path)
    config = (
        "experiment: e\ndataset: iris\nsweep:\n  list: [{measures: purity}, {measures: accuracy}]\n"
    )
    (tmp_path / "run.yaml").write_text(config + f"  decide: {decide}\n")
    with pytest.raises(ConfigError) as caught:
        load_sweep("run.yaml", registry=Registry.discover(own_only=True))
    assert str(caught.value) == f"run.yaml:5:{column}: sweep.decide{told}"


def test_every_mistake_of_a_sweep_is_told_with_those_of_the_rest(bench):
    told = bench.problems(
        "experiment: e\ndataset: toy\nseed: x\nsweep:\n"
        "  repeats: {seeds: 0}\n  decide: {measur: x}\n"
        "  grid: {experiment: [a], model.epoch: [1], model.epochs: [1, many], seed: 3}\n",
        sweep=True,
    )
    assert [line.split(": ")[:2] for line in told] == [
        ["run.yaml:3:7", "seed"],
        ["run.yaml:5:20", "sweep.repeats.seeds"],
        ["run.yaml:6:12", "sweep.decide.measur"],
        ["run.yaml:7:76", "sweep.grid.seed"],
    ]
