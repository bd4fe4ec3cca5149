"""Which installed distributions a fitted model needs to be loaded and asked."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from typing import Any

from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.interfaces.component import Component, nested_fields
from dbgsom_core.interfaces.version import __version__
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, get_registry
from dbgsom_core.training.parts import PARTS, Absent

_LIBRARIES = ("numpy", "numba", "scipy", "scikit-learn")
_KNOWN_ALREADY = {"dbgsom_core", "dbgsom_plugins", "sklearn"}  # modules


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
    known = model if isinstance(model, FittedModel) else FittedModel((), model)
    needed = {OWN_DISTRIBUTION: __version__}
    libraries = [*_LIBRARIES, *(["pandas"] if known.columns is not None else [])]
    needed |= {name: version(name) for name in libraries}
    for kind, part in _parts(known.estimator):
        offered = get_registry().identify(kind, part)
        if offered.distribution != OWN_DISTRIBUTION:
            needed[offered.distribution] = offered.version
    modules = {type(step).__module__.partition(".")[0] for _, step in known.steps} - _KNOWN_ALREADY
    packages = packages_distributions() if modules else {}  # which reads all that is installed
    for module in sorted(modules):
        for name in packages.get(module, ())[:1]:
            if name != OWN_DISTRIBUTION:
                needed[name] = version(name)
    return needed


def _parts(estimator: Any) -> Iterator[tuple[str, Component]]:
    for kind in PARTS:
        part = getattr(estimator._parts, kind)
        if isinstance(part, Absent):
            continue
        yield kind, part
        for field, inner in nested_fields(type(part)).items():
            yield inner, getattr(part, field)
