"""The kit finds what is wrong, and says so by the name of the promise."""

import importlib.util
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field

from dbgsom_core.api import Birth, Component, GrowthComponent, KernelComponent
from dbgsom_core.plugins.offers import Offered
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.testing import all_checks, checks_for, parametrize_with_checks, run_checks
from dbgsom_core.testing.apart import _built
from dbgsom_core.testing.kit import judged

DBGSOM_API_VERSION = 1
pytest_plugins = ["pytester"]


class Flat(KernelComponent):
    """All neurons learn alike."""

    def weight(self, hops, width):
        return np.ones(len(hops))


class Undocumented(Flat):
    __doc__ = None


class Loose(Flat):
    """Takes any field."""

    model_config = ConfigDict(extra="allow", frozen=False)


class Bare(Flat):
    """A field without words."""

    power: float = 1.0


class Lossy(Flat):
    """A field that does not come back."""

    power: float = Field(default=1.0, description="x", exclude=True)


def failed(component):
    return {one.check for one in run_checks(component) if one.status == "failed"}


@pytest.mark.parametrize(
    ("component", "promise"),
    [
        (Undocumented(), "docstring"),
        (Loose(), "extra_keys_forbidden"),
        (Loose(), "frozen"),
        (Bare(), "field_descriptions"),
        (Lossy(power=2.0), "saving"),
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
    listed = {"DBGSOM_API_VERSION": 1, "dbgsom_transformers": package.dbgsom_transformers}
    get_registry().register(SimpleNamespace(**listed), "faulty", "faulty")
    yield lambda name: getattr(importlib.import_module(f"faulty.{name[0]}"), name[1])
    for name in [name for name in sys.modules if name.partition(".")[0] == "faulty"]:
        del sys.modules[name]
    get_registry.cache_clear()


@pytest.mark.parametrize(
    ("name", "promise", "words"),
    [
        ("kernels Growing", "weights_fall", "above the nearer"),
        ("kernels Exiting", "weights", "ends the process: SystemExit: 0"),
        ("kernels Ending", "weights", r"ends the process: SystemExit: os._exit\(0\)"),
        ("kernels Interrupting", "weights", "ends the process: KeyboardInterrupt"),
        ("kernels Silencing", "weights", "changes numpy's error handling"),
        ("kernels BadProperty", "attributes", "AttributeError: inside"),
        ("kernels Negative", "weights", "a weight is -"),
        ("kernels Normed", "weights_stand_alone", "width"),
        ("metrics Writing", "no_mutation", "changes its arguments"),
        ("metrics Claiming", "triangle", "a detour is .* shorter"),
        ("metrics Lopsided", "symmetry", "differ by"),
        ("metrics Distant", "identity", "= 1.0"),
        ("metrics Remembering", "chunk_invariance", "chunks of 1 choose other units"),
        ("metrics Disagreeing", "levels_agree", "pairwise differs from assign"),
        ("metrics LastWins", "ties_go_to_the_lowest_row", "a tie went to the higher row"),
        ("metrics Chance", "determinism", "two calls differ"),
        ("metrics Chance", "thread_safety", "a thread got other distances"),
        ("metrics Flat", "shapes_and_dtypes", "shape"),
        ("metrics Pretending", "geometry", "off the Euclidean distance"),
        ("metric_parts Centring", "prepare", "must not depend on other rows"),
        ("metric_parts Doubling", "prepare", "turns float32 into float64"),
        ("metrics Remembering", "not_finite", "changes others"),
        ("growth FewChildren", "children", "gives shape"),
        ("growth EndlessRow", "births", "it is endless"),
        ("growth Forgetful", "growth_resumes", r"has no remembered\(\) that gives it"),
        ("growth HalfForgetful", "growth_resumes", "does not remember all of it"),
        ("growth Lasting", "growth_resumes", "a second training differs from the first"),
        ("growth Unwritable", "growth_resumes", "no checkpoint can hold what it remembers"),
        ("labellers Disagreeing", "labels_agree_with_probabilities", "not its most probable class"),
        ("labellers Sharing", "answers_in_threads", "a thread got other answers"),
        ("datasets Shared", "load", "share their arrays"),
        ("measures Unasked", "measure_without_targets", "say needs_target = True"),
        ("measures Sorting", "measure_reads_only", "changes distance"),
        ("measures Replacing", "measure_reads_only", "changes the map"),
        ("figures Moving", "figure_reads_only", "changes the map"),
        ("trackers Tripping", "finished_run", "tripped"),
        ("trackers Unready", "failed_run", "no attribute 'epoch'"),
        ("trackers Leaving", "failed_run", "ends the process: SystemExit: 0"),
        ("trackers Speechless", "how_to_open", "gives None"),
        ("steps Undocumented", "step_docstring", "no docstring of its own"),
        ("steps Chance", "step_table", "two calls differ"),
        ("steps Restless", "step_table", "give it a seed"),
        ("steps Dropping", "step_table", "40 samples become 39"),
        ("steps Infinite", "step_table", "nan or infinity"),
        ("steps Wanting", "step_table", "TypeError"),
        ("steps Ending", "step_table", r"ends the process: SystemExit: os._exit\(0\)"),
        ("steps Writing", "step_reads_only", "fit changes the samples"),
        ("steps Learning", "step_reads_only", "changes what it learnt"),
        ("steps Beside", "step_rows_stand_alone", "blocks of 1 become other rows"),
        ("steps OneWay", "step_undo", "gives other samples"),
        ("steps Misnamed", "step_names", "1 names for 4 columns"),
        ("steps Unlisted", "step_saving", "list the class in a plugin's dbgsom_transformers"),
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
    ["metrics Fine", "growth Fine", "growth Steady", "labellers Fine", "measures Fine",
     "figures Fine", "trackers Fine", "steps Fine"],
)  # fmt: skip
def test_a_component_without_fault_passes(name, faulty):
    outcomes = list(run_checks(faulty(name.split())()))
    assert [one for one in outcomes if one.status != "passed"] == []
    least = {"metrics": 20, "steps": 6}
    assert len(outcomes) > least.get(name.partition(" ")[0], 10)
    assert all(one.promise.endswith(".") for one in outcomes)


@pytest.mark.parametrize(
    ("where", "how", "told"),
    [
        ("sklearn.compose:ColumnTransformer", "skipped", "without its arguments: transformers"),
        ("decimal:Decimal", "failed", "is no transformer"),
        ("decimal:Decimals", "failed", "cannot be imported"),
    ],
)
def test_a_step_that_cannot_be_built_is_told(where, how, told, tmp_path):
    heard = []
    offered = Offered("prepare step", "x", where, "dbgsom-x", "1")
    assert _built(offered, heard.append, False, tmp_path) is None
    assert told in str(heard[0]["component"][how])


def test_each_observer_that_gets_ready_is_put_away():
    ready = []

    class Ready:
        def prepare(self):
            ready.append(self)

        def close(self):
            ready.remove(self)

    class Preparing(Component):
        """Gets ready for runs."""

        def observer(self):
            return Ready()

    for check in checks_for(Preparing(), name=None, kind="tracker"):
        if "run" in check.name:
            assert judged(check, Preparing()).status == "passed"
    assert not ready


def test_an_unknown_claim_is_a_mistake(faulty):
    fine = faulty(["metrics", "Fine"])()
    cases = parametrize_with_checks(fine, claims=["triangel"]).args[1]
    check = next(case.values[1] for case in cases if "claims" in case.id)
    with pytest.raises(AssertionError, match="unknown claims"):
        check(fine)


def test_expected_failures_are_strict_and_must_name_a_check(faulty):
    claiming = faulty(["metrics", "Claiming"])()
    mark = parametrize_with_checks(claiming, expected_failures={"triangle": "it is squared"})
    marks = {case.values[1].name: case.marks for case in mark.args[1]}
    assert marks["triangle"][0].kwargs == {"reason": "it is squared", "strict": True}
    assert not marks["symmetry"]
    with pytest.raises(ValueError, match="no check of Claiming; did you mean 'triangle'"):
        parametrize_with_checks(claiming, expected_failures=lambda one: {"triangel": "x"})


def test_a_kind_that_cannot_be_told_is_asked_for():
    class Nothing(Component):
        """Does nothing."""

    class Both(Flat):
        """Two kinds."""

        def pairwise(self, X, prototypes):
            return X @ prototypes.T

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


class AnyWay(GrowthComponent):
    """Grows in the first free cell there is."""

    def grow(self, som_map, state):
        free = [(k, cell) for k in range(len(som_map)) for cell in som_map.free_cells(k)]
        parent, cell = free[0]
        return [Birth(cell, som_map.prototypes[parent], parent)]


class North(AnyWay):
    """Takes the first link for the one that leads north, as on squares it does."""

    def grow(self, som_map, state):
        free = np.flatnonzero(som_map.links[:, 0] < 0)
        cells = som_map.positions[free] + (0, 1)
        born = zip(cells.tolist(), free.tolist(), strict=True)
        return [Birth((x, y), np.ones(4), parent) for (x, y), parent in born]


def test_growth_that_knows_four_directions_fails_among_hexagons():
    told = failed(North())
    assert "births" not in told
    assert "births_among_hexagons" in told
    assert not failed(AnyWay()) & {"births", "births_among_hexagons"}
