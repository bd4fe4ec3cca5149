"""A dbgsom plugin: the hooks that say what it offers.

Classes are given as ``"module:Class"``: they are imported when they are used, so that this plugin
costs nothing at the start.
"""

from dbgsom_core.api import hookimpl

DBGSOM_API_VERSION = 1


@hookimpl
def dbgsom_metrics():
    """Offer metrics."""
    return {"example_weighted": "dbgsom_example.metric:Weighted"}


@hookimpl
def dbgsom_kernels():
    """Offer neighbourhood kernels."""
    return {"example_plateau": "dbgsom_example.kernel:Plateau"}


@hookimpl
def dbgsom_growth_strategies():
    """Offer growth strategies."""
    return {"example_greedy": "dbgsom_example.growth:Greedy"}


@hookimpl
def dbgsom_initialisations():
    """Offer ways to start."""
    return {"example_diagonal": "dbgsom_example.start:Diagonal"}


@hookimpl
def dbgsom_grids():
    """Offer grids."""
    return {"example_corners": "dbgsom_example.grid:Corners"}


@hookimpl
def dbgsom_schedules():
    """Offer schedules of the kernel's width."""
    return {"example_steps": "dbgsom_example.schedule:Steps"}


@hookimpl
def dbgsom_stopping_rules():
    """Offer stopping rules."""
    return {"example_small_enough": "dbgsom_example.stopping:SmallEnough"}


@hookimpl
def dbgsom_labellers():
    """Offer labellers."""
    return {"example_confident": "dbgsom_example.labeller:Confident"}


@hookimpl
def dbgsom_engines():
    """Offer engines."""
    return {"example_device": "dbgsom_example.engine:Device"}
