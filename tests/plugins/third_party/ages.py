"""A figure of several images, one of them a page."""

from dbgsom_core.api import Component, Html, hookimpl

DBGSOM_API_VERSION = 1


class Ages(Component):
    """The map after the first and after the last births, and how many neurons there are."""

    def draw(self, view):
        from matplotlib.figure import Figure

        som_map = view.evaluation.som_map
        births = som_map.birth_epochs
        drawn = {}
        for name, epoch in (("first", births.min()), ("last", births.max())):
            drawn[name] = Figure(figsize=(3, 3))
            drawn[name].add_subplot().scatter(*som_map.plane_positions[births <= epoch].T)
        return {**drawn, "told": Html(f"<!doctype html><html><p>{len(births)} neurons</p></html>")}


dbgsom_figures = hookimpl(lambda: {"ages": Ages})
