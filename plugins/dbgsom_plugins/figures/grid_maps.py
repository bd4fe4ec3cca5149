"""Maps drawn cell by cell: labels, hits, and distances between neighbours."""

from __future__ import annotations

from dbgsom_plugins.figures.child_maps import ChildMaps
from dbgsom_plugins.figures.hit_map import HitMap
from dbgsom_plugins.figures.label_map import LabelMap
from dbgsom_plugins.figures.u_matrix import UMatrix

__all__ = ["ChildMaps", "HitMap", "LabelMap", "UMatrix"]
