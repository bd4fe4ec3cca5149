"""Cytometry: FCS and h5ad files, arcsinh, populations, spanning trees, tables by file."""

from __future__ import annotations

from dbgsom_core.api import StoredType, hookimpl

DBGSOM_API_VERSION = 1

_ARCSINH = "dbgsom_cyto.arcsinh:Arcsinh"
_STORED = StoredType(
    _ARCSINH,
    {
        "cofactor": "plain",
        "cofactors_": "finite[D]",
        "n_features_in_": "size[D]",
        "feature_names_in_?": "text[D]",
    },
    fits=lambda step: (step.cofactors_ > 0).all(),
)
_DATASETS = {"fcs": "dbgsom_cyto.fcs:Fcs", "h5ad": "dbgsom_cyto.h5ad:H5ad"}

dbgsom_datasets = hookimpl(lambda: _DATASETS)
dbgsom_prepare_steps = hookimpl(lambda: {"arcsinh": _ARCSINH})
dbgsom_transformers = hookimpl(lambda: {"arcsinh": _STORED})
dbgsom_labellers = hookimpl(lambda: {"populations": "dbgsom_cyto.populations:Populations"})
dbgsom_figures = hookimpl(lambda: {"minimum_spanning_tree": "dbgsom_cyto.tree:MinimumSpanningTree"})
dbgsom_trackers = hookimpl(lambda: {"cluster_tables": "dbgsom_cyto.cluster_tables:ClusterTables"})
