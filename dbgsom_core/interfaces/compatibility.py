"""Which parts go with which estimator: a mean answers for a regressor, a majority does not."""

from __future__ import annotations

from typing import Any

USUAL_LABELLERS = {"vq": "index", "classifier": "majority", "regressor": "mean"}


def suits(component: Any, estimator: str) -> bool:
    """Return whether a component names this kind of estimator, or names none at all."""
    kinds = getattr(component, "estimators", None)
    return kinds is None or estimator in kinds


def measure_suits(measure: Any, estimator: str) -> bool:
    """Return whether a measure means something for this kind of estimator when it is named.

    ``estimators`` of a measure says in which default lists it stands. Beyond that, what is made for
    classes or clusters says nothing of a regressor, nor the other way round.
    """
    kinds = tuple(getattr(measure, "estimators", ()))
    if estimator == "regressor":
        return not kinds or "regressor" in kinds
    return kinds != ("regressor",)


def why_not(kind: str, name: str, component: Any, estimator: str) -> str | None:
    """Return why a labeller or a growth strategy cannot serve an estimator, in a sentence.

    Parameters
    ----------
    kind : {"labeller", "growth"}
    name : str
        What the component is called.
    component : Labeller or GrowthStrategy
    estimator : {"vq", "classifier", "regressor"}

    Returns
    -------
    str or None
        With the cure; None when it can.
    """
    if kind == "labeller" and not suits(component, estimator):
        kinds = " or ".join(component.estimators)
        return (
            f"labeller {name} is for estimator {kinds}, not for {estimator}; "
            f"use '{USUAL_LABELLERS[estimator]}'"
        )
    if kind == "growth" and estimator == "regressor" and getattr(component, "needs_classes", False):
        return (
            f"growth {name} needs class labels, which a regressor has not; "
            "use another threshold or strategy"
        )
    return None


def check_suits(parts: Any, estimator: str) -> None:
    """Raise ValueError when the labeller or the growth strategy cannot serve this estimator."""
    for kind in ("labeller", "growth"):
        part = getattr(parts, kind)
        problem = why_not(kind, type(part).__name__, part, estimator)
        if problem is not None:
            raise ValueError(problem)
