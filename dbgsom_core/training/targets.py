"""Targets of the training samples: encoded classes, or numbers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import boxcox1p, inv_boxcox1p
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from dbgsom_core.engine.results import Flags, Floats, Integers
from dbgsom_core.errors import callers_level

UNLABELLED = -1  # code of a sample without a class
_LISTED = 10  # classes in a message

LARGEST_TARGET = 1e150  # whose squares can be added
EVEN = 0.5  # the threshold with which the most probable class is answered
_ROUNDING = 1e-12  # of sums of weights
TRANSFORMS = ("log", "sqrt", "yeo-johnson")


@dataclass(frozen=True)
class TargetTransform:
    """An increasing function of numeric targets, in place of which a map learns its values."""

    name: str | None = None  # one of `TRANSFORMS`; None: targets as given
    power: float = 1.0  # λ of Yeo & Johnson (2000)

    @classmethod
    def fit(cls, name: str | None, y: Floats) -> Self:
        """Return the function of this name for targets y (n,), nan where unknown."""
        if name != "yeo-johnson":
            return cls(name)
        from sklearn.preprocessing import PowerTransformer  # slow to import

        power = PowerTransformer(standardize=False).fit(y[:, None]).lambdas_[0]
        # With other powers some numbers, which answers may be, are the values of no target.
        return cls(name, float(np.clip(power, 0, 2)))

    def apply(self, y: Floats) -> Floats:
        """Return the values of targets (n,); raises ValueError where one has none."""
        outside: Flags = np.zeros(len(y), dtype=bool)
        if self.name == "log":
            outside = y <= 0
        elif self.name == "sqrt":
            outside = y < 0
        if outside.any():
            row = int(outside.argmax())
            raise ValueError(
                f"target_transform={self.name!r} takes no target like {y[row]:g}, in row {row} of "
                "y (from 0): correct it, or take 'yeo-johnson'"
            )
        if self.name == "log":
            return np.log(y)
        if self.name == "sqrt":
            return np.sqrt(y)
        if self.name == "yeo-johnson":
            return self._by_sign(boxcox1p, y)
        return y

    def undo(self, answers: Floats) -> Floats:
        """Return the targets of values; the root of no target is below 0."""
        if self.name == "log":
            return np.exp(answers)
        if self.name == "sqrt":
            return np.square(np.maximum(answers, 0))
        if self.name == "yeo-johnson":
            return self._by_sign(inv_boxcox1p, answers)
        return answers

    def _by_sign(self, function: Any, numbers: Floats) -> Floats:
        power = np.where(numbers < 0, 2 - self.power, self.power)
        return np.asarray(np.copysign(function(np.abs(numbers), power), numbers))


AS_GIVEN = TargetTransform()


@dataclass(frozen=True)
class Target:
    """The targets of n training samples."""

    y: NDArray[Any]  # classes as given, or numbers as the map learns them
    classes: NDArray[Any] | None = None
    codes: Integers | None = None
    # The least and the largest number of earlier samples, (2,), whose means are among y.
    earlier: Floats | None = None
    transform: TargetTransform = AS_GIVEN  # of which numbers are the values

    def subset(self, rows: NDArray[Any]) -> Target:
        """Return the targets of some samples, with the same classes."""
        codes = None if self.codes is None else self.codes[rows]
        return replace(self, y=self.y[rows], codes=codes)

    @property
    def known(self) -> Flags:
        """Samples whose target is known, (n,)."""
        if self.codes is not None:
            return np.asarray(self.codes != UNLABELLED)
        if self.y.dtype.kind != "f":
            return np.ones(len(self.y), dtype=bool)
        return np.asarray(~np.isnan(self.y))

    @property
    def limits(self) -> Floats | None:
        """The least and the largest number of all samples, (2,); None for classes."""
        if self.classes is not None or self.y.dtype.kind != "f":
            return None
        known = self.y[self.known]
        if self.earlier is not None:
            known = np.append(known, self.earlier)
        return np.array([known.min(), known.max()])

    def with_classes(self, more: Any) -> Target:
        """Return the targets with further classes, which may have no samples."""
        if self.classes is None or self.codes is None:
            return self
        more = np.asarray(more)
        if len(more) == 0:
            return self
        if _is_text(more) != _is_text(self.classes):
            raise ValueError(
                "the class labels mix texts and numbers: "
                f"{self.classes[:1].tolist()[0]!r} and {more[:1].tolist()[0]!r}"
            )
        classes = np.union1d(self.classes, more)
        known = np.searchsorted(classes, self.classes)
        codes = np.where(self.codes == UNLABELLED, UNLABELLED, known[self.codes])
        return Target(self.y, classes, codes)


def class_weights(
    given: str | Mapping[Any, float], target: Target, weights: Floats | None
) -> Floats:
    """Return by what the weights (n,) of samples are multiplied, as scikit-learn's class_weight.

    ``"balanced"``: all classes weigh the same, and all samples as much as before. Classes that a
    mapping leaves out, and samples without a class, have 1. A class may be named by its text, as
    in configurations. ValueError where it names others and leaves some out.
    """
    assert target.classes is not None
    assert target.codes is not None
    labels = target.classes.tolist()
    factors = np.ones(len(target.classes) + 1)  # by code; the last is that of UNLABELLED
    if isinstance(given, str):
        known_weights = None if weights is None else weights[target.known]
        totals = np.bincount(target.codes[target.known], known_weights, len(labels))
        even = totals.sum() / max(np.count_nonzero(totals), 1)
        np.divide(even, totals, out=factors[:-1], where=totals > 0)
        return factors[target.codes]
    keys = [_key_of(label, given) for label in labels]
    unknown = [key for key in given if key not in keys]
    if unknown and not {*keys} <= {*given}:
        known = ", ".join(map(repr, labels[:_LISTED]))
        if len(labels) > _LISTED:
            known += ", …"
        raise ValueError(
            f"class_weight names {unknown[0]!r}, which is no class of these samples ({known}): "
            "leave it out, or name all classes that they have"
        )
    factors[:-1] = [given.get(key, 1.0) for key in keys]
    return factors[target.codes]


def positive_code(
    threshold: Any, positive: Any, target: Target, weights: Floats | None = None
) -> int:
    """Return which of two classes a threshold is for: ``positive``, None: the rarer one.

    It may be named by its text; of two as frequent it is the second. ValueError where there are
    not two classes, none is named so, or too few samples are there to choose a threshold by.
    """
    assert target.classes is not None
    assert target.codes is not None
    labels = target.classes.tolist()
    if len(labels) != 2:
        raise ValueError(
            f"threshold and positive decide between two classes, and y has {len(labels)}: leave "
            "them out"
        )
    known = target.known if weights is None else target.known & (weights > 0)
    counts = np.bincount(target.codes[known], minlength=2)
    if not isinstance(threshold, Real) and counts.min() < 2:
        raise ValueError(
            f"threshold={threshold!r} is chosen on samples that folds hold out, and class "
            f"{labels[counts.argmin()]!r} has {counts.min()}: give a number"
        )
    if positive is None:
        totals = np.bincount(target.codes[known], None if weights is None else weights[known], 2)
        return int(totals[1] <= totals[0])
    for code, label in enumerate(labels):
        if _key_of(label, {positive: 1}) == positive:
            return code
    raise ValueError(f"positive is {positive!r}, and the classes are {labels[0]!r}, {labels[1]!r}")


def best_threshold(
    wanted: Any, is_positive: Flags, probabilities: Floats, weights: Floats | None
) -> float:
    """Return the probability from which on positive is best answered, of those (n,) that occur.

    ``wanted`` is ``"balanced"``, or a mapping from ``recall`` or ``cost``; of equally good ones the
    largest is returned.
    """
    from sklearn.metrics import roc_curve  # slow to import

    false, true, thresholds = roc_curve(
        is_positive, probabilities, sample_weight=weights, drop_intermediate=False
    )
    false, true, thresholds = false[1:], true[1:], thresholds[1:]  # the first is infinite
    if wanted == "balanced":
        best = np.argmax(true - false)
    elif "recall" in wanted:
        best = np.argmax(true >= wanted["recall"] - _ROUNDING)
    else:
        share = float(np.average(is_positive, weights=weights))
        costs = (1 - share) * wanted["cost"]["false_positive"] * false
        costs += share * wanted["cost"]["false_negative"] * (1 - true)
        best = np.argmin(costs)
    return float(thresholds[best])


def _key_of(label: Any, given: Mapping[Any, float]) -> Any:
    if label in given:
        return label
    text = str(label)
    return text.lower() if isinstance(label, bool) and text not in given else text  # as YAML does


def encode_classes(
    X: Any, y: Any, unlabelled: Any = "auto", known_classes: NDArray[Any] | None = None
) -> Target:
    """Return class labels y (n,) for samples X, encoded.

    Parameters
    ----------
    X : array or sparse matrix (n, D)
    y : array-like (n,)
    unlabelled : "auto", None or label
        Label of samples without a class, besides None, nan and pandas.NA. ``"auto"``: -1, with a
        warning, where all other labels are integers of at least 0, and at least two. None: no
        label.
    known_classes : array (C,), optional
        Classes known before; with them y may have no labels, and they count as other labels beside
        -1.

    Raises
    ------
    ValueError
        There are no labels, their number is wrong, or they cannot be compared.
    """
    y = _column(y)
    check_consistent_length(X, y)
    missing = _is_unlabelled(y, unlabelled, known_classes)
    known = y[~missing]
    if len(known) == 0 and known_classes is not None:
        return Target(y, known_classes, np.full(len(y), UNLABELLED, dtype=np.int64))
    if len(known) == 0:
        raise ValueError("no sample has a class label: y holds only marks of unlabelled samples")
    if known.dtype == object:
        texts = {isinstance(label, str) for label in known}
        if len(texts) > 1:
            raise ValueError(
                "the class labels in y mix texts and numbers; use one kind, and name the "
                "label of 'no class' with unlabelled=…"
            )
        if missing.any() and not texts.pop():
            known = np.array(known.tolist())  # numbers that stood beside None
    check_classification_targets(known)
    classes, known_codes = np.unique(known, return_inverse=True)
    codes = np.full(len(y), UNLABELLED, dtype=np.int64)
    codes[~missing] = known_codes
    return Target(y, classes, codes)


def mark_labelled(y: Any, unlabelled: Any, classes: Any) -> Flags | None:
    """Return which of further samples have a class, bool (n,), or None when all have one."""
    y = _column(y)
    classes = np.asarray(classes)
    if isinstance(unlabelled, str) and unlabelled == "auto":
        unlabelled = -1 if classes.dtype.kind in "iu" and -1 not in classes else None
    missing = _is_unlabelled(y, unlabelled)
    return ~missing if missing.any() else None


def _is_text(labels: NDArray[Any]) -> bool:
    return labels.dtype.kind in "US" or isinstance(labels.ravel()[0], str)


def _column(y: Any) -> NDArray[Any]:
    if isinstance(y, (list, tuple)) and any(label is None for label in y):
        y = np.array(y, dtype=object)
    check_single_target(y, "MultiOutputClassifier")
    y = column_or_1d(y, warn=True)
    if y.dtype == np.float16:  # which model files do not hold
        y = y.astype(np.float32)
    return np.asarray(y)


def check_single_target(y: Any, instead: str) -> None:
    """Raise ValueError where y has several columns; ``instead`` is a class of scikit-learn."""
    shape = np.asarray(y).shape
    if len(shape) == 2 and shape[1] > 1:
        raise ValueError(
            f"y has {shape[1]} targets, and a map takes one: wrap the estimator in "
            f"sklearn.multioutput.{instead}"
        )


def _is_unlabelled(
    y: NDArray[Any], unlabelled: Any, known_classes: NDArray[Any] | None = None
) -> Flags:
    missing: Flags = np.zeros(len(y), dtype=bool)
    if y.dtype == object:
        missing = np.array([_is_missing(label) for label in y], dtype=bool)
    elif y.dtype.kind == "f":  # pandas turns None beside numbers into nan
        missing = np.isnan(y)
    if unlabelled is None:
        return missing
    if not (isinstance(unlabelled, str) and unlabelled == "auto"):
        marked: Flags = np.array([label == unlabelled for label in y], dtype=bool)
        return missing | marked
    known = y[~missing]
    if _marks_with_minus_one(known, known_classes):
        marked = known.astype(np.int64) == -1
        missing[~missing] = marked
        warnings.warn(
            f"-1 in y is taken as 'no class' ({marked.sum()} samples); say so with unlabelled=-1, "
            "or give unlabelled=None if it is a class",
            stacklevel=callers_level(),
        )
    return missing


def _is_missing(label: Any) -> bool:
    if label is None:
        return True
    differs = label != label  # nan and NaT differ from themselves, pandas.NA does not say
    return bool(differs) if isinstance(differs, (bool, np.bool_)) else True


def _marks_with_minus_one(known: NDArray[Any], classes: NDArray[Any] | None) -> bool:
    # Whether -1 stands beside at least two other labels, all of them integers of at least 0.
    are_integers = known.dtype.kind == "i"
    if known.dtype == object:
        are_integers = all(isinstance(label, (int, np.integer)) for label in known)
    if not are_integers or len(known) == 0:
        return False
    labels = np.unique(known.astype(np.int64))
    if classes is not None and len(classes):
        if classes.dtype.kind not in "iu" or -1 in classes:
            return False
        labels = np.union1d(labels, classes)
    return bool(labels[0] == -1 and len(labels) >= 3)
