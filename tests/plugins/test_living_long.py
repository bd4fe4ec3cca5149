"""Old names of components and fields work on, with a warning; functions serve as metrics."""

import pickle
import types
import warnings
from typing import ClassVar

import numpy as np
import pytest
from pydantic import Field
from sklearn.base import clone

from dbgsom_core import SomVQ, persistence
from dbgsom_core.api import Deprecation, KernelComponent, hookimpl
from dbgsom_core.config import parse_experiment
from dbgsom_core.errors import ComponentError, PluginError, UnknownNameError
from dbgsom_core.interfaces.version import DbgsomDeprecationWarning
from dbgsom_core.plugins.registry import get_registry
from dbgsom_plugins.training import Array

DBGSOM_API_VERSION = 1
FIXED = {"name": "fixed", "rows": 2, "columns": 3}


class Slope(KernelComponent):
    """Falls by a power."""

    renamed: ClassVar[dict] = {"exponent": Deprecation("1.1", "2.0", "power")}
    power: float = Field(default=1.0, gt=0, description="how fast it falls")

    def weight(self, hops, width):
        """Return the weights (H,)."""
        return (1.0 + np.asarray(hops) / width) ** -self.power


@pytest.fixture
def renamed():
    module = types.ModuleType("dbgsom_slope")
    module.DBGSOM_API_VERSION = 1
    offers = {"slope": Slope, "ramp": Deprecation("1.1", "2.0", "slope")}
    module.dbgsom_kernels = hookimpl(lambda: offers)
    get_registry().register(module, "slope", "dbgsom-slope", "1.2")
    yield get_registry()
    get_registry.cache_clear()


@pytest.mark.parametrize("name", ["ramp", "dbgsom-slope:ramp"])
def test_a_component_answers_to_its_old_name(name, renamed):
    told = r"kernel 'ramp' is deprecated since dbgsom-slope 1.1 .* removed in 2.0; use slope"
    with pytest.warns(DbgsomDeprecationWarning, match=told):
        assert renamed.build("kernel", name) == Slope()
    assert "ramp" not in renamed.names("kernel")
    assert renamed.name_of("kernel", Slope()) == "dbgsom-slope:slope"
    with pytest.raises(UnknownNameError):
        renamed.without(["dbgsom-slope"]).lookup("kernel", name)


def test_a_field_answers_to_its_old_name_in_python_yaml_and_models(renamed, iris, tmp_path):
    told = r"Slope\.exponent is deprecated since .* 1\.1 and will be removed in 2\.0; use power"
    with pytest.warns(DbgsomDeprecationWarning, match=told):
        assert Slope(exponent=2.0) == Slope(power=2.0)
    with pytest.warns(DbgsomDeprecationWarning, match=told):
        made = parse_experiment(
            {
                "experiment": "e",
                "dataset": "iris",
                "model": {"kernel": {"name": "slope", "exponent": 2}},
            },
            renamed,
        )
    assert made.model.params["kernel"] == Slope(power=2.0)
    assert made.resolved["model"]["kernel"]["power"] == 2.0
    with pytest.raises(ValueError, match="exponent is the old name of power; give the new one"):
        Slope(exponent=2.0, power=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = SomVQ(kernel={"name": "slope", "power": 2.0}, growth=FIXED, epochs=3).fit(iris[0])
        fit.save(tmp_path / "m.npz")
        assert persistence.load(tmp_path / "m.npz").kernel == Slope(power=2.0)


def manhattan(one, other):
    """Return the sum of the gaps."""
    return np.abs(one - other).sum()


def test_a_function_is_a_metric_that_no_file_can_name(iris, tmp_path):
    X = iris[0][::3]
    named = {"name": "manhattan", "prototype": "mean"}
    fit, same = (SomVQ(metric=one, growth=FIXED, epochs=3).fit(X) for one in (manhattan, named))
    np.testing.assert_allclose(fit.weights_, same.weights_, rtol=1e-9)
    assert clone(fit).metric is manhattan
    assert np.array_equal(pickle.loads(pickle.dumps(fit)).predict(X), fit.predict(X))
    with pytest.raises(PluginError, match=r"manhattan cannot be saved.*plugins new"):
        fit.save(tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda one, other: -1.0, "negative distance"),
        (lambda one, other: np.nan, "not finite"),
        (lambda one, other: one, "ValueError"),
        (lambda one: 0.0, "TypeError"),
    ],
)
def test_what_a_function_does_wrong_is_told(function, told, iris):
    with pytest.raises(ComponentError, match=rf"metric, the function .*lambda.*{told}"):
        SomVQ(metric=function, growth=FIXED, epochs=2).fit(iris[0])


def test_lists_do_for_tuples_and_nested_keys_are_known(iris):
    assert Array(values=[[1.0, 2.0]]).values == ((1.0, 2.0),)
    with pytest.raises(ValueError, match=r"growth\.base\.row unknown key; did you mean 'rows'"):
        SomVQ(growth={"name": "hierarchical", "base": {"name": "fixed", "row": 2}}).fit(iris[0])
    with pytest.raises(ValueError, match=r"init\.values must be a list .*, not 3"):
        SomVQ(init={"name": "array", "values": 3}).fit(iris[0])
