"""A stored configuration whose plugin is not installed: the package is named."""

import json

import pytest

from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.folder import RunFiles, read_json
from dbgsom_core.runs.manifest import packages_named


@pytest.fixture
def stored(tmp_path):
    """Read a stored run of a plugin that nobody has, whose folder tells these components."""
    files, registry = RunFiles(tmp_path), Registry.discover(own_only=True)
    files.config.write_text("experiment: x\ndataset: iris\nmodel: {growth: nobodys}\n")

    def read(components):
        files.environment.write_text(json.dumps({"components": components}))
        with (
            pytest.raises(ConfigError) as caught,
            packages_named(read_json(files.environment), registry),
        ):
            load_experiment(files.config, registry=registry)
        return str(caught.value).splitlines()

    return read


def test_the_package_is_named_with_its_version(stored):
    part = {"kind": "growth", "name": "nobodys", "distribution": "dbgsom-no", "version": "1.2"}
    own = {"kind": "metric", "name": "euclidean", "distribution": "dbgsom-core", "version": "0"}
    unknown, package = stored([part, own])
    assert "unknown growth 'nobodys'" in unknown
    assert package == (
        "the run says that its growth nobodys came with dbgsom-no 1.2: the package 'dbgsom-no' is "
        "not installed here"
    )


def test_a_package_that_is_there_and_lacks_it_is_told_so(stored):
    part = {"kind": "growth", "name": "nobodys", "distribution": "numpy", "version": "1.2"}
    assert stored([part])[1].endswith(
        "the package 'numpy' is installed, and no plugin of it offers that"
    )


@pytest.mark.parametrize(
    "components",
    [None, 3, "x", [3], [{}], [{"kind": [], "name": {}, "distribution": 1}], {"kind": "growth"}],
)
def test_records_that_are_none_change_nothing(stored, components):
    assert len(stored(components)) == 1
