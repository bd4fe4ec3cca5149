"""Saving, loading and asking fitted models: one file, without pickle; nothing in it is run."""

from __future__ import annotations

from importlib.metadata import packages_distributions, version
from typing import Any

from dbgsom_core.estimators import classifier, clustering, regressor  # noqa: F401 - files hold them
from dbgsom_core.estimators.answer_columns import answer_table
from dbgsom_core.estimators.model_file import FORMAT, FittedModel, load, save
from dbgsom_core.interfaces.component import nested_fields
from dbgsom_core.interfaces.version import __version__
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, get_registry
from dbgsom_core.training.parts import PARTS

__all__ = ["FORMAT", "FittedModel", "answer_table", "distributions", "load", "save"]


def distributions(model: Any) -> dict[str, str]:
    """Return the name and version of each distribution that a fitted model needs.

    dbgsom-core, the libraries that its answers come from, and the packages of the plugins and
    prepare steps that the model is made of: other installed plugins are not among them.

    Parameters
    ----------
    model : FittedModel, SomVQ, SomClassifier or SomRegressor

    Raises
    ------
    PluginError
        A part's class is offered by no plugin.
    """
    if not isinstance(model, FittedModel):
        model = FittedModel((), model)
    libraries = ["numpy", "numba", "scipy", "scikit-learn"] + ["pandas"] * bool(model.columns)
    needed = {OWN_DISTRIBUTION: __version__} | {name: version(name) for name in libraries}
    registry, built = get_registry(), model.estimator._parts
    parts = [(kind, getattr(built, kind)) for kind in PARTS]
    for kind, part in parts:
        parts += [
            (inner, getattr(part, field)) for field, inner in nested_fields(type(part)).items()
        ]
        offered = registry.identify(kind, part)
        if offered.distribution != OWN_DISTRIBUTION:
            needed[offered.distribution] = offered.version
    modules = {type(step).__module__.partition(".")[0] for _, step in model.steps}
    modules -= {"dbgsom_core", "dbgsom_plugins", "sklearn"}
    packages = packages_distributions() if modules else {}  # which reads all that is installed
    for module in sorted(modules):
        for name in packages.get(module, ())[:1]:
            needed.setdefault(name, version(name))
    return needed
