"""Components for maps of places on the globe."""

from __future__ import annotations

from dbgsom_core.api import hookimpl

DBGSOM_API_VERSION = 1


@hookimpl
def dbgsom_metrics() -> dict[str, str]:
    """Offer the great-circle distance."""
    return {"haversine": "dbgsom_geo.haversine:Haversine"}


@hookimpl
def dbgsom_kernels() -> dict[str, str]:
    """Offer the wavelet's lobe."""
    return {"ricker": "dbgsom_geo.ricker:Ricker"}


@hookimpl
def dbgsom_growth_strategies() -> dict[str, str]:
    """Offer growth that a validation measure stops."""
    return {"validated": "dbgsom_geo.validated:Validated"}


@hookimpl
def dbgsom_labellers() -> dict[str, str]:
    """Offer label propagation."""
    return {"propagated": "dbgsom_geo.propagated:Propagated"}
