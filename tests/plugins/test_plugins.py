"""The registry: broken plugins are records, names are looked up kindly."""

import types

import pytest
from pydantic import Field

from dbgsom_core import api
from dbgsom_core.api import KernelComponent, MeasureComponent, MetricComponent, hookimpl
from dbgsom_core.errors import PluginError, UnknownNameError
from dbgsom_core.hookspecs import KINDS
from dbgsom_core.plugins import registry as plugins_module
from dbgsom_core.plugins.registry import Registry, get_registry


class Laplace(KernelComponent):
    """A kernel of a third party."""

    power: float = Field(default=1.0, description="how fast it falls")

    def weight(self, hops, width):
        return 2.0 ** (-hops / width)


def plugin(version=1, **hooks):
    module = types.ModuleType("third_party")
    if version is not None:
        module.DBGSOM_API_VERSION = version
    for name, answer in hooks.items():
        hook = answer if callable(answer) else lambda answer=answer: answer
        setattr(module, name, hookimpl(hook))
    return module


class FakePoint:
    """An entry point that loads what it is given, or raises it."""

    def __init__(self, name, loads, distribution):
        self.name, self.value, self._loads = name, f"{name}:x", loads
        self.dist = types.SimpleNamespace(name=distribution, version="1.0")

    def load(self):
        if isinstance(self._loads, BaseException):
            raise self._loads
        return self._loads


@pytest.fixture
def installed(monkeypatch):
    """Discover with the built-ins and the given fake entry points."""

    def discover(*points, **options):
        real = list(plugins_module.entry_points(group=plugins_module.GROUP))
        monkeypatch.setattr(plugins_module, "entry_points", lambda group: [*points, *real])
        return Registry.discover(**options)

    return discover


def test_a_third_partys_component_is_found_and_built_and_its_hooks_observe(installed):
    module = plugin(dbgsom_kernels={"laplace": Laplace}, dbgsom_run_started=None)
    registry = installed(FakePoint("laplace", module, "dbgsom-laplace"))
    assert registry.observers == [module]
    assert registry.build("kernel", "laplace") == Laplace()
    assert registry.find("kernel", "dbgsom-laplace:laplace") is Laplace
    identity = registry.identify("kernel", Laplace())
    assert (identity.name, identity.distribution) == ("laplace", "dbgsom-laplace")


@pytest.mark.parametrize(
    ("loads", "reason"),
    [
        (ImportError("No module named 'gone'"), "ImportError: No module named 'gone'"),
        (SystemExit(3), "SystemExit"),
        (plugin(version=None), "states no DBGSOM_API_VERSION"),
        (plugin(version=0), "supports 1; upgrade that plugin"),
        (plugin(version=2), "supports 1; upgrade dbgsom-core"),
        (plugin(dbgsom_kernals={"x": Laplace}), "did you mean 'dbgsom_kernels'"),
        (plugin(dbgsom_epoch_finished=lambda run, epok: None), "are declared in the hookimpl"),
        (plugin(dbgsom_kernels=[Laplace]), "must return a mapping of names to classes or"),
        (plugin(dbgsom_kernels={"x": Laplace()}), "must map names to classes"),
        (plugin(dbgsom_kernels={"x:y": Laplace}), "is no name"),
    ],
)
def test_a_broken_plugin_is_a_record_and_everything_else_works(loads, reason, installed):
    registry = installed(FakePoint("bad", loads, "dbgsom-bad"))
    (record,) = registry.broken
    assert (record.name, record.distribution) == ("bad", "dbgsom-bad")
    assert reason in record.error
    assert "Traceback" in record.details
    assert "x" not in registry.names("kernel")
    with pytest.raises(UnknownNameError, match="dbgsom-bad"):
        registry.find("kernel", "something")


def test_a_bare_name_means_the_built_in_or_clashes_when_it_is_used(installed):
    offers = plugin(dbgsom_kernels={"gaussian": Laplace, "laplace": Laplace})
    others = plugin(dbgsom_kernels={"laplace": Laplace})
    registry = installed(FakePoint("a", offers, "dbgsom-a"), FakePoint("b", others, "dbgsom-b"))
    assert not registry.broken
    assert registry.find("kernel", "gaussian").__name__ == "Gaussian"
    assert registry.find("kernel", "dbgsom-a:gaussian") is Laplace
    with pytest.raises(PluginError, match="'dbgsom-a:laplace' or 'dbgsom-b:laplace'"):
        registry.find("kernel", "laplace")
    assert registry.find("kernel", "dbgsom-b:laplace") is Laplace


def test_a_name_that_one_distribution_offers_twice_breaks_its_second_entry_point(installed):
    offers = [plugin(dbgsom_kernels={"laplace": Laplace}) for _ in range(2)]
    points = [FakePoint(name, offer, "dbgsom-a") for name, offer in zip("ab", offers, strict=True)]
    registry = installed(*points)
    assert [record.name for record in registry.broken] == ["b"]
    assert "rename one" in registry.broken[0].error


@pytest.mark.parametrize(
    ("kind", "offer", "lacks"),
    [
        ("kernel", type("NoWeight", (KernelComponent,), {}), "weight"),
        ("metric", type("NoLevel", (MetricComponent,), {}), "assign or pairwise"),
        ("measure", type("NoCompute", (MeasureComponent,), {}), "compute and greater_is_better"),
        ("metric", Laplace, r"'odd' of dbgsom-a 1.0 must be a class derived from .*MetricComp"),
        ("kernel", "no_such_module:Kernel", "no_such_module:Kernel: ModuleNotFoundError"),
    ],
)
def test_a_class_that_is_no_component_of_its_kind_says_what_it_lacks(kind, offer, lacks, installed):
    registry = installed(FakePoint("a", plugin(**{KINDS[kind]: {"odd": offer}}), "dbgsom-a"))
    with pytest.raises(PluginError, match=lacks):
        registry.find(kind, "odd")


@pytest.mark.parametrize(
    ("name", "message"),
    [("gausian", "did you mean 'gaussian'"), ("zzz", "known: bubble"), ("a:gaussian", "unknown")],
)
def test_an_unknown_name_suggests_the_nearest(name, message):
    with pytest.raises(UnknownNameError, match=message):
        get_registry().find("kernel", name)


@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_derive_from_the_base_of_its_kind_is_refused(kind):
    class Stranger(api.Component):
        """Has no base."""

    base = f"{kind.capitalize()}Component"
    with pytest.raises(ValueError, match=rf"^Stranger is no {kind}: .* dbgsom_core\.api\.{base}$"):
        get_registry().build(kind, Stranger())
