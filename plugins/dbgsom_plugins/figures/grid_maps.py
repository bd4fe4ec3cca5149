"""Maps drawn cell by cell: labels, hits, errors, density, distances between neighbours, images."""

from __future__ import annotations

from dbgsom_plugins.figures.child_maps import ChildMaps
from dbgsom_plugins.figures.density_map import DensityMap
from dbgsom_plugins.figures.error_map import ErrorMap
from dbgsom_plugins.figures.hit_map import HitMap
from dbgsom_plugins.figures.label_map import LabelMap
from dbgsom_plugins.figures.prototype_images import PrototypeImages
from dbgsom_plugins.figures.u_matrix import UMatrix

__all__ = [
    "ChildMaps",
    "DensityMap",
    "ErrorMap",
    "HitMap",
    "LabelMap",
    "PrototypeImages",
    "UMatrix",
]
