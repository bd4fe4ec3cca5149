"""A plugin as an author wrote it for plugin API 1. Never edit this file: it must keep working."""

from typing import ClassVar

import numpy as np

from dbgsom_core.api import Birth, Component, Data, KernelComponent, hookimpl

DBGSOM_API_VERSION = 1

heard = []


class Metric(Component):
    """Manhattan distance."""

    def pairwise(self, X, prototypes):
        return np.abs(X[:, None] - prototypes).sum(axis=2).astype(np.float64)


class Kernel(KernelComponent):
    """Halves with every width."""

    def weight(self, hops, width):
        return 0.5 ** (hops / width)


class Growth(Component):
    """One neuron in every fourth epoch."""

    def growing_threshold(self, summary):
        return summary.deviation

    def start_shape(self):
        return 2, 2

    def grow(self, som_map, state):
        if state.epoch % 4 or state.room == 0:
            return []
        for neuron in np.argsort(-state.errors, kind="stable"):
            for cell in som_map.free_cells(neuron):
                return [Birth(cell, som_map.prototypes[neuron] + 0.01, int(neuron))]
        return []


class Labeller(Component):
    """The most frequent class."""

    def label(self, evidence):
        return evidence.classes[evidence.class_counts.argmax(axis=1)]

    def probabilities(self, evidence):
        counts = evidence.class_counts + 1.0
        return counts / counts.sum(axis=1, keepdims=True)


class Dataset(Component):
    """Two groups of points."""

    def load(self):
        y = np.arange(60) % 2
        X = np.random.default_rng(0).normal(size=(60, 2)) + 9.0 * y[:, None]
        return Data(X=X, y=y, target_names=("left", "right"))


class Measure(Component):
    """The largest distance."""

    greater_is_better: ClassVar[bool] = False

    def compute(self, evaluation):
        return float(evaluation.distance.max())


class Figure(Component):
    """Hits as bars."""

    def draw(self, view):
        from matplotlib.figure import Figure as Sheet

        sheet = Sheet()
        sheet.add_subplot().bar(range(len(view.neuron_labels)), view.evaluation.hits)
        return sheet


class Tracker(Component):
    """Remembers how runs end."""

    def observer(self):
        class Ear:
            def dbgsom_run_finished(self, run, result):
                heard.append(sorted(result.measures))

        return Ear()


@hookimpl
def dbgsom_metrics():
    return {"frozen": Metric}


@hookimpl
def dbgsom_kernels():
    return {"frozen": Kernel}


@hookimpl
def dbgsom_growth_strategies():
    return {"frozen": Growth}


@hookimpl
def dbgsom_labellers():
    return {"frozen": Labeller}


@hookimpl
def dbgsom_datasets():
    return {"frozen": Dataset}


@hookimpl
def dbgsom_measures():
    return {"frozen": Measure}


@hookimpl
def dbgsom_figures():
    return {"frozen": Figure}


@hookimpl
def dbgsom_trackers():
    return {"frozen": Tracker}


@hookimpl
def dbgsom_run_started(run):
    heard.append(run.name)


@hookimpl
def dbgsom_epoch_finished(run, epoch):
    heard.append(epoch.epoch)


@hookimpl
def dbgsom_run_finished(run, result):
    heard.append(len(result.history))


@hookimpl
def dbgsom_run_failed(run, error):
    heard.append(repr(error))
