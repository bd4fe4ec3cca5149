"""The template can be built as it is, and the example of a third party uses only what is public.

That both pass their own tests and the kit, installed from wheels, is a step of ``.ci/run``.
"""

import re
import shutil
import zipfile
from pathlib import Path

import pytest

from dbgsom_core.cli.template import render
from dbgsom_core.errors import ConfigError

pytestmark = pytest.mark.one_version

ROOT = Path(__file__).parents[2]


def test_a_new_plugin_is_found_as_it_is(site):
    told = site.dbgsom("plugins", "new", "my-waves").out
    folder = site.work / "dbgsom-my-waves"
    commands = [line for line in told.splitlines() if line.startswith("  ")]
    assert len(commands) == 2  # from here to the first green run
    assert "example" not in "".join(file.read_text() for file in folder.rglob("*.py"))
    site.build(folder)
    listed = site.dbgsom("plugins", "list").out
    for name in ("my_waves_weighted", "my_waves_plateau", "my_waves_greedy", "my_waves_confident"):
        assert name in listed
    assert "exists; choose another name" in site.dbgsom("plugins", "new", "my-waves", code=2).err


@pytest.mark.parametrize("name", ["", "Ä", "a/b", "core", "a--b"])
def test_a_name_that_cannot_be_one_writes_nothing(name, tmp_path):
    with pytest.raises(ConfigError, match="is no name for a plugin"):
        render(name, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("field", ["cyto", "geo"])
def test_packages_of_third_parties_use_nothing_internal(field):
    public = {"api", "tables", "testing"}
    files = [*(ROOT / "plugins" / f"dbgsom-{field}" / f"dbgsom_{field}").glob("*.py")]
    assert files
    for file in files:
        named = re.findall(r"dbgsom_core(?:\.(\w+))?", file.read_text(encoding="utf-8"))
        assert public.issuperset(filter(None, named)), f"{file.name}: {named}"


def test_the_wheel_holds_the_template_and_no_plugins_package(site, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns(".*", "runs", "mlruns", "tests", "mlflow.db")
    )
    shutil.copytree(ROOT / "plugins" / "template", source / "plugins/template", dirs_exist_ok=True)
    wheel = site.build(source)
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "dbgsom_core", "dbgsom_plugins",
    }  # fmt: skip
    template = "dbgsom_core/_template/"
    files = {name.removeprefix(template) for name in names if name.startswith(template)}
    assert {"pyproject.toml", "dbgsom_example/__init__.py"} <= files
