"""Compiled loops are kept in the user's cache folder, whatever environment the package is in."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dbgsom_core
from dbgsom_core.engine import cache_folder as module
from dbgsom_core.engine.cache_folder import cache_folder

_COUNT = """
import numpy as np
import numba.core.event as event
compilations = []

class Listener(event.Listener):
    def on_start(self, event):
        compilations.append(event.data)

    def on_end(self, event):
        pass

event.register("numba:compile", Listener())
"""
_FIT = (
    _COUNT
    + """
from dbgsom_core import SomVQ
X = np.random.default_rng(0).normal(size=(60, 3))
som = SomVQ(epochs=3, random_state=0).fit(X)
print(len(compilations), som.weights_.tobytes().hex())
"""
)
_LOOPS = (
    _COUNT
    + """
from dbgsom_core.engine.loops import add_columns, add_squares
total = np.zeros(2)
for dtype in (np.float32, np.float64):
    X = np.ones((3, 2), dtype)
    add_columns(X, total)
    add_squares(X, np.zeros(2), total)
print(len(compilations), total.tobytes().hex())
"""
)
_SUM = np.full(2, 12.0).tobytes().hex()


@pytest.fixture(autouse=True)
def _forgetful():
    cache_folder.cache_clear()
    yield
    cache_folder.cache_clear()


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return tmp_path


def started(folder, code, cache=None, root=None):
    """Start code in a folder; without ``cache`` its loops are kept where everybody's are."""
    packages = Path(dbgsom_core.__file__).parents[1]
    path = [str(root or packages), str((root or packages) / "plugins")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = str(cache)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )


def answer(process):
    out, _ = process.communicate()
    assert process.returncode == 0
    count, result = out.split()
    return int(count), result


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")
def test_the_folder_is_the_users(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "given"))
    folder = cache_folder("1")
    assert folder.parent == tmp_path / "given" / "dbgsom-core"
    assert folder.stat().st_mode & 0o077 == 0  # code that others could write would be run
    cache_folder.cache_clear()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder("1").parent == tmp_path / "home" / ".cache" / "dbgsom-core"


def test_the_key_tells_versions_sources_and_processors_apart(place, monkeypatch):
    folders = [cache_folder("1", "2"), cache_folder("1", "3")]
    with monkeypatch.context() as other:
        other.setattr(module, "engine_sources", lambda: "other code")
        cache_folder.cache_clear()
        folders.append(cache_folder("1", "2"))
    for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"):
        with monkeypatch.context() as other:
            other.setenv(name, "another")
            cache_folder.cache_clear()
            folders.append(cache_folder("1", "2"))
    cache_folder.cache_clear()
    assert len({*folders}) == 5
    assert cache_folder("1", "2") == folders[0]


def test_folders_long_unused_are_swept(place):
    base = place / "dbgsom-core"
    for day in range(20):
        (base / f"old-{day}").mkdir(parents=True)
        os.utime(base / f"old-{day}", (86400 * day, 86400 * day))
    (base / "young").mkdir()
    folder = cache_folder("1")
    names = {entry.name for entry in base.iterdir()}
    assert names == {folder.name, "young", *(f"old-{day}" for day in range(14, 20))}


def test_where_nothing_can_be_written_there_is_no_folder(place, monkeypatch):
    file = place / "a file"
    file.write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(file))
    assert cache_folder("1") is None


def test_without_a_folder_loops_are_compiled_in_each_process(tmp_path):
    file = tmp_path / "a file"
    file.write_text("")
    assert answer(started(tmp_path, _LOOPS, file)) == (4, _SUM)


def test_another_installation_of_the_same_code_compiles_nothing(tmp_path):
    packages = Path(dbgsom_core.__file__).parents[1]
    copy = tmp_path / "elsewhere"
    for folder in ("dbgsom_core", "plugins"):  # with dates of their own, as installers give them
        shutil.copytree(
            packages / folder,
            copy / folder,
            ignore=shutil.ignore_patterns("__pycache__"),
            copy_function=shutil.copyfile,
        )
    _, weights = answer(started(tmp_path, _FIT))  # whatever nobody has compiled yet
    assert answer(started(tmp_path, _FIT, root=copy)) == (0, weights)


def test_processes_that_fill_the_cache_at_once_leave_it_whole(tmp_path):
    cache = tmp_path / "cache"
    processes = [started(tmp_path, _LOOPS, cache) for _ in range(2)]
    counts, sums = zip(*map(answer, processes), strict=True)
    assert sum(counts) >= 4
    assert set(sums) == {_SUM}
    for _ in range(2):
        assert answer(started(tmp_path, _LOOPS, cache))[1] == _SUM
    assert answer(started(tmp_path, _LOOPS, cache)) == (0, _SUM)
