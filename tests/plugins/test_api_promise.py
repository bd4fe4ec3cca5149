"""What the plugin API promises: versions, deprecations, and last version's plugin works."""

import json
import warnings
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from dbgsom_core import __version__, api
from dbgsom_core.errors import PluginError
from dbgsom_core.interfaces.version import DbgsomDeprecationWarning, Deprecation
from dbgsom_core.plugins import registry as plugins_module
from dbgsom_core.plugins.registry import Registry

FROZEN = Path(__file__).parent / "frozen"


def frozen(version):
    spec = spec_from_file_location(f"frozen_api_{version}", FROZEN / f"api_{version}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RUN = """
experiment: frozen
dataset: frozen
model:
  {estimator: classifier, epochs: 12, metric: frozen, kernel: frozen, growth: frozen,
   labeller: frozen}
measures: [frozen]
figures: [frozen]
tracking: [frozen]
"""
SCRIPT = """
import json
import dbgsom_frozen
from dbgsom_core.config import load_experiment
from dbgsom_core.persistence import load
from dbgsom_core.runs.pipeline import run_experiment
from dbgsom_core.runs.callbacks import make_callbacks
from dbgsom_core.plugins.registry import get_registry

registry = get_registry()
experiment = load_experiment("run.yaml", registry=registry)
outcome = run_experiment(experiment, make_callbacks(experiment.tracking, registry), registry)
neurons = len(load(outcome.run.folder / "model.npz").som_map_)
figures = [path.name for path in (outcome.run.folder / "figures").iterdir()]
print(json.dumps([dbgsom_frozen.heard, outcome.run.name, neurons, figures]))
"""


@pytest.mark.parametrize("version", api.SUPPORTED_API_VERSIONS)
def test_the_plugin_that_an_author_wrote_for_this_version_still_works(version, site):
    assert version == frozen(version).DBGSOM_API_VERSION
    site.write("dbgsom-frozen", (FROZEN / f"api_{version}.py").read_text(encoding="utf-8"))
    (site.work / "run.yaml").write_text(RUN, encoding="utf-8")
    heard, name, neurons, figures = json.loads(site.python("-c", SCRIPT).stdout.splitlines()[-1])
    epochs = heard[-2]
    assert heard == [name, *range(1, epochs + 1), epochs, ["train/frozen"]]
    assert neurons > 4
    assert figures == ["frozen.png"]


@pytest.fixture
def next_version(monkeypatch):
    for module in (api, plugins_module):
        monkeypatch.setattr(module, "API_VERSION", 2)
        monkeypatch.setattr(module, "SUPPORTED_API_VERSIONS", (1, 2))


def test_a_plugin_of_the_previous_version_works_and_is_told_to_be_outdated(
    next_version, monkeypatch
):
    class Point:
        name, value, dist = "frozen", "frozen_api_1", None

        def load(self):
            return frozen(1)

    monkeypatch.setattr(plugins_module, "entry_points", lambda group: [Point()])
    (record,) = Registry.discover().records
    assert record.status == "ok"
    assert "plugin API 1; API 2 is current and 1 is accepted until API 3 comes" in record.notes[0]


@pytest.mark.parametrize(
    ("version", "cure"), [(0, "upgrade that plugin"), (3, "upgrade dbgsom-core")]
)
def test_other_versions_are_refused_with_a_cure(next_version, version, cure):
    module = frozen(1)
    module.DBGSOM_API_VERSION = version
    with pytest.raises(PluginError, match=f"plugin API {version}, .* supports 1 or 2; {cure}"):
        Registry().register(module, "x")


def test_a_deprecated_name_works_warns_and_is_told_of_the_plugin_that_uses_it(monkeypatch):
    gone = Deprecation(since="0.1", removal="0.3", instead="Component", value=api.Component)
    monkeypatch.setitem(api.DEPRECATED, "Part", gone)
    sentence = r"api.Part is deprecated since .* 0\.1 and will be removed in 0\.3; use Component"
    with pytest.warns(DbgsomDeprecationWarning, match=sentence):
        assert api.Part is api.Component

    class Point:
        name, value, dist = "old", "old", None

        def load(self):
            return frozen(1) if api.Part else None

    monkeypatch.setattr(plugins_module, "entry_points", lambda group: [Point()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (record,) = Registry.discover().records
    assert record.status == "ok"
    assert "will be removed in 0.3" in record.notes[0]
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = api.Nothing


@pytest.mark.parametrize("name", api.DEPRECATED)
def test_names_that_leave_the_api_are_there_with_a_warning(name):
    with pytest.warns(DbgsomDeprecationWarning, match=rf"api\.{name} is deprecated since"):
        assert getattr(api, name) is not None


def test_no_deprecation_outlives_the_version_that_removes_it():
    def number(version):
        return tuple(int(part) for part in version.split("."))

    for name, one in api.DEPRECATED.items():
        assert number(__version__) < number(one.removal), f"{name} was to be removed"
        assert number(one.removal)[:2] >= (number(one.since)[0], number(one.since)[1] + 2), name
