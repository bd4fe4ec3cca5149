"""Components for maps of places on the globe, and of fields over it."""

from __future__ import annotations

from dbgsom_core.api import StoredType, hookimpl

DBGSOM_API_VERSION = 1

_STEPS = {"area_weights": "dbgsom_geo.steps:AreaWeights", "eof": "dbgsom_geo.steps:Eof"}
_WEIGHTS = {"n_features_in_": "size[D]", "weights_": "finite[D]", "latitudes": "plain"}
_FUNCTIONS = {
    "components": "integer | number",
    "n_features_in_": "size[D]",
    "mean_": "finite[D]",
    "functions_": "finite[C, D]",
    "explained_variance_ratio_": "finite[C]",
}
_TYPES = {
    "area_weights": StoredType(_STEPS["area_weights"], _WEIGHTS),
    "eof": StoredType(_STEPS["eof"], _FUNCTIONS),
}
_METRICS = {"haversine": "dbgsom_geo.haversine:Haversine", "ssim": "dbgsom_geo.ssim:Ssim"}
_FIGURES = {
    "composites": "dbgsom_geo.composites:Composites",
    "seasonal_frequency": "dbgsom_geo.frequencies:SeasonalFrequency",
    "transitions": "dbgsom_geo.frequencies:Transitions",
}

dbgsom_metrics = hookimpl(lambda: _METRICS)
dbgsom_kernels = hookimpl(lambda: {"ricker": "dbgsom_geo.ricker:Ricker"})
dbgsom_growth_strategies = hookimpl(lambda: {"validated": "dbgsom_geo.validated:Validated"})
dbgsom_labellers = hookimpl(lambda: {"propagated": "dbgsom_geo.propagated:Propagated"})
dbgsom_datasets = hookimpl(lambda: {"netcdf": "dbgsom_geo.netcdf:NetCDF"})
dbgsom_prepare_steps = hookimpl(lambda: _STEPS)
dbgsom_transformers = hookimpl(lambda: _TYPES)
dbgsom_figures = hookimpl(lambda: _FIGURES)
dbgsom_trackers = hookimpl(lambda: {"season_table": "dbgsom_geo.season_table:SeasonTable"})
