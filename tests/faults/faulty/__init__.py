"""Components that are broken, each in one way, and for each kind a ``fine`` one that is not.

The docstring of a class says what is wrong with it.
"""

from importlib import import_module

from dbgsom_core.api import Component, StoredType, hookimpl

DBGSOM_API_VERSION = 1


def _named(key):
    return "".join("_" + c.lower() if c.isupper() else c for c in key).strip("_")


def _offered(name):
    module = import_module(f"{__name__}.{name}")
    return {
        _named(key): one
        for key, one in vars(module).items()
        if isinstance(one, type) and issubclass(one, Component)
        if one.__module__ == module.__name__
    }


@hookimpl
def dbgsom_kernels():
    return _offered("kernels")


@hookimpl
def dbgsom_metrics():
    return _offered("metrics") | _offered("metric_parts")


@hookimpl
def dbgsom_growth_strategies():
    return _offered("growth")


@hookimpl
def dbgsom_labellers():
    return _offered("labellers")


@hookimpl
def dbgsom_datasets():
    return _offered("datasets")


@hookimpl
def dbgsom_measures():
    return _offered("measures")


@hookimpl
def dbgsom_figures():
    return _offered("figures")


@hookimpl
def dbgsom_trackers():
    return _offered("trackers")


@hookimpl
def dbgsom_engines():
    return _offered("engines")


def _steps():
    module = import_module(f"{__name__}.steps")
    return {
        _named(key): f"{module.__name__}:{key}"
        for key, one in vars(module).items()
        if isinstance(one, type) and one.__module__ == module.__name__
    }


@hookimpl
def dbgsom_prepare_steps():
    return _steps()


@hookimpl
def dbgsom_transformers():
    held = {"n_features_in_": "size[D]", "low_": "finite[D]"}
    return {name: StoredType(where, held) for name, where in _steps().items() if name != "unlisted"}
