"""What may be given to figures from Python; what may not is told in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def map_within(model: Any, called: str = "model") -> tuple[Any, Any]:
    """Return the fitted estimator in a model, and the model with its prepare steps or None.

    Parameters
    ----------
    model : SomVQ, SomClassifier, SomRegressor, FittedModel, or a finished run with a ``model``
    called : str
        What the message calls it.

    Raises
    ------
    TypeError
        It is something else.
    NotFittedError
        It was not fitted.
    """
    found = getattr(model, "model", model)
    with_steps = found if hasattr(found, "undone") else None
    estimator = found if with_steps is None else with_steps.estimator
    if isinstance(estimator, type) or not isinstance(getattr(estimator, "_kind", None), str):
        what = f"the class {model.__name__}" if isinstance(model, type) else _a(model)
        raise TypeError(
            f"{called} must be a fitted SomVQ, SomClassifier or SomRegressor, or the model of a "
            f"run, not {what}"
        )
    check_is_fitted(estimator)
    return estimator, with_steps


def name_given(value: Any, called: str, what: str) -> str:
    """Return a text; ``what`` says whose name it has to be.

    Raises
    ------
    TypeError
        It is no text.
    """
    if not isinstance(value, str):
        raise TypeError(f"{called} must be {what}, not {_a(value)}")
    return value


def names_given(names: Any, features: int, called: str = "names") -> list[str]:
    """Return the names of the features as texts.

    Raises
    ------
    TypeError
        They are no sequence of names.
    ValueError
        There are too few or too many of them.
    """
    if isinstance(names, (str, bytes)) or not hasattr(names, "__len__"):
        raise TypeError(f"{called} must be {features} names, one a feature, not {_a(names)}")
    if len(names) != features:
        raise ValueError(f"{called} has {len(names)} names, and the map {features} features")
    return [str(name) for name in names]


def image_shape_given(shape: Any) -> tuple[int, int] | None:
    """Return the shape of images, None without one.

    Raises
    ------
    ValueError
        It is not two whole numbers above 0.
    """
    if shape is None:
        return None
    sides = list(shape) if isinstance(shape, Sequence) or hasattr(shape, "tolist") else []
    if len(sides) != 2 or not all(isinstance(one, Integral) and int(one) > 0 for one in sides):
        raise ValueError(
            f"image_shape must be (rows, columns), two whole numbers above 0, not {shape!r}"
        )
    return int(sides[0]), int(sides[1])


def axes_given(ax: Any) -> Axes | None:
    """Return where to draw, None without it.

    Raises
    ------
    TypeError
        It is no matplotlib Axes.
    """
    if ax is None:
        return None
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        cure = ""
        if hasattr(ax, "flat"):
            cure = ": of several choose one, such as axes[0]"
        elif hasattr(ax, "add_subplot"):
            cure = ": a figure makes some with add_subplot()"
        raise TypeError(f"ax must be matplotlib Axes, not {_a(ax)}{cure}")
    return ax


def _a(value: Any) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    told = f"{value!r}" if isinstance(value, (int, float, str)) and len(repr(value)) < 40 else ""
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}" + (f", {told}" if told else "")
