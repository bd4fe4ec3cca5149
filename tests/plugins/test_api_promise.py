"""What the plugin API promises: one version, and the names that authors import."""

import subprocess
import sys
import types

import pytest

from dbgsom_core import api
from dbgsom_core.errors import PluginError
from dbgsom_core.plugins.registry import Registry

HEAVY = ("numba", "sklearn", "mlflow", "pandas", "matplotlib")


@pytest.mark.parametrize(
    ("version", "cure"), [(0, "upgrade that plugin"), (2, "upgrade dbgsom-core")]
)
def test_other_versions_are_refused_with_a_cure(version, cure):
    module = types.ModuleType("dbgsom_other")
    module.DBGSOM_API_VERSION = version
    with pytest.raises(PluginError, match=f"plugin API {version}, .* supports 1; {cure}"):
        Registry().register(module, "x")


def test_the_api_has_few_names_and_has_them_all():
    assert len(api.__all__) <= 75
    for name in api.__all__:
        assert getattr(api, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = api.Nothing


def test_the_api_imports_nothing_that_is_slow():
    code = f"import sys, dbgsom_core.api; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
