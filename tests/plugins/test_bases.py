"""The base of growth strategies: its defaults, and what fields and properties may override."""

import warnings
from typing import ClassVar

import numpy as np
from pydantic import Field

from dbgsom_core import api
from dbgsom_core.interfaces.growth import start_shape


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
