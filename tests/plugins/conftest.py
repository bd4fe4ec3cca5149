"""Installing tiny distributions into a folder of their own, and running dbgsom beside them."""

import contextlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from unittest import mock

import pytest

from dbgsom_core.plugins.registry import get_registry

ROOT = Path(__file__).parents[2]
_BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"


def _without_ours():
    return {key: value for key, value in os.environ.items() if not key.startswith("DBGSOM")}


class Site:
    """A folder on the path of child processes, as an installer would leave it."""

    def __init__(self, folder, work, called):
        self.folder, self.work, self.called = folder, work, called
        folder.mkdir()
        work.mkdir()

    def write(self, distribution, code, version="1.0", entry=None):
        """Install one module as a distribution with an entry point."""
        module = distribution.replace("-", "_")
        (self.folder / f"{module}.py").write_text(code, encoding="utf-8")
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n\nText\n"
        )
        (info / "entry_points.txt").write_text(
            f"[dbgsom.plugins]\n{distribution.removeprefix('dbgsom-')} = {entry or module}\n"
        )

    def build(self, source):
        """Build a wheel from a source folder, offline, and unpack it."""
        pytest.importorskip("hatchling")
        wheels = self.work / "wheels"
        wheels.mkdir(exist_ok=True)
        name = self._python("-c", _BUILD, str(wheels), cwd=source).stdout.split()[-1]
        zipfile.ZipFile(wheels / name).extractall(self.folder)
        return wheels / name

    def python(self, *words, code=0, cwd=None, **environment):
        """Run Python beside the installed distributions."""
        return self._python(*words, code=code, cwd=cwd or self.work, **environment)

    @contextlib.contextmanager
    def installed(self, **environment):
        """Let this process find the installed distributions, and forget them afterwards."""
        path = [sys.path[0], str(self.folder), *sys.path[1:]]
        get_registry.cache_clear()
        with (
            mock.patch.object(sys, "path", path),
            mock.patch.dict(os.environ, _without_ours() | environment, clear=True),
        ):
            yield
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(str(self.folder)):
                del sys.modules[name]
        get_registry.cache_clear()

    def dbgsom(self, *words, code=0, **environment):
        """Run the command line in this process, beside the installed distributions."""
        with self.installed(**environment):
            done = self.called(self.work, *words)
        assert done.code == code, done.out + done.err
        return done

    def _python(self, *words, code=0, cwd, **environment):
        paths = os.pathsep.join(filter(None, [str(self.folder), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, *words],
            cwd=cwd,
            env={**_without_ours(), "PYTHONPATH": paths, **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def client():
    """A client of a Dask cluster of two workers that are threads."""
    distributed = pytest.importorskip("distributed")
    given = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    cluster = distributed.LocalCluster(processes=False, **given)
    try:
        client = distributed.Client(cluster)
        try:
            yield client
        finally:
            client.close()
    finally:
        cluster.close()


@pytest.fixture
def site(tmp_path, called):
    return Site(tmp_path / "site", tmp_path / "work", called)
