"""MLflow from Python: what fits of estimators leave in runs, and models of estimators.

MLflow is imported when one of these is called; the tracker ``mlflow`` does the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

from dbgsom_core.errors import stand_between

__all__ = ["autolog", "flush", "load_model", "log_model", "save_model"]

stand_between("mlflow")  # mlflow.sklearn.autolog wraps fits, too


def autolog(
    log_models: bool = True,
    log_figures: bool | Sequence[str] = True,
    log_datasets: bool = True,
    measures: Sequence[str] | None = None,
    wait: bool = False,
    disable: bool = False,
) -> None:
    """Log every fit of `SomVQ`, `SomClassifier` and `SomRegressor` to MLflow from now on.

    A fit is logged into the active run, or one of its own, before it returns: parameters and names,
    as ``dbgsom run`` has them, metrics of each epoch, measures of the training data, figures, data
    set and model. A second fit in the same run becomes its child, and so does each fit of a search
    such as ``GridSearchCV``. What cannot be logged is warned of and stops no fit; a fit that raises
    ends its run as FAILED. Calls of ``partial_fit`` are not logged.

    Parameters
    ----------
    log_models, log_datasets : bool
    log_figures : bool or sequence of str
        Names of figures; True: ``label_map`` and ``growth_curve``.
    measures : sequence of str, optional
        Names of measures of the training data; without it ``quantization_error``,
        ``topographic_error``, and where there are targets ``accuracy`` or ``r2``.
    wait : bool
        Does nothing: a fit is logged when it returns.
    disable : bool
        Log no more fits.
    """
    _python().autolog(
        disable,
        log_models=log_models,
        log_figures=log_figures,
        log_datasets=log_datasets,
        measures=measures,
    )


def flush() -> None:
    """Do nothing: a fit is logged when it returns."""


def log_model(
    model: Any,
    name: str = "model",
    *,
    input_example: Any = None,
    signature: Any = "any",
    registered_model_name: str | None = None,
    wheels: Sequence[str | PathLike[str]] = (),
    **more: Any,
) -> Any:
    """Log a fitted model into the active run, or one of its own.

    Parameters
    ----------
    model : SomVQ, SomClassifier, SomRegressor, FittedModel or Pipeline
        A pipeline that ends in one of them has transformers that model files may hold.
    name : str
    input_example : DataFrame or array (m, D), optional
        A few raw samples; a DataFrame names the features.
    signature : ModelSignature, "any" or "typed"
        ``"typed"``: named columns are ``double`` or ``string``, which MLflow checks 100 times as
        fast as ``any``, and refuses int64 and numbers as categories then.
    registered_model_name : str, optional
        Registered model that this becomes a version of.
    wheels : sequence of path, optional
        Of distributions that the model needs and no package index has: they are kept with it, and
        its requirements name them. ``pip wheel --no-deps -w FOLDER SOURCE`` makes them.
    **more
        What ``mlflow.models.Model.log`` takes, such as ``metadata``.

    Returns
    -------
    mlflow.models.model.ModelInfo

    Raises
    ------
    ModelFileError, PluginError
        The model cannot be saved without pickle.
    DbgsomError
        A wheel is missing, or of nothing that the model needs.
    """
    return _python().log_model(
        model,
        name,
        input_example=input_example,
        signature=signature,
        registered_model_name=registered_model_name,
        wheels=wheels,
        **more,
    )


def save_model(
    model: Any,
    path: str,
    *,
    input_example: Any = None,
    signature: Any = "any",
    wheels: Sequence[str | PathLike[str]] = (),
) -> None:
    """Write a fitted model as the folder of an MLflow model, which must not exist.

    Parameters and errors are those of `log_model`.
    """
    _python().save_model(
        model, path, input_example=input_example, signature=signature, wheels=wheels
    )


def load_model(uri: str) -> Any:
    """Return the estimator, or the `FittedModel`, that an address in MLflow means.

    Nothing that is stored is run. ``mlflow.pyfunc.load_model`` is the other way to load it.

    Parameters
    ----------
    uri : str
        ``models:/NAME@ALIAS``, ``runs:/ID/NAME``, a folder, and whatever MLflow takes.

    Raises
    ------
    DbgsomError
        There is no model of dbgsom.
    """
    return _python().load_model(uri)


def _python() -> Any:
    from dbgsom_core.plugins.registry import get_registry

    tracker: Any = get_registry().find("tracker", "mlflow")
    return tracker.python()
