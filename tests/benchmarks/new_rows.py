"""What does `check` find on new rows, and how often is it wrong?

    pip install -e '.[bench]'
    python tests/benchmarks/new_rows.py groups|charts|labels|samples|sensors …

* groups: simulated cytometry, 7 known files, populations of 0 to 1 % in a new one: found (a third
  of its cells), share of its cells, other cells told.
* charts: rows up to the first alarm without a change, of `run_length` 370.
* labels: average precision of changed labels, 8 % of all, by probabilities of folds: those of
  `SomClassifier` and by cleanlab's normalized margin, both of a forest; expected over true number.
* samples: any label told apart without a difference, and power where one is 2.5 times as frequent:
  `report.sample`, and a linear mixed model of statsmodels on rows.
* sensors: AUC of novelty of a year of hours with a stuck, shuffled or drifting sensor, by steps.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from scipy.signal import lfilter
from sklearn import datasets
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dbgsom_core import SomClassifier, SomVQ, check
from dbgsom_core.estimators.new_rows import adjusted, find_suspects
from dbgsom_core.experiments.measuring import SampleTests
from dbgsom_core.experiments.series import Cyclic, Lags, Rolling

SHARES = (0, 0.001, 0.0025, 0.005, 0.01)


def groups():
    sys.path.insert(0, str(Path(__file__).parents[2] / "plugins" / "dbgsom-cyto" / "tests"))
    import simulated

    for shift in (0.1, 0.2):
        found = {share: [] for share in SHARES}
        for seed in range(40, 52):
            cells = simulated.simulate(cells=15000, files=8, seed=seed, batch_shift=shift)
            X = np.arcsinh(cells.intensities / 150).astype(np.float32)
            kind = np.flatnonzero(cells.rare)[seed % 2]
            is_new, rng = cells.population == kind, np.random.default_rng(seed)
            known = np.flatnonzero((cells.file < 7) & ~is_new)
            vq = SomVQ(spreading_factor=0.9, max_neurons=225).fit(X[known])
            others = np.flatnonzero((cells.file == 7) & ~is_new)
            for share in SHARES:
                drawn = rng.choice(np.flatnonzero(is_new), round(share * len(others)))
                rows = np.concatenate([others, drawn])
                told = check(vq, X[rows], X[known], by=cells.file[known]).rows["new_group"] > 0
                right = told[len(others) :].mean() if len(drawn) else 0.0
                wrong = told[: len(others)].sum()
                found[share].append((right > 1 / 3, right, wrong))
        for share, lines in found.items():
            print("shift", shift, "share", share, np.mean(lines, axis=0).round(3))


def charts():
    def white(rng, n, width):
        return rng.normal(size=(n, width))

    def remembering(rng, n, width):
        return lfilter([1], [1, -0.7], rng.normal(size=(n + 200, width)), axis=0)[200:]

    for draw, width, n in ((white, 3, 2000), (white, 10, 2000), (remembering, 4, 3000)):
        waited = []
        for seed in range(10):
            rng = np.random.default_rng(seed)
            known = draw(rng, n, width)
            vq = SomVQ().fit(known)
            for _ in range(30):
                found = check(vq, draw(rng, 3000, width), known, time=np.arange(3000))
                waited.append(found.alarms["alarm"][0] + 1 if len(found.alarms) else 3000)
        error = np.std(waited) / len(waited) ** 0.5
        print(draw.__name__, width, f"{np.mean(waited):.0f} ± {error:.0f} rows")


def labels():
    loaders = (datasets.load_digits, datasets.load_breast_cancer, datasets.load_wine)
    tables = {load.__name__: load(return_X_y=True) for load in (*loaders, datasets.load_iris)}
    for seed in range(10):
        shape = {"n_informative": 8, "n_classes": 3 + seed % 3, "class_sep": 1.5}
        made = datasets.make_classification(1500, 15, random_state=seed, **shape)
        tables[f"made {seed}"] = made
    means = []
    for name, (X, y) in tables.items():
        lines = []
        for seed in range(3):
            rng = np.random.default_rng(100 + seed)
            is_wrong, count = rng.random(len(y)) < 0.08, y.max() + 1
            given = np.where(is_wrong, (y + rng.integers(1, count, len(y))) % count, y)
            line, folds = [], StratifiedKFold(5, shuffle=True, random_state=seed)
            som = make_pipeline(StandardScaler(), SomClassifier())
            for model in (som, RandomForestClassifier(300, random_state=0)):
                shares = cross_val_predict(model, X, given, cv=folds, method="predict_proba")
                own = shares[np.arange(len(y)), given]
                others = np.where(np.arange(count) == given[:, None], -1, shares).max(axis=1)
                for doubt in (-own, others - own):
                    line.append(average_precision_score(is_wrong, doubt))
                if model is som:
                    expected = find_suspects(given, shares)[1] / is_wrong.sum()
            lines.append([*line, expected])
        means.append(np.mean(lines, axis=0))
        print(name, means[-1].round(3))
    print("mean", np.mean(means, axis=0).round(3))


def samples():
    import statsmodels.api as sm

    def drawn(rng, count, factor, cells=300):
        shares, group = rng.dirichlet(np.full(6, 2.0)), np.arange(count) % 2
        rows = []
        for treated in group:
            means = np.where(np.arange(6) == 0, factor**treated, 1.0) * shares
            chances = rng.dirichlet(40 * means / means.sum())
            rows.append(rng.multinomial(cells, chances) / cells)
        return np.array(rows), group

    def mixed(shares, group, cells=300):
        pvalues = []
        for counts in np.rint(shares.T * cells).astype(int):
            y = np.concatenate([np.arange(cells) < count for count in counts]).astype(float)
            x = sm.add_constant(np.repeat(group, cells).astype(float))
            sample = np.repeat(np.arange(len(group)), cells)
            try:
                pvalues.append(sm.MixedLM(y, x, groups=sample).fit().pvalues[1])
            except np.linalg.LinAlgError:
                pvalues.append(1.0)
        return adjusted(np.nan_to_num(pvalues, nan=1.0))

    for count in (8, 12):
        rng, lines = np.random.default_rng(0), []
        for _ in range(100):
            line = []
            for factor in (1.0, 2.5):
                shares, group = drawn(rng, count, factor)
                for pvalues in (SampleTests.of(shares, group).pvalues[1], mixed(shares, group)):
                    line.append((pvalues <= 0.05).any() if factor == 1 else pvalues[0] <= 0.05)
            lines.append(line)
        print(count, "samples: false ours, mixed, power ours, mixed", np.mean(lines, axis=0))


def sensors():
    def year(seed, n=8760):
        rng, hours = np.random.default_rng(seed), np.arange(n)
        by_day = np.sin(2 * np.pi * (hours % 24 - 9) / 24)
        by_year = np.sin(2 * np.pi * (hours / n - 0.25))
        heat = 10 + 8 * by_year + 4 * by_day + lfilter([1.2], [1, -0.97], rng.normal(size=n))
        pressure = 1010 + lfilter([0.8], [1, -0.995], rng.normal(size=n))
        load = 50 + 10 * by_day - 0.8 * heat + 2 * rng.normal(size=n)
        flow = 0.6 * load + 1.5 * rng.normal(size=n)
        return np.column_stack([hours % 24, heat, pressure, load, flow])

    cyclic, sensor = Cyclic({0: 24}), [1, 2, 3, 4]
    rolling = Rolling(sensor, 12, ("std",))
    steps = {
        "single rows": [cyclic],
        "lags": [Lags(sensor, (1,), True), cyclic],
        "rolling and lags": [rolling, Lags(sensor, (1, 24), True), cyclic],
    }
    for kind in ("stuck", "shuffled", "drifting"):
        lines = []
        for seed in range(3):
            known, new, rng = year(seed), year(100 + seed), np.random.default_rng(seed)
            is_bad = np.zeros(len(new), bool)
            for start in rng.integers(200, 8300, 8).tolist():
                rows, column = slice(start, start + 120), int(rng.integers(1, 5))
                if kind == "stuck":
                    new[rows, column] = new[start, column]
                elif kind == "shuffled":
                    new[rows, column] = rng.permutation(new[rows, column])
                else:
                    new[rows, column] += np.linspace(0, 3 * known[:, column].std(), 120)
                is_bad[rows] = True
            line = []
            for before in steps.values():
                model = make_pipeline(*before, StandardScaler(), SomVQ()).fit(known)
                line.append(roc_auc_score(is_bad, -model.score_samples(new)))
            lines.append(line)
        print(kind, dict(zip(steps, np.mean(lines, axis=0).round(2), strict=True)))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for section in sys.argv[1:]:
        {one.__name__: one for one in (groups, charts, labels, samples, sensors)}[section]()
