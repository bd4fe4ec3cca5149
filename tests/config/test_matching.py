"""Sections that do not go with the estimator are told at their place."""

import pytest

from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError
from dbgsom_core.plugins.registry import Registry

BASE = "experiment: e\ndataset: iris\n"
WRONG = {
    "model: {estimator: regressor, labeller: majority}": "3:41: model.labeller: labeller "
    "'majority' is for estimator vq or classifier, not for regressor; use 'local_linear'",
    "model: {estimator: classifier, labeller: {name: mean}}": "3:42: model.labeller: labeller "
    "'mean' is for estimator regressor, not for classifier; use 'kernel_vote'",
    "model: {labeller: mean}": "3:19: model.labeller: labeller 'mean' is for estimator regressor, "
    "not for vq; use 'index'",
    "model: {estimator: regressor, growth: {name: directed, threshold: entropy}}": "3:39: "
    "model.growth: growth 'directed' needs class labels, which a regressor has not; "
    "use another threshold or strategy",
    "model: {grid: hexagonal, growth: {name: fixed, rows: 5, columns: 6, wrap: true}}": "3:34: "
    "model.growth: a hexagonal torus needs an even number of rows, not 5: rows take turns half a "
    "cell aside, and the highest is joined with the lowest",
    "model: {growth: {name: fixed, rows: 2, columns: 6, wrap: true}}": "3:17: model.growth: a "
    "square torus of 2 × 6 neurons is too small: with fewer than 3 rows or 3 columns a neuron "
    "would be linked twice with another or itself",
    "model: {grid: hexagonal, growth: {name: hierarchical, base: {name: fixed, rows: 3, wrap: "
    "true}}}": "3:34: model.growth: a hexagonal torus needs an even number of rows, not 3: rows "
    "take turns half a cell aside, and the highest is joined with the lowest",
    "model: {growth: growing_grid, spreading_factor: auto}": "3:49: model.spreading_factor: growth "
    "strategy GrowingGrid has no spreading_factor; leave spreading_factor='auto' out",
    "model: {growth: {name: gsom, max_neurons: 9}, max_neurons: 8}": "3:60: model.max_neurons: "
    "max_neurons=8 contradicts growth's max_neurons=9; give it once",
    "model: {metric: hamming, kernel: mexican_hat}": "3:34: model.kernel: kernel MexicanHat has "
    "negative weights, and metric Hamming makes prototypes in a way that knows none: take another "
    "kernel, or a metric whose prototypes are means",
    "model: {init: {name: array, values: []}}": "3:37: model.init.values: must be lists of "
    "numbers, all of the same length and none empty",
    "model: {init: {name: array, values: [[1, 2]]}}": "3:15: model.init: init has shape (1, 2), "
    "but the map starts with 2 × 2 neurons in 2 dimensions: shape (4, 2)",
    "measures: [accuracy]\nmodel: {estimator: regressor}": "3:12: measures.0: measure 'accuracy' "
    "is for estimator classifier, not for regressor",
    "model: {estimator: classifier, labeller: kernel_vote, neurons: 9}": "3:55: model.neurons: "
    "unknown key; did you mean 'max_neurons'?",
    "measures: [quantization_error, r2]": "3:32: measures.1: measure 'r2' is for estimator "
    "regressor, not for vq",
    "model: {estimator: regressor}\nsplit: {folds: 3, stratify: true}": "4:29: split.stratify: "
    "must be false for a regressor, whose targets are no classes",
}


@pytest.fixture(scope="module")
def built_ins():
    return Registry.discover(own_only=True)


def load(tmp_path, text, built_ins):
    (tmp_path / "run.yaml").write_text(BASE + text + "\n", encoding="utf-8")
    return load_experiment(tmp_path / "run.yaml", registry=built_ins)


@pytest.mark.parametrize("text", WRONG)
def test_it_is_told_with_the_cure(text, tmp_path, built_ins):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, built_ins)
    assert str(caught.value).endswith(f"run.yaml:{WRONG[text]}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "model: {estimator: regressor, labeller: mean}\nmeasures: [r2, rmse, distortion]",
        "model: {estimator: classifier}\nmeasures: [accuracy]\nsplit: {folds: 3, stratify: true}",
        "model: {labeller: majority}\nmeasures: [adjusted_rand]",
        "model: {labeller: {name: clusters, n_clusters: 3}}",
        "model: {estimator: classifier, growth: {name: directed, threshold: entropy}}",
        "model: {estimator: regressor}\nsplit: {test_size: 0.2, stratify: false}",
    ],
)
def test_what_goes_together_loads(text, tmp_path, built_ins):
    load(tmp_path, text, built_ins)
