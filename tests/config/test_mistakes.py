"""Mistakes are told once, at their place, with the cure: one by one, and several in a file."""

import random
import re
from pathlib import Path

import pytest

from dbgsom_core.config import is_sweep, load_experiment, load_sweep, parse_experiment
from dbgsom_core.errors import ConfigError
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.pipeline import prepare_run

# Lines of a file: the right ones, and wrong ones, where ⟦ marks the place and a comment says
# what is told.
LINES = {
    "experiment": [
        "experiment: e",
        "experiment: ⟦../x  # letters",
        "experiment: ⟦[a]  # text",
    ],
    "name": [
        "name: n",
        "name: ⟦7  # must be text",
        "⟦nam: n  # 'name'",
    ],
    "dataset": [
        "dataset: {name: moons, noise: 0.2}",
        "dataset: {name: ⟦moon}  # did you mean 'moons'",
        "dataset: {name: moons, ⟦nois: 1}  # 'noise'",
        "dataset: {name: moons, noise: ⟦-1}  # at least 0|between 0",
    ],
    "prepare": [
        "prepare: [standardize, range_scale]",
        "prepare: [⟦standardise, range_scale]  # 'standardize'",
        "prepare: [standardize, ⟦3]  # name",
    ],
    "split": [
        "split: {test_size: 0.3}",
        "⟦split: {folds: 3, test_size: 0.2}  # exclude each other",
        "split: {folds: ⟦1}  # between 2",
        "split: {folds: 3, ⟦fold: 4}  # 'folds'",
        "split: {folds: 3, gap: ⟦2}  # splitters",
        "split: {name: ⟦KFolds}  # 'KFold'",
    ],
    "estimator": [
        "  estimator: classifier",
        "  estimator: ⟦clasifier  # 'classifier'",
    ],
    "metric": [
        "  metric: {name: minkowski, p: 3}",
        "  metric: {name: minkowski, p: ⟦0}  # at least 1",
        "  metric: ⟦euclid  # 'euclidean'",
    ],
    "kernel": [
        "  kernel: {start: 2}",
        "  kernel: {⟦strat: 2}  # 'start'",
        "  kernel: {start: ⟦wide}  # number",
    ],
    "growth": [
        "  growth: {name: hierarchical, base: gsom}",
        "  growth: {name: hierarchical, base: {name: ⟦gsm}}  # 'gsom'",
        "  growth: {name: hierarchical, base: {name: gsom, ⟦wen: x}}  # 'when'",
        "  growth: {name: hierarchical, base: gsom, tau_2: ⟦7}  # between 0 and 1",
    ],
    "epochs": [
        "  epochs: 10",
        "  epochs: ⟦many  # integer",
        "  epochs: ⟦1.5  # 1.5",
        "  ⟦epoch: 3  # 'epochs'",
    ],
    "tol": [
        "  tol: 0",
        "  tol: ⟦.nan  # finite",
        "  tol: ⟦${env:SOM_NOT_SET}  # not set",
    ],
    "labeller": [
        "  labeller: majority",
        "  ⟦labeller: {p: 2}  # required",
        "  ⟦labeler: x  # 'labeller'",
    ],
    "seed": [
        "seed: 3",
        "seed: ⟦-1  # 4294967295",
        "seed: ⟦99999999999999999999  # too large",
    ],
    "measures": [
        "measures: [accuracy, purity]",
        "measures: [⟦acuracy, purity]  # 'accuracy'",
        "measures: [accuracy, ⟦accuracy]  # twice",
    ],
    "figures": [
        "figures: [explorer]",
        "figures: [{name: explorer, ⟦max_sample: 5}]  # 'max_samples'",
        "⟦figures: trust_map  # stability",
    ],
    "engine": [
        "engine: {threads: 2}",
        "engine: {threads: ⟦0}  # between 1",
        "engine: ⟦locl  # 'local'",
    ],
    "tags": [
        "tags: {a: b}",
        "tags: {a: ⟦[1]}  # list",
        "tags: {a: b, ⟦a: c}  # twice",
    ],
    "tracking": [
        "tracking: run_folder",
        "tracking: [⟦run_foldr]  # 'run_folder'",
    ],
    "plugins": [
        "plugins: {disable: []}",
        "plugins: {⟦disabel: []}  # 'disable'",
    ],
}
SWEEPS = [
    "sweep: {grid: {model.kernel.end: ⟦3}}  # list of values",
    "sweep: {grid: {model.kernel.end: [0.5, ⟦0]}}  # 0 excluded",
    "sweep: {grid: {⟦model.contaminatio: [0.1]}}  # 'contamination'",
    "sweep: {grid: {⟦experiment: [a, b]}}  # vary",
    "sweep: {grid: {model.kernel.end: [1, 2]}, repeats: {seeds: ⟦0}}  # between 1 and 1000",
    "sweep: {random: {samples: ⟦9, space: {model.kernel.end: [1, 2]}}}  # asks for 9",
    "⟦sweep: {grid: {patience: [1]}, list: [{patience: 1}]}  # exactly one",
    "sweep: {list: [{model.kernel.end: 1}, ⟦3]}  # section",
    "sweep: {optimize: {⟦trial: 2, trials: 2, space: {model.kernel.end: [1, 2]}}}  # 'trials'",
    "sweep: {optimize: {trials: 2, space: {⟦model.kernel.end: {low: 2, high: 1}}}}  # less than",
    "sweep: {grid: {model.kernel.end: [1, 2]}, decide: {measure: ⟦acuracy}}  # 'accuracy'",
]


@pytest.fixture(scope="module")
def built_ins():
    return Registry.discover(own_only=True)


# Alone in a file, where ⟦ marks the place: a section below `BASE`, and what is told.
ALONE = [
    ('name: ⟦"a\\nb"', "one line without control characters"),
    ("⟦zzz: 3", "unknown key; known: experiment, name, tags, dataset, prepare, split, model, seed"),
    ("⟦sweep: {grid: {seed: [1]}}", "use 'dbgsom sweep run.yaml'"),
    ("split: ⟦0.5", "must be a section of 'key: value' lines, not 0.5"),
    ("⟦split: {stratify: true}", "needs one of test_size, folds, test and name"),
    ("split: {test_size: ⟦1.5}", "between 0 and 1 or an integer of at least 1, not 1.5"),
    ("split: {test_size: ⟦1}", "must be a share below 1, or at least 2 samples"),
    ("split: {name: KFold, gap: ⟦2}", "is not for KFold, which takes n_splits, shuffle"),
    ("split: {name: ⟦GroupKFold}", "needs 'groups'"),
    ("split: {name: TimeSeriesSplit, test_size: ⟦0.2}", "must be how many samples"),
    ("split: {name: KFold, n_splits: ⟦1}", "must be at least 2 for KFold"),
    ("split: {test: ⟦mooons}", "unknown dataset 'mooons'; did you mean 'moons'"),
    ("split: {test: moons, stratify: ⟦true}", "divides nothing where 'test' holds"),
    ("split: {folds: 3, refit: ⟦true}", "is for test_size"),
    ("split: {test_size: .5, stratify: ⟦no}", "must be true or false, not the text 'no'"),
    ("split: {⟦folds:3}", "a space is missing after the colon: folds: 3"),
    ("model: {estimator: regressor}\nsplit: {folds: 3, stratify: ⟦true}", "no classes"),
    ("prepare: [⟦x.Y]", "write 'range_scale' or 'standardize' or module:Class"),
    ("prepare: [⟦{with_mean: true}]", "is required"),
    ("prepare: [⟦[a]]", "must be the name of a scikit-learn transformer or a mapping"),
    ("model: {max_neurons: ⟦3}", "must be an integer between 4 and 1000000 or 'auto', not 3"),
    ("model: {max_neurons: ⟦atuo}", "not the text 'atuo'; did you mean 'auto'"),
    ("model: {metric: {name: ⟦3}}", "must be the name of a metric"),
    ("model: {metric: ⟦null}", "must be the name of a metric or a mapping with a 'name'"),
    ("model: {growth: {name: hierarchical, base: {name: gsom, ⟦wen: x}}}", "'when'"),
    ("model: {estimator: regressor, labeller: ⟦majority}", "use 'local_linear'"),
    ("model: {labeller: ⟦mean}", "for estimator regressor, not for vq; use 'index'"),
    ("model: {estimator: regressor, growth: ⟦{name: directed, threshold: entropy}}", "labels"),
    ("model: {grid: hexagonal, growth: ⟦{name: fixed, rows: 5, wrap: true}}", "even number"),
    ("model: {grid: ⟦square_torus}", "a torus is for maps of fixed size"),
    ("model: {growth: growing_grid, spreading_factor: ⟦auto}", "has no spreading_factor"),
    ("model: {growth: {name: gsom, max_neurons: 9}, max_neurons: ⟦8}", "give it once"),
    ("model: {growth: {name: gsom, spreading_factor: ⟦auto}}", "own spreading_factor"),
    ("model: {metric: hamming, kernel: ⟦mexican_hat}", "take another kernel, or a metric"),
    ("model: {init: {name: array, values: ⟦[]}}", "lists of numbers, all of the same length"),
    ("model: {init: ⟦{name: array, values: [[1, 2]]}}", r"shape \(1, 2\).*shape \(4, 2\)"),
    ("measures: [⟦accuracy]\nmodel: {estimator: regressor}", "is for estimator classifier"),
    ("measures: [quantization_error, ⟦r2]", "is for estimator regressor, not for vq"),
    ("model: {⟦unlabelled: 3}", "is for estimator: classifier"),
]
BASE = "experiment: e\ndataset: iris\n"


@pytest.mark.parametrize(("text", "message"), ALONE)
def test_a_mistake_is_told_at_its_place(text, message, built_ins, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = BASE + text
    before = text[: text.index("⟦")]
    place = f"run.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}: "
    Path("run.yaml").write_text(text.replace("⟦", "") + "\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_experiment("run.yaml", registry=built_ins)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(place)
    assert re.search(message, line)


def test_a_start_of_another_width_is_told_once_the_data_is_known(built_ins, tmp_path):
    values = [[1.0, 2.0], [1.0, 3.0], [2.0, 2.0], [1.0, 1.0]]
    (tmp_path / "t.yaml").write_text(f"{BASE}model:\n  init: {{name: array, values: {values}}}\n")
    with pytest.raises(ConfigError, match=r":4:9: model.init: init has shape .*: shape \(4, 4\)"):
        prepare_run(load_experiment(tmp_path / "t.yaml", registry=built_ins))


FIELDS = [
    ("columns: [1, ⟦x]", "dataset.columns.1: must be an integer, not the text 'x'"),
    ("drop: [⟦1.5]", "dataset.drop.0: must be an integer or text, not 1.5"),
    ("size: ⟦[1, 2, 3]", "dataset.size: must be a list of 2, not a list"),
    ("table: {a: ⟦x}", "dataset.table.a: must be a number, not the text 'x'"),
    ("word: ⟦{a: 1}", "dataset.word: must be text, not a section of 'key: value' lines"),
    ("token: ⟦badly", "dataset.token: badly is no token that the store accepts"),
]


@pytest.mark.parametrize(("field", "message"), FIELDS)
def test_a_field_of_any_type_is_told_at_its_place(bench, field, message):
    text = f"experiment: e\ndataset: {{name: toy, {field}}}"
    column = text.rpartition("\n")[2].index("⟦") + 1
    assert bench.problem(text.replace("⟦", "")) == f"run.yaml:2:{column}: {message}"


@pytest.mark.parametrize("name", ["digits", "a/b", "a b/c_d-e.f", "1", "v1.2/x"])
def test_names_that_are_folders_are_fine(bench, small, name):
    assert bench.load(small, f"experiment='{name}'").experiment == name


@pytest.mark.parametrize("name", ["", " ", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\\b", "é"])
def test_names_that_leave_their_folder_are_refused(registry, name):
    with pytest.raises(ConfigError, match="experiment: must be letters"):
        parse_experiment({"experiment": name, "dataset": "toy"}, registry)


# ------------------------------------------------------------------------ several in one file


def written(rng):
    """Return a text with up to four mistakes, and of each its place and what is said."""
    sweep = rng.choice(["", "sweep: {grid: {model.kernel.end: [1, 2]}}", *SWEEPS])
    wrong = rng.sample([*LINES], rng.randint(0 if "⟦" in sweep else 1, 3 if sweep else 4))
    lines = []
    for key, (right, *choices) in LINES.items():
        lines += ["model:"] if key == "estimator" else []
        kept = key not in wrong or (sweep and key == "kernel")  # a sweep varies the kernel
        lines.append(right if kept else rng.choice(choices))
    lines.append(sweep)
    expected = [
        (f"run.yaml:{number}:{text.index('⟦') + 1}: ", text.partition("  # ")[2])
        for number, text in enumerate(lines, start=1)
        if "⟦" in text
    ]
    return "\n".join(lines).replace("⟦", "") + "\n", expected


@pytest.mark.parametrize("seed", range(6))
def test_every_one_of_several_mistakes_is_told_at_its_place(seed, built_ins, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = random.Random(seed)
    for _ in range(30):
        text, expected = written(rng)
        if not expected:
            continue
        Path("run.yaml").write_text(text, encoding="utf-8")
        load = load_sweep if is_sweep("run.yaml") else load_experiment
        with pytest.raises(ConfigError) as caught:
            load("run.yaml", registry=built_ins)
        told = str(caught.value).splitlines()
        for place, said in expected:
            found = [line for line in told if line.startswith(place)]
            assert len(found) == 1, f"{place}{said} in\n{text}\n{caught.value}"
            assert re.search(said, found[0]), f"{said} in {found[0]}"
        assert len(told) == len(expected), f"{text}\n{caught.value}"
