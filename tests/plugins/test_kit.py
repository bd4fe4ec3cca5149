"""The kit finds what is wrong, and says so by the name of the promise."""

import re
import sys
import unittest
from pathlib import Path

import pytest

from dbgsom_core.api import Component, DatasetComponent
from dbgsom_core.plugins.registry import PluginEntry, get_registry
from dbgsom_core.testing import checks_for, parametrize_with_checks, run_checks
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
    (check,) = [check for check in checks_for(component) if check.name == promise]
    outcome = run_check(check, component)
    assert outcome.status == "failed"
    assert re.search(words, outcome.message), outcome.message


@pytest.mark.parametrize("cls", faulty.FINE)
def test_a_component_without_fault_passes(cls):
    outcomes = list(run_checks(cls()))
    assert [outcome for outcome in outcomes if outcome.status != "passed"] == []
    assert len(outcomes) >= 3


class Extra(DatasetComponent):
    """A data set whose package is missing."""

    @classmethod
    def examples(cls, folder):
        raise unittest.SkipTest("no such package")

    def load(self):
        raise AssertionError("it is not built")


@pytest.mark.parametrize(
    ("kind", "where", "state", "words"),
    [
        ("prepare step", "sklearn.compose:ColumnTransformer", "skipped", "'transformers'"),
        ("prepare step", "decimal:Decimal", "failed", "is no transformer"),
        ("prepare step", "decimal:Decimals", "failed", "cannot be imported"),
        ("dataset", Extra, "skipped", "no such package"),
    ],
)
def test_what_cannot_be_built_is_named_and_what_lacks_a_package_left_out(kind, where, state, words):
    offered = PluginEntry(kind, "x", where, "dbgsom-x", "1")
    assert words in "".join(check_offer(offered)[state].values())


def test_expected_failures_must_be_known_and_strict():
    squared = faulty.Squared()
    mark = parametrize_with_checks(squared, expected_failures={"claims": "it is squared"})
    marks = {case.values[1].name: case.marks for case in mark.args[1]}
    assert marks["claims"][0].kwargs == {"reason": "it is squared", "strict": True}
    assert not marks["digits"]
    with pytest.raises(ValueError, match="'claim', which is no check; did you mean 'claims'"):
        parametrize_with_checks(squared, expected_failures={"claim": "x"})


def test_what_is_no_component_cannot_be_checked():
    class Nothing(Component):
        """Does nothing."""

    with pytest.raises(ValueError, match="Nothing derives from the base of no kind"):
        parametrize_with_checks(Nothing())
    with pytest.raises(ValueError, match=r"give an instance: Metric\(\), not the class"):
        parametrize_with_checks([faulty.Metric])


def test_the_pytest_plugin_imports_the_core_when_it_is_used(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_imported_before_it_is_used():
            assert "dbgsom_core.testing.pytest_plugin" in sys.modules
            for heavy in ("pydantic", "numpy", "numba", "dbgsom_core.api"):
                assert heavy not in sys.modules, heavy

        def test_the_registry_is_empty(dbgsom_registry):
            assert dbgsom_registry.records == []
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:hypothesispytest", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=2)
