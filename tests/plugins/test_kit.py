"""The kit finds what is wrong, and says so by the name of the promise."""

import importlib.util
import re
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field

from dbgsom_core.api import Component, KernelComponent
from dbgsom_core.testing import all_checks, checks_for, parametrize_with_checks, run_checks
from dbgsom_core.testing.kit import judged

DBGSOM_API_VERSION = 1
pytest_plugins = ["pytester"]


class Fine(Component):
    """Manhattan distance in plain numpy."""

    claims: ClassVar[tuple[str, ...]] = ("identity", "symmetry", "triangle")

    def pairwise(self, X, prototypes):
        return np.abs(X[:, None].astype(np.float64) - prototypes).sum(axis=2)


class Undocumented(Fine):
    __doc__ = None


class Loose(Fine):
    """Takes any field."""

    model_config = ConfigDict(extra="allow", frozen=False)


class Bare(Fine):
    """A field without words."""

    power: float = 1.0


class Lossy(Fine):
    """A field that does not come back."""

    power: float = Field(default=1.0, description="x", exclude=True)


class Changing(Fine):
    """Changes its samples."""

    def pairwise(self, X, prototypes):
        distances = super().pairwise(X, prototypes)
        if X.flags.writeable:
            X *= 0
        return distances


class Squared(Fine):
    """No triangle inequality."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes) ** 2


class Lopsided(Fine):
    """Counts what is below twice."""

    def pairwise(self, X, prototypes):
        gap = X[:, None].astype(np.float64) - prototypes
        return np.where(gap < 0, -2 * gap, gap).sum(axis=2)


class Distant(Fine):
    """Far from itself."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes) + 1


class Relative(Fine):
    """Looks at the other rows of the chunk."""

    claims: ClassVar[tuple[str, ...]] = ()

    def pairwise(self, X, prototypes):
        return super().pairwise(X - X.mean(axis=0), prototypes)


class Twofold(Fine):
    """Two levels that disagree."""

    def assign(self, X, prototypes):
        distances = 3 * self.pairwise(X, prototypes)
        return distances.argmin(axis=1), distances.min(axis=1)


class LastWins(Fine):
    """Ties go to the highest row."""

    def assign(self, X, prototypes):
        distances = self.pairwise(X, prototypes)
        bmu = distances.shape[1] - 1 - distances[:, ::-1].argmin(axis=1)
        return bmu, distances.min(axis=1)


class Random(Fine):
    """Another answer every time."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes) * np.random.default_rng().uniform(1, 2)


class Flat(Fine):
    """One dimension too few."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes)[0]


class Negative(KernelComponent):
    """A whole wavelet."""

    def weight(self, hops, width):
        return (1 - (hops / width) ** 2) * np.exp(-((hops / width) ** 2) / 2)


class Scaled(KernelComponent):
    """Looks at the other hop counts."""

    def weight(self, hops, width):
        return np.exp(-np.asarray(hops)) / np.exp(-np.asarray(hops)).sum()


class Unheard(Component):
    """Answers for one neuron only."""

    def grow(self, som_map, state):
        return []

    def wants_children(self, som_map, state):
        return [True]


def failed(component):
    return {one.check for one in run_checks(component) if one.status == "failed"}


def test_a_fine_component_passes_everything():
    outcomes = list(run_checks(Fine()))
    assert [one for one in outcomes if one.status != "passed"] == []
    assert len(outcomes) > 20
    assert all(one.promise.endswith(".") for one in outcomes)


@pytest.mark.parametrize(
    ("component", "promise"),
    [
        (Undocumented(), "docstring"),
        (Loose(), "extra_keys_forbidden"),
        (Loose(), "frozen"),
        (Bare(), "field_descriptions"),
        (Lossy(power=2.0), "saving"),
        (Changing(), "no_mutation"),
        (Squared(), "triangle"),
        (Lopsided(), "symmetry"),
        (Distant(), "identity"),
        (Relative(), "chunk_invariance"),
        (Twofold(), "levels_agree"),
        (LastWins(), "ties_go_to_the_lowest_row"),
        (Random(), "determinism"),
        (Random(), "thread_safety"),
        (Flat(), "shapes_and_dtypes"),
        (Negative(), "weights"),
        (Scaled(), "weights_stand_alone"),
        (Unheard(), "children"),
    ],
)
def test_each_broken_promise_is_found(component, promise):
    assert promise in failed(component)


FAULTY = Path(__file__).parents[1] / "faults" / "faulty"


@pytest.fixture(scope="module")
def faulty():
    """Return what finds a broken component by module and class."""
    where = importlib.util.spec_from_file_location(
        "faulty", FAULTY / "__init__.py", submodule_search_locations=[str(FAULTY)]
    )
    sys.modules["faulty"] = package = importlib.util.module_from_spec(where)
    where.loader.exec_module(package)
    yield lambda name: getattr(importlib.import_module(f"faulty.{name[0]}"), name[1])
    for name in [name for name in sys.modules if name.partition(".")[0] == "faulty"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "promise", "words"),
    [
        ("kernels Growing", "weights_fall", "above the nearer"),
        ("kernels Exiting", "weights", "ends the process: SystemExit: 0"),
        ("kernels Ending", "weights", r"ends the process: SystemExit: os._exit\(0\)"),
        ("kernels Interrupting", "weights", "ends the process: KeyboardInterrupt"),
        ("kernels Silencing", "weights", "changes numpy's error handling"),
        ("kernels BadProperty", "attributes", "AttributeError: inside"),
        ("metrics Pretending", "geometry", "off the Euclidean distance"),
        ("metrics Centring", "prepare", "must not depend on other rows"),
        ("metrics Doubling", "prepare", "turns float32 into float64"),
        ("metrics Remembering", "not_finite", "changes others"),
        ("growth EndlessRow", "births", "it is endless"),
        ("growth Forgetful", "growth_resumes", r"has no remembered\(\) that gives it"),
        ("growth HalfForgetful", "growth_resumes", "does not remember all of it"),
        ("growth Lasting", "growth_resumes", "a second training differs from the first"),
        ("growth Unwritable", "growth_resumes", "no checkpoint can hold what it remembers"),
        ("labellers Disagreeing", "labels_agree_with_probabilities", "not its most probable class"),
        ("datasets Shared", "load", "share their arrays"),
        ("measures Unasked", "measure_without_targets", "say needs_target = True"),
        ("measures Sorting", "measure_reads_only", "changes distance"),
        ("measures Replacing", "measure_reads_only", "changes the map"),
        ("figures Moving", "figure_reads_only", "changes the map"),
        ("trackers Tripping", "finished_run", "tripped"),
        ("trackers Unready", "failed_run", "no attribute 'epoch'"),
        ("trackers Leaving", "failed_run", "ends the process: SystemExit: 0"),
        ("trackers Speechless", "how_to_open", "gives None"),
    ],
)
def test_what_components_do_wrong_is_found_by_the_promise(name, promise, words, faulty):
    component = faulty(name.split())()
    (check,) = [one for one in checks_for(component, name=None) if one.name == promise]
    outcome = judged(check, component)
    assert outcome.status == "failed"
    assert re.search(words, outcome.message)


@pytest.mark.parametrize(
    "name",
    ["growth Fine", "growth Steady", "labellers Fine", "measures Fine", "figures Fine",
     "trackers Fine"],
)  # fmt: skip
def test_a_component_without_fault_passes(name, faulty):
    component = faulty(name.split())()
    assert [one for one in run_checks(component) if one.status != "passed"] == []


def test_an_unknown_claim_is_a_mistake():
    cases = parametrize_with_checks(Fine(), claims=["triangel"]).args[1]
    check = next(case.values[1] for case in cases if "claims" in case.id)
    with pytest.raises(AssertionError, match="unknown claims"):
        check(Fine())


def test_expected_failures_are_strict_and_must_name_a_check():
    mark = parametrize_with_checks(Squared(), expected_failures={"triangle": "it is squared"})
    marks = {case.values[1].name: case.marks for case in mark.args[1]}
    assert marks["triangle"][0].kwargs == {"reason": "it is squared", "strict": True}
    assert not marks["symmetry"]
    with pytest.raises(ValueError, match="no check of Squared; did you mean 'triangle'"):
        parametrize_with_checks(Squared(), expected_failures=lambda one: {"triangel": "x"})


def test_a_kind_that_cannot_be_told_is_asked_for():
    class Nothing(Component):
        """Does nothing."""

    class Both(Fine):
        """Two kinds."""

        def weight(self, hops, width):
            return hops

    with pytest.raises(ValueError, match="the methods of no kind"):
        parametrize_with_checks(Nothing())
    with pytest.raises(ValueError, match="metric and kernel; say which"):
        parametrize_with_checks(Both())
    with pytest.raises(ValueError, match="did you mean 'metric'"):
        parametrize_with_checks(Both(), kind="metrics")
    assert parametrize_with_checks(Both(), kind="metric")


def test_names_and_promises_of_checks_are_distinct():
    names = [one.name for one in all_checks()]
    assert len(set(names)) == len(names)
    assert not issubclass(type(all_checks()[0]), BaseModel)


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
