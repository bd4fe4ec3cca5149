"""What a component can do is found out in one place, whatever it derives from."""

import inspect
import re
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest

from dbgsom_core import api
from dbgsom_core.interfaces.growth import GrowthAbilities
from dbgsom_core.interfaces.kernels import KernelAbilities
from dbgsom_core.interfaces.labellers import LabellerAbilities
from dbgsom_core.interfaces.measures import MeasureAbilities
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.interfaces.trackers import TrackerAbilities
from dbgsom_core.plugins.registry import kinds_of

BASES = {
    api.MetricComponent: MetricAbilities,
    api.KernelComponent: KernelAbilities,
    api.GrowthComponent: GrowthAbilities,
    api.LabellerComponent: LabellerAbilities,
    api.MeasureComponent: MeasureAbilities,
    api.TrackerComponent: TrackerAbilities,
}
REQUIRED = {"weight", "grow", "label"}


@pytest.mark.parametrize(("base", "record"), BASES.items())
def test_a_record_has_what_its_base_describes_and_the_same_defaults_without_it(base, record):
    class Plain(api.Component):
        """Has nothing."""

    known = {one.name for one in fields(record)} - {"name", "validate"}
    for name in known - {"scalar_params"}:
        assert getattr(record.of(Plain()), name) == getattr(record.of(base()), name)
    assert kinds_of(base) == []  # a base alone is no component of its kind
    described = re.findall(r"^\s*``(\w+)[^`]*``(?: \(\w+\))?:", inspect.getdoc(base), re.M)
    levels = {"assign", "scalar", "pairwise"} if base is api.MetricComponent else set()
    assert known - REQUIRED == set(described) | levels | set(base.model_fields)


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

    found, bare = GrowthAbilities.of(Peculiar()), GrowthAbilities.of(api.GrowthComponent())
    assert (found.max_neurons, found.fine_tuning, found.shape) == (9, 0.0, (2, 2))
    assert found.needs_classes
    assert (found.threshold(None), found.cap(10**6), bare.cap(10**6)) == (9.0, 9, None)
    assert np.isnan(bare.threshold(None))
    automatic = replace(found, max_neurons="auto")
    assert [automatic.cap(n) for n in (1, 40, 10**6, 10**9)] == [5, 32, 5000, 10_000]
    with pytest.raises(FrozenInstanceError):
        found.max_neurons = 3
