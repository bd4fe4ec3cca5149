"""``labels_`` of training samples that are not in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

LEAVES = "_ended_in"  # the attribute that holds them: the smallest integers that do


class LateLabels:
    """The label of each training sample, (n,): what its leaf answers, looked up when asked for.

    Of samples in memory the labels are an attribute, which hides this one. Of others one byte a
    row is kept, its leaf, or more for more than 256; files of models hold neither.

    Raises
    ------
    AttributeError
        The estimator is not fitted, or it was loaded and its samples were not in memory.
    """

    def __get__(self, estimator: Any, owner: type[Any] | None = None) -> Any:
        if estimator is None:
            return self
        leaves = vars(estimator).get(LEAVES)
        if leaves is not None:
            return np.asarray(estimator.leaf_labels_[leaves])
        name = type(estimator).__name__
        if "leaf_labels_" in vars(estimator):
            raise AttributeError(
                f"this {name} was loaded, and labels_ of samples that were read in blocks are not "
                "saved: predict(X) tells them"
            )
        raise AttributeError(f"'{name}' object has no attribute 'labels_': it is not fitted yet")
