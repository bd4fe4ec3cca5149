"""The kit finds what is wrong, and says so by the name of the promise."""

import re
import sys
import unittest
from pathlib import Path

import pytest

from dbgsom_core.api import Component, DatasetComponent, TrackerComponent
from dbgsom_core.plugins.registry import PluginEntry, get_registry
from dbgsom_core.testing import all_checks, checks_for, parametrize_with_checks, run_checks
from dbgsom_core.testing.kit import check_offer, run_check

sys.path.insert(0, str(Path(__file__).parent))
import faulty

pytestmark = pytest.mark.one_version

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def registered():
    get_registry().register(faulty, "faulty", "faulty")
    yield
    get_registry.cache_clear()


@pytest.mark.parametrize(
    ("cls", "fields", "promise", "words"),
    faulty.FAULTS,
    ids=[cls.__name__ for cls, *_ in faulty.FAULTS],
)
def test_what_components_do_wrong_is_found_by_the_promise(cls, fields, promise, words):
    component = cls(**fields)
    (check,) = [one for one in checks_for(component) if one.name == promise]
    outcome = run_check(check, component)
    assert outcome.status == "failed"
    assert re.search(words, outcome.message), outcome.message


@pytest.mark.parametrize("cls", faulty.FINE)
def test_a_component_without_fault_passes(cls):
    outcomes = list(run_checks(cls()))
    assert [one for one in outcomes if one.status != "passed"] == []
    assert len(outcomes) >= 3
    assert all(one.promise.endswith(".") for one in outcomes)


@pytest.mark.parametrize(
    ("where", "state", "words"),
    [
        (
            "sklearn.compose:ColumnTransformer",
            "skipped",
            "required positional argument: 'transformers'",
        ),
        ("decimal:Decimal", "failed", "is no transformer"),
        ("decimal:Decimals", "failed", "cannot be imported"),
    ],
)
def test_a_step_that_cannot_be_built_is_named(where, state, words):
    offered = PluginEntry("prepare step", "x", where, "dbgsom-x", "1")
    assert words in "".join(check_offer(offered)[state].values())


class Extra(DatasetComponent):
    """A data set whose package is missing."""

    @classmethod
    def examples(cls, folder):
        raise unittest.SkipTest("no such package")

    def load(self):
        raise AssertionError("it is not built")


def test_a_data_set_without_its_package_is_left_out():
    offered = PluginEntry("dataset", "extra", Extra, "dbgsom-x", "1")
    found = check_offer(offered)
    assert (found["failed"], found["skipped"]) == ({}, {"all": "no such package"})


def test_each_observer_that_prepares_is_closed():
    ready = []

    class Ready:
        def prepare(self):
            ready.append(self)

        def close(self):
            ready.remove(self)

        def dbgsom_run_started(self, run):
            assert self in ready

    class Preparing(TrackerComponent):
        """Prepares for runs."""

        def observer(self):
            return Ready()

    for check in checks_for(Preparing()):
        if check.name == "runs":
            assert run_check(check, Preparing()).status == "passed"
    assert not ready


def test_expected_failures_must_be_known_and_strict():
    squared = faulty.Squared()
    mark = parametrize_with_checks(squared, expected_failures={"claims": "it is squared"})
    marks = {case.values[1].name: case.marks for case in mark.args[1]}
    assert marks["claims"][0].kwargs == {"reason": "it is squared", "strict": True}
    assert not marks["digits"]
    with pytest.raises(ValueError, match="'claim', which is no check; did you mean 'claims'"):
        parametrize_with_checks(squared, expected_failures={"claim": "x"})


def test_the_kind_is_that_of_the_base():
    class Nothing(Component):
        """Does nothing."""

    with pytest.raises(ValueError, match="Nothing derives from the base of no kind"):
        parametrize_with_checks(Nothing())
    with pytest.raises(ValueError, match=r"give an instance: Metric\(\), not the class"):
        parametrize_with_checks([faulty.Metric])


def test_names_of_checks_are_distinct():
    names = [one.name for one in all_checks()]
    assert len(set(names)) == len(names)


def test_the_pytest_plugin_discovers_nothing_and_imports_the_core_lazily(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_imported_before_it_is_used():
            assert "dbgsom_core.testing.pytest_plugin" in sys.modules
            for heavy in ("pydantic", "numpy", "numba", "dbgsom_core.api"):
                assert heavy not in sys.modules, heavy

        def test_the_registry_is_empty(dbgsom_registry):
            assert dbgsom_registry.records == []
            assert dbgsom_registry.names("metric") == []
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:hypothesispytest", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=2)
