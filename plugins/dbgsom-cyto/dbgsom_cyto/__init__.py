"""Cytometry: FCS and h5ad files, arcsinh, minimum spanning trees, tables by cluster and file."""

from __future__ import annotations

from dbgsom_core.api import StoredType, hookimpl

DBGSOM_API_VERSION = 1

_ARCSINH = "dbgsom_cyto.arcsinh:Arcsinh"
_COFACTORS = "number | list of number | tuple of number | finite[D]"


@hookimpl
def dbgsom_datasets() -> dict[str, str]:
    """Offer FCS files and AnnData's h5ad files."""
    return {"fcs": "dbgsom_cyto.fcs:Fcs", "h5ad": "dbgsom_cyto.h5ad:H5ad"}


@hookimpl
def dbgsom_prepare_steps() -> dict[str, str]:
    """Offer the transformation of cytometry."""
    return {"arcsinh": _ARCSINH}


@hookimpl
def dbgsom_transformers() -> dict[str, StoredType]:
    """Allow the transformation in model files."""
    attributes = {
        "cofactor": _COFACTORS,
        "cofactors_": "finite[D]",
        "n_features_in_": "size[D]",
        "feature_names_in_?": "text[D]",
    }
    return {
        "arcsinh": StoredType(_ARCSINH, attributes, fits=lambda step: (step.cofactors_ > 0).all())
    }


@hookimpl
def dbgsom_figures() -> dict[str, str]:
    """Offer the tree of FlowSOM's users."""
    return {"minimum_spanning_tree": "dbgsom_cyto.tree:MinimumSpanningTree"}


@hookimpl
def dbgsom_trackers() -> dict[str, str]:
    """Offer tables by cluster and file."""
    return {"cluster_tables": "dbgsom_cyto.cluster_tables:ClusterTables"}
