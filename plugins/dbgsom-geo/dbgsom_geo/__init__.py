"""Components for maps of places on the globe, and of fields over it."""

from __future__ import annotations

from dbgsom_core.api import StoredType, hookimpl

DBGSOM_API_VERSION = 1

_STEPS = {"area_weights": "dbgsom_geo.steps:AreaWeights", "eof": "dbgsom_geo.steps:Eof"}


@hookimpl
def dbgsom_metrics() -> dict[str, str]:
    """Offer distances on the globe and between fields."""
    return {"haversine": "dbgsom_geo.haversine:Haversine", "ssim": "dbgsom_geo.ssim:Ssim"}


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


@hookimpl
def dbgsom_datasets() -> dict[str, str]:
    """Offer fields in NetCDF files."""
    return {"netcdf": "dbgsom_geo.netcdf:NetCDF"}


@hookimpl
def dbgsom_prepare_steps() -> dict[str, str]:
    """Offer weights by area and empirical orthogonal functions."""
    return _STEPS


@hookimpl
def dbgsom_transformers() -> dict[str, StoredType]:
    """Say what model files hold of them."""
    weights = {"n_features_in_": "size[D]", "weights_": "finite[D]"}
    functions = {
        "components": "integer | number",
        "n_features_in_": "size[D]",
        "mean_": "finite[D]",
        "functions_": "finite[C, D]",
        "explained_variance_ratio_": "finite[C]",
    }
    return {
        "area_weights": StoredType(
            _STEPS["area_weights"],
            weights | {"latitudes": "none | list of number | tuple of number"},
            fits=lambda step: bool((step.weights_ > 0).all()),
        ),
        "eof": StoredType(_STEPS["eof"], functions),
    }


@hookimpl
def dbgsom_figures() -> dict[str, str]:
    """Offer fields of neurons, when they come, and what follows them."""
    return {
        "composites": "dbgsom_geo.composites:Composites",
        "seasonal_frequency": "dbgsom_geo.frequencies:SeasonalFrequency",
        "transitions": "dbgsom_geo.frequencies:Transitions",
    }


@hookimpl
def dbgsom_trackers() -> dict[str, str]:
    """Offer a table of types by season."""
    return {"season_table": "dbgsom_geo.season_table:SeasonTable"}
