"""The base of growth strategies: its defaults, and what fields and properties may override."""

import warnings
from typing import ClassVar

import numpy as np
from pydantic import Field

from dbgsom_core import api
from dbgsom_core.interfaces.growth import neuron_cap, start_grid, start_shape
from dbgsom_core.plugins.registry import get_registry


class Still(api.GrowthComponent):
    """Never grows."""

    def grow(self, som_map, state):
        return []


def test_fields_properties_and_class_attributes_go_before_defaults():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pydantic's, of fields that hide attributes

        class Peculiar(Still):
            """Says what there is to say."""

            max_neurons: int = Field(default=9, description="the cap")
            removes: ClassVar[bool] = True

            @property
            def needs_classes(self):
                return True

            def start_shape(self):
                return 3, 4

    peculiar, bare = Peculiar(max_neurons=8), Still()
    assert (peculiar.max_neurons, peculiar.needs_classes, peculiar.removes) == (8, True, True)
    assert (bare.max_neurons, bare.needs_classes, bare.removes) == (None, False, False)
    assert (bare.fine_tuning, bare.link_pull, bare.remembered()) == (0.0, 0.0, None)
    assert np.isnan(bare.growing_threshold(None))
    shapes = start_shape(peculiar), start_shape(bare), start_shape(bare, api.LINE)
    assert shapes == ((3, 4), (2, 2), (1, 4))


def test_caps_and_grids_follow_the_number_of_samples_and_features():
    automatic = get_registry().build("growth", {"name": "directed", "max_neurons": "auto"})
    assert [neuron_cap(automatic, n) for n in (1, 40, 10**6, 10**9)] == [5, 32, 5000, 10_000]
    assert neuron_cap(Still(), 10**6) is None
    adaptive = get_registry().build("grid", "adaptive")
    assert start_grid(Still(), adaptive, 1) == api.LINE
    assert start_grid(Still(), adaptive, 2) == api.HEXAGONAL
