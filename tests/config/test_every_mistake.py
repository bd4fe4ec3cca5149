"""Up to four mistakes in one file: each is told, once and at its place, and nothing else is."""

import random
import re
from pathlib import Path

import pytest

from dbgsom_core.config import is_sweep, load_experiment, load_sweep
from dbgsom_core.errors import ConfigError
from dbgsom_core.plugins.registry import Registry

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


@pytest.mark.parametrize("seed", range(10))
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
