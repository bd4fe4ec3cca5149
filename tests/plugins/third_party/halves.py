"""A prepare step with a name, which model files may hold."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from dbgsom_core.api import StoredType, hookimpl

DBGSOM_API_VERSION = 1


class Halves(TransformerMixin, BaseEstimator):
    """Columns over half of their range; ``clip`` keeps them between 0 and 2."""

    def __init__(self, clip=False):
        self.clip = clip

    def fit(self, X, y=None):
        self.low_ = np.min(X, axis=0).astype(float)
        self.half_ = np.maximum(np.ptp(X, axis=0) / 2, 1e-12)
        return self

    def transform(self, X):
        scaled = (X - self.low_) / self.half_
        return np.clip(scaled, 0, 2) if self.clip else scaled


@hookimpl
def dbgsom_prepare_steps():
    return {"halves": "halves:Halves"}


@hookimpl
def dbgsom_transformers():
    columns = {"low_": "finite[D]", "half_": "finite[D]", "clip": "flag"}
    return {"halves": StoredType("halves:Halves", columns)}
