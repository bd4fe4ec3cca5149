"""What a component can do is found out in one place, whatever it derives from."""

import inspect
import re
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest

from dbgsom_core import SomVQ, api
from dbgsom_core.interfaces.growth import GrowthAbilities
from dbgsom_core.interfaces.kernels import KernelAbilities
from dbgsom_core.interfaces.labellers import LabellerAbilities
from dbgsom_core.interfaces.measures import MeasureAbilities
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.interfaces.trackers import TrackerAbilities
from dbgsom_core.plugins.offers import kinds_of

BASES = {
    api.MetricComponent: MetricAbilities,
    api.KernelComponent: KernelAbilities,
    api.GrowthComponent: GrowthAbilities,
    api.LabellerComponent: LabellerAbilities,
    api.MeasureComponent: MeasureAbilities,
    api.TrackerComponent: TrackerAbilities,
}


REQUIRED = {
    api.KernelComponent: "weight",
    api.GrowthComponent: "grow",
    api.LabellerComponent: "label",
}


@pytest.mark.parametrize(("base", "record"), BASES.items())
def test_a_component_without_the_base_can_do_what_a_bare_one_can(base, record):
    class Plain(api.Component):
        """Has nothing."""

    for one in fields(record):
        if one.name not in ("name", "scalar_params", "judge"):
            assert getattr(record.of(Plain()), one.name) == getattr(record.of(base()), one.name)
    assert kinds_of(base) == []  # a base alone is no component of its kind


@pytest.mark.parametrize(("base", "record"), BASES.items())
def test_a_record_has_what_its_base_describes(base, record):
    described = re.findall(r"^\s*``(\w+)[^`]*``(?: \(\w+\))?:", inspect.getdoc(base), re.M)
    known = {one.name for one in fields(record)} - {"name", "judge", REQUIRED.get(base)}
    levels = {"assign", "scalar", "pairwise"} if base is api.MetricComponent else set()
    assert known == set(described) | levels | set(base.model_fields)


def test_what_a_component_says_counts_and_none_is_the_default():
    class Peculiar(api.Component):
        """Says what there is to say."""

        max_neurons: int = 9
        fine_tuning: float | None = None
        start_shape: None = None

        @property
        def needs_classes(self):
            return True

        def growing_threshold(self, summary):
            return self.max_neurons

        def grow(self, som_map, state):
            return ()

    found = GrowthAbilities.of(Peculiar())
    assert (found.max_neurons, found.fine_tuning, found.shape) == (9, 0.0, (2, 2))
    assert found.needs_classes
    assert found.threshold(None) == 9.0
    assert found.cap(10**6) == 9
    assert GrowthAbilities.of(api.GrowthComponent()).cap(10**6) is None
    automatic = replace(found, max_neurons="auto")
    assert [automatic.cap(n) for n in (1, 40, 10**6, 10**9)] == [5, 32, 5000, 10_000]
    assert np.isnan(GrowthAbilities.of(api.GrowthComponent()).threshold(None))
    with pytest.raises(FrozenInstanceError):
        found.max_neurons = 3


def test_a_metric_that_derives_from_the_base_trains_the_same_map(iris):
    maps = []
    for base in (api.Component, api.MetricComponent):

        class Squares(base):
            """Squared Euclidean distance of rows scaled to unit length."""

            def prepare(self, X):
                return X / np.linalg.norm(X, axis=1, keepdims=True)

            centre = prepare

            def pairwise(self, X, prototypes):
                return np.square(X[:, None] - prototypes).sum(axis=2)

        maps.append(SomVQ(metric=Squares(), epochs=12).fit(iris[0]))
    np.testing.assert_array_equal(maps[0].weights_, maps[1].weights_)
    np.testing.assert_allclose(np.linalg.norm(maps[0].weights_, axis=1), 1.0)
