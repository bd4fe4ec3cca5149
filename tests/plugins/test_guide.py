"""The author's guide: every example works, every hook, argument, capability and name is there."""

import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

from dbgsom_core import SomVQ, api, hookspecs
from dbgsom_core.hookspecs import KINDS, LIFECYCLE_HOOKS, PREPARE_STEPS, TRANSFORMERS
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.testing import checks_for

pytestmark = pytest.mark.one_version

PLUGINS = Path(__file__).parents[2] / "plugins"
GUIDE = (PLUGINS / "README.md").read_text(encoding="utf-8")
REFERENCE = (PLUGINS / "REFERENCE.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


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
        registry.register(module, module.__name__, "guide", "1")
    return registry


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_is_short_and_keeps_its_promises(number, registered):
    code = [line for line in EXAMPLES[number].splitlines() if line.strip()]
    assert len(code) <= 20
    offers = [one for kind in KINDS for one in registered.offered(kind)]
    for one in offers:
        if one.source.startswith(f"guide_example_{number}:"):
            for check in checks_for(one.load()()):
                check(one.load()())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_an_example(kind, registered):
    assert len(registered.offered(kind)) >= (3 if kind == "metric" else 1)


@pytest.mark.parametrize("hook", [*KINDS.values(), PREPARE_STEPS, TRANSFORMERS, *LIFECYCLE_HOOKS])
def test_every_hook_and_each_of_its_arguments_is_documented(hook):
    arguments = inspect.signature(getattr(hookspecs, hook)).parameters
    assert f"`{hook}({', '.join(arguments)})`" in GUIDE
    for argument in arguments:
        assert f"`{argument}` |" in GUIDE, f"{hook}: {argument} has no row"
    assert inspect.getdoc(getattr(hookspecs, hook))


@pytest.mark.parametrize("base", [one for one in api.__all__ if one.endswith("Component")])
def test_every_capability_of_a_base_is_in_the_reference(base):
    optional = (inspect.getdoc(getattr(api, base)) or "").partition("Optional capabilities")[2]
    section = REFERENCE.partition(f"## {base}\n")[2].partition("\n## ")[0]
    assert section
    for name in re.findall(r"^\s*``(\w+)[^`]*``(?: \(\w+\))?:", optional, re.M):
        assert f"| `{name}" in section, f"{base}: {name} is not described"


@pytest.mark.parametrize("name", api.__all__)
def test_every_name_of_the_api_is_explained(name):
    code = re.findall(r"```.*?```|`[^`]+`", GUIDE, re.DOTALL)
    explained = any(re.search(rf"\b{name}\b", one) for one in code)
    assert explained or f"## {name}\n" in REFERENCE
    assert inspect.getdoc(getattr(api, name))


def test_the_api_has_few_names_and_imports_nothing_that_is_slow():
    assert len(api.__all__) <= 75
    heavy = {"numba", "sklearn", "mlflow", "pandas", "matplotlib"}
    code = f"import sys, dbgsom_core.api; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


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
    assert made["reference"]() == REFERENCE
