"""Figures."""

from dbgsom_core.api import Component


class Fine(Component):
    """Nothing is wrong."""

    def draw(self, view):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2, 2))
        figure.add_subplot(title=view.title).plot(view.evaluation.errors)
        return figure


class Nothing(Fine):
    """Returns nothing."""

    def draw(self, view):
        super().draw(view)


class Moving(Fine):
    """Changes the map."""

    def draw(self, view):
        view.evaluation.som_map.prototypes[:] = 0
        return super().draw(view)
