"""Prepare steps."""

import os

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin


class Fine(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Nothing is wrong."""

    def fit(self, X, y=None):
        self.low_, self.n_features_in_ = np.min(X, axis=0).astype(float), X.shape[1]
        return self

    def transform(self, X):
        return X - self.low_

    def inverse_transform(self, X):
        return X + self.low_


class Undocumented(Fine):
    __doc__ = None


class Beside(Fine):
    """A row depends on those beside it."""

    def transform(self, X):
        return X - np.min(X, axis=0)


class Chance(Fine):
    """Rows are drawn by lot."""

    def transform(self, X):
        return X - self.low_ + np.random.default_rng().random()


class Restless(Fine):
    """It learns by lot."""

    def fit(self, X, y=None):
        super().fit(X)
        self.low_ = self.low_ + np.random.default_rng().random()
        return self


class Writing(Fine):
    """Fitting writes into the samples."""

    def fit(self, X, y=None):
        super().fit(X)
        X -= self.low_
        return self


class Learning(Fine):
    """It goes on learning from what it transforms."""

    def transform(self, X):
        self.low_ = np.minimum(self.low_, np.min(X, axis=0))
        return X - self.low_


class Dropping(Fine):
    """A row is left out."""

    def transform(self, X):
        return (X - self.low_)[1:]


class Infinite(Fine):
    """It divides by zero."""

    def transform(self, X):
        with np.errstate(divide="ignore"):
            return 1.0 / np.round(X - self.low_)


class Wanting(Fine):
    """It needs targets."""

    def fit(self, X, y=None):
        return super().fit(X[y == y[0]])


class OneWay(Fine):
    """What it does is not undone."""

    def inverse_transform(self, X):
        return X


class Misnamed(TransformerMixin, BaseEstimator):
    """It has fewer names than columns."""

    fit, transform = Fine.fit, Fine.transform

    def get_feature_names_out(self, names=None):
        return ["all"]


class Unlisted(Fine):
    """No model file may hold it."""


class Ending(Fine):
    """It ends the process."""

    def transform(self, X):
        os._exit(0)
