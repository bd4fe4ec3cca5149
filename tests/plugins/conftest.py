"""Installing tiny distributions into a folder of their own, and running dbgsom beside them."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
_DBGSOM = "from dbgsom_core.cli import main; main()"


class Site:
    """A folder on the path of child processes, as an installer would leave it."""

    def __init__(self, folder, work):
        self.folder, self.work = folder, work
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

    def dbgsom(self, *words, code=0, **environment):
        """Run the command line beside the installed distributions."""
        return self.python("-c", _DBGSOM, *words, code=code, **environment)

    def _python(self, *words, code=0, cwd, **environment):
        kept = {key: value for key, value in os.environ.items() if not key.startswith("DBGSOM")}
        paths = os.pathsep.join(filter(None, [str(self.folder), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, *words],
            cwd=cwd,
            env={**kept, "PYTHONPATH": paths, **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "site", tmp_path / "work")
