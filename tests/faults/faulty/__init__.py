"""Components that are broken, each in one way, and for each kind a ``Fine`` one that is not.

The docstring of a class says what is wrong with it.
"""

from importlib import import_module

from dbgsom_core.api import StoredType, hookimpl

DBGSOM_API_VERSION = 1


@hookimpl
def dbgsom_transformers():
    module = import_module(f"{__name__}.steps")
    held = {"n_features_in_": "size[D]", "low_": "finite[D]"}
    return {
        name.lower(): StoredType(f"{module.__name__}:{name}", held)
        for name, cls in vars(module).items()
        if isinstance(cls, type) and cls.__module__ == module.__name__ and name != "Unlisted"
    }
