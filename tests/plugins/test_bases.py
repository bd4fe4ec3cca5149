"""One base a kind: what it requires, what it has a default for, and what fields may override."""

import warnings
from typing import ClassVar

import numpy as np
import pytest
from pydantic import Field

from dbgsom_core import api
from dbgsom_core.hookspecs import KINDS
from dbgsom_core.interfaces.growth import neuron_cap, start_grid, start_shape
from dbgsom_core.interfaces.guard import Guarded, guarded
from dbgsom_core.plugins.registry import Registry, get_registry

REQUIRED = {
    "metric": "assign or pairwise (or scalar)",
    "kernel": "weight",
    "growth": "grow",
    "initialisation": "prototypes",
    "grid": "lattice",
    "schedule": "width",
    "stopping": "stop",
    "labeller": "label",
    "dataset": "load",
    "measure": "compute and greater_is_better",
    "figure": "draw",
    "tracker": "observer",
    "engine": "over",
}


BASES = {kind: getattr(api, f"{kind.capitalize()}Component") for kind in REQUIRED}


class Still(api.GrowthComponent):
    """Never grows."""

    def grow(self, som_map, state):
        return []


def test_each_kind_has_its_base():
    assert REQUIRED.keys() == KINDS.keys()


@pytest.mark.parametrize(("kind", "base"), BASES.items())
def test_a_base_says_what_its_components_must_have(kind, base):
    assert kind == base.KIND
    assert base.lacks() == REQUIRED[kind]
    if kind != "metric":
        with pytest.raises(TypeError, match="abstract"):
            base()


@pytest.mark.parametrize("kind", BASES)
def test_what_does_not_derive_from_its_base_is_refused_in_a_sentence_that_names_it(kind):
    class Stranger(api.Component):
        """Has methods, and no base."""

        def weight(self, hops, width):
            return hops

    base = BASES[kind].__name__
    with pytest.raises(ValueError, match=rf"^Stranger is no {kind}: .* dbgsom_core\.api\.{base}$"):
        get_registry().build(kind, Stranger())


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

    found, bare = Peculiar(max_neurons=8), Still()
    assert (found.max_neurons, found.needs_classes, found.removes) == (8, True, True)
    assert (bare.max_neurons, bare.needs_classes, bare.removes) == (None, False, False)
    assert (bare.fine_tuning, bare.link_pull, bare.remembered()) == (0.0, 0.0, None)
    assert np.isnan(bare.growing_threshold(None))
    assert (start_shape(found), start_shape(bare), start_shape(bare, api.LINE)) == (
        (3, 4),
        (2, 2),
        (1, 4),
    )
    assert not hasattr(api.GrowthComponent, "max_neurons")


def test_the_core_makes_caps_and_grids_of_it():
    automatic = get_registry().build("growth", {"name": "directed", "max_neurons": "auto"})
    assert [neuron_cap(automatic, n) for n in (1, 40, 10**6, 10**9)] == [5, 32, 5000, 10_000]
    assert neuron_cap(Still(), 10**6) is None
    adaptive = get_registry().build("grid", "adaptive")
    assert start_grid(Still(), adaptive, 1) == api.LINE
    assert start_grid(Still(), adaptive, 2) == api.HEXAGONAL


def test_only_third_parties_are_wrapped():
    own = get_registry().build("growth", "fixed")
    assert guarded(own) is own
    wrapped = guarded(Still())
    assert type(wrapped) is Guarded
    assert isinstance(wrapped, Still)
    assert guarded(wrapped) is wrapped


def test_defaults_of_a_base_run_on_checked_methods():
    class Wild(api.MetricComponent):
        """Its centres are not finite."""

        def pairwise(self, X, prototypes):
            return np.ones((len(X), len(prototypes)))

        def centre(self, means):
            return means * np.nan

    with pytest.raises(api.DbgsomError, match=r"metric Wild .*centre returned prototypes from nan"):
        guarded(Wild()).centred(np.ones((2, 3)))


def test_an_offer_of_another_kind_is_refused_when_it_is_looked_up():
    hook = api.hookimpl(lambda: {"still": Still}, specname="dbgsom_kernels")
    plugin = type("plugin", (), {"DBGSOM_API_VERSION": 1, "dbgsom_kernels": staticmethod(hook)})
    registry = Registry()
    registry.register(plugin, "mine", "dbgsom-mine", "2")
    with pytest.raises(
        api.DbgsomError,
        match=r"kernel 'still' of dbgsom-mine 2 must be a class derived from .*KernelComponent",
    ):
        registry.find("kernel", "still")
