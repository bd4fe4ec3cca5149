"""The author's guide: every example works, every hook, argument and check is there."""

import inspect
import re
from importlib import import_module
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

from dbgsom_core import SomVQ, api, hookspecs
from dbgsom_core.hookspecs import KINDS, LIFECYCLE_HOOKS, PREPARE_STEPS, TRANSFORMERS
from dbgsom_core.interfaces.engine import Engine
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.growth import GrowthStrategy
from dbgsom_core.interfaces.initialisations import GridShape, Initialisation
from dbgsom_core.interfaces.kernels import Kernel, Schedule
from dbgsom_core.interfaces.labellers import Labeller
from dbgsom_core.interfaces.measures import Measure
from dbgsom_core.interfaces.privacy import redaction
from dbgsom_core.interfaces.stopping import StoppingRule
from dbgsom_core.interfaces.trackers import Tracker
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.testing import all_checks, checks_for

GUIDE = (Path(__file__).parents[2] / "plugins" / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
INTERFACES = {
    "metric": (api.Metric, api.MetricComponent),
    "kernel": (Kernel, api.KernelComponent),
    "grid": (GridShape,),
    "growth": (GrowthStrategy, api.GrowthComponent),
    "initialisation": (Initialisation,),
    "schedule": (Schedule,),
    "stopping": (StoppingRule, api.StoppingComponent),
    "labeller": (Labeller, api.LabellerComponent),
    "dataset": (api.Dataset,),
    "measure": (Measure, api.MeasureComponent),
    "figure": (api.Figure,),
    "tracker": (Tracker, api.TrackerComponent),
    "engine": (Engine,),
}


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guide")
    for number, text in enumerate(EXAMPLES):
        (folder / f"guide_example_{number}.py").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield [import_module(f"guide_example_{number}") for number in range(len(EXAMPLES))]


@pytest.fixture
def registered(modules):
    registry = Registry()
    for module in modules:
        if not hasattr(module, "LINES"):  # an entry point of another group
            registry.register(module, module.__name__, "guide", "1")
    return registry


def test_the_example_of_a_format_of_tables_reads_one(modules, tmp_path):
    (example,) = [module.LINES for module in modules if hasattr(module, "LINES")]
    (tmp_path / "t.lines").write_text("1.5\n2\n")
    table = example.open(str(tmp_path / "t.lines"))
    assert [batch.to_pydict() for batch in table.batches()] == [{"0": [1.5, 2]}]


def section_of(hook):
    """Return the part of the guide that describes a hook: where it stands with its arguments."""
    parts = re.split(r"^## ", GUIDE, flags=re.MULTILINE)
    call = f"`{hook}({', '.join(inspect.signature(getattr(hookspecs, hook)).parameters)})`"
    found = [part for part in parts[2:] if call in part]
    assert len(found) == 1, f"{call} must be described in one section"
    return found[0]


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_has_at_most_twenty_lines_and_keeps_its_promises(number, registered):
    code = [line for line in EXAMPLES[number].splitlines() if line.strip()]
    assert len(code) <= 20
    offers = [one for kind in KINDS for one in registered.offered(kind)]
    for one in offers:
        if one.source.startswith(f"guide_example_{number}:"):
            for check in checks_for(one.load()(), one.kind, name=one.name):
                check(one.load()())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_an_example(kind, registered):
    assert len(registered.offered(kind)) >= (3 if kind == "metric" else 1)


@pytest.mark.parametrize("hook", [*KINDS.values(), PREPARE_STEPS, TRANSFORMERS, *LIFECYCLE_HOOKS])
def test_every_hook_and_each_of_its_arguments_is_documented(hook):
    section = section_of(hook)
    for argument in inspect.signature(getattr(hookspecs, hook)).parameters:
        assert f"`{argument}` |" in section, f"{hook}: {argument} has no row"
    assert inspect.getdoc(getattr(hookspecs, hook))


@pytest.mark.parametrize("kind", KINDS)
def test_every_method_argument_and_capability_of_an_interface_is_documented(kind):
    section = section_of(KINDS[kind])
    for interface in INTERFACES[kind]:
        for name, method in vars(interface).items():
            if name.startswith("_") or not inspect.isfunction(method):
                continue
            assert f"`{name}" in section, f"{kind}: {name} is not described"
            for argument in inspect.signature(getattr(interface, name)).parameters:
                if argument != "self":
                    assert f"`{argument}`" in section, f"{kind}: {name}({argument})"
        optional = (inspect.getdoc(interface) or "").partition("Optional capabilities")[2]
        for name, arguments in re.findall(r"^\s*``(\w+)(?:\(([^)]*)\)[^`]*)?``", optional, re.M):
            assert f"`{name}" in section, f"{kind}: {name} is not described"
            for argument in filter(None, arguments.split(", ")):
                assert f"`{argument}`" in section, f"{kind}: {name}({argument})"


@pytest.mark.parametrize("name", api.__all__)
def test_every_name_of_the_api_is_in_the_guide(name):
    code = re.findall(r"```.*?```|`[^`]+`", GUIDE, re.DOTALL)
    assert any(re.search(rf"\b{name}\b", one) for one in code), f"plugins/README.md lacks {name}"
    assert inspect.getdoc(getattr(api, name))


def test_the_guide_says_truly_what_is_masked():
    address = "http://me:word@host/hunter-of-alice"
    with redaction({"hunter-of-alice": "${env:TOKEN}"}):
        assert api.masked([address]) == ["http://***@host/${env:TOKEN}"]
        assert api.masked_name("hunter-of-alice") == "env-TOKEN"
        assert api.shell_word("hunter-of-alice") == '"$TOKEN"'
    assert api.as_label("a\n\x1b[1m" + "b" * 9, 12) == r"a \x1b[1mbb…"


THEIRS = """
import warnings
from dbgsom_core.api import Component, LabellerComponent
from dbgsom_core.errors import callers_level
def warn():
    warnings.warn("so few", stacklevel=callers_level())
class Wary(LabellerComponent):
    def label(self, evidence):
        warn()
        return list(range(len(evidence.som_map)))
"""


@pytest.mark.parametrize("name", ["dbgsom_theirs.wary", "__main__"])
def test_a_warning_of_a_plugin_is_about_the_line_of_who_fits(name):
    theirs = {"__name__": name}
    exec(compile(THEIRS, "theirs.py", "exec"), theirs)
    with pytest.warns(UserWarning, match="so few") as told:
        SomVQ(labeller=theirs["Wary"](), epochs=2, max_neurons=4).fit(np.eye(4))
    assert [one.filename for one in told if "so few" in str(one.message)] == [
        "theirs.py" if name == "__main__" else __file__  # a program's own line, too
    ]


def test_the_reference_is_made_from_the_docstrings():
    """Else: python tests/plugins/reference.py."""
    made = run_path(str(Path(__file__).with_name("reference.py")))
    text = made["reference"]()
    assert made["PAGE"].read_text(encoding="utf-8") == text
    for told in ("`room` | int or None", "`hits` | int array (K,)", "`samples(neuron)`"):
        assert told in text


def test_every_check_is_listed():
    table = GUIDE.partition("| checks of | names |")[2].partition("##")[0]
    listed = re.findall(r"`(\w+)`", table)
    assert sorted(listed) == sorted(check.name for check in all_checks())


def test_every_hook_is_called_with_all_its_arguments(registered, modules):
    """Every offering hook was asked by registration; every lifecycle hook is told here."""
    from dbgsom_core.plugins.callbacks import Callbacks

    told = {}

    class Ear:
        """Hears everything."""

    for hook in LIFECYCLE_HOOKS:
        arguments = list(inspect.signature(getattr(hookspecs, hook)).parameters)
        code = f"def listen({', '.join(arguments)}): told[{hook!r}] = [{', '.join(arguments)}]"
        space = {"told": told}
        exec(code, space)
        setattr(Ear, hook, staticmethod(space["listen"]))
    observers = Callbacks([Ear(), *registered.observers])
    run = type("Run", (), {"name": "r"})()
    epoch = EpochRecord(1, 2, "growing", 1.0, 4, (), 0.5, 0.1, 0.0)
    observers.notify("dbgsom_run_started", run=run)
    observers.notify("dbgsom_epoch_finished", run=run, epoch=epoch)
    observers.notify("dbgsom_run_finished", run=run, result=3)
    observers.notify("dbgsom_run_failed", run=run, error=KeyError("x"))
    assert {hook: len(values) for hook, values in told.items()} == {
        hook: len(inspect.signature(getattr(hookspecs, hook)).parameters)
        for hook in LIFECYCLE_HOOKS
    }
    (heard,) = [module.heard for module in modules if hasattr(module, "heard")]
    assert heard == ["r starts", "4 neurons", "r failed: 'x'"]
