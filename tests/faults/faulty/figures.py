"""Figures."""

import os
import sys

from dbgsom_core.api import Component, Html


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


class Word(Fine):
    """A word."""

    def draw(self, view):
        return "a picture"


class Global(Fine):
    """Leaves a figure of pyplot open."""

    def draw(self, view):
        import matplotlib

        matplotlib.use("agg")
        import matplotlib.pyplot as plt

        return plt.figure(figsize=(1, 1))


class Page(Fine):
    """A page that is none."""

    def draw(self, view):
        return Html("hello")


class Numbers(Fine):
    """A page of numbers."""

    def draw(self, view):
        return Html(3)


class Writing(Fine):
    """Writes into the labels."""

    def draw(self, view):
        view.neuron_labels[:] = view.neuron_labels[0]
        return super().draw(view)


class Moving(Fine):
    """Changes the map."""

    def draw(self, view):
        view.evaluation.som_map.prototypes[:] = 0
        return super().draw(view)


class Sorting(Fine):
    """Sorts the errors in place."""

    def draw(self, view):
        view.evaluation.errors.sort()
        return super().draw(view)


class Unwritable(Fine):
    """A figure that cannot be written."""

    def draw(self, view):
        figure = super().draw(view)
        figure.suptitle(r"$\nonsense{$")
        return figure


class Raising(Fine):
    """Raises."""

    def draw(self, view):
        raise RuntimeError("no picture today")


class Exiting(Fine):
    """Calls sys.exit with success."""

    def draw(self, view):
        sys.exit(0)


class Ending(Fine):
    """Ends the process with success."""

    def draw(self, view):
        os._exit(0)
