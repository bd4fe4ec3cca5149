"""Compiled loops are kept in the user's cache folder and loaded without the compiler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dbgsom_core
from dbgsom_core import SomClassifier
from dbgsom_core.engine import compile as module
from dbgsom_core.engine.compile import compiled, loops_folder
from dbgsom_core.engine.runtime import compile_clock

PACKAGES = Path(dbgsom_core.__file__).parents[1]
COUNT = """
import sys
import numpy as np
from dbgsom_core.engine.runtime import compile_clock
with compile_clock() as clock:
    """
LOOPS = (
    COUNT
    + """from dbgsom_core.engine.loops import add_squares
    total = np.zeros(2)
    for dtype in (np.float32, np.float64):
        add_squares(np.ones((3, 2), dtype), np.zeros(2), total)
loaded = "numba.typed.typeddict" in sys.modules
print(clock.seconds > 0, loaded, sum(add_squares.stats.cache_hits.values()), total.sum())
"""
)
FIT = (
    COUNT
    + """from dbgsom_core import SomVQ
    som = SomVQ(epochs=3, random_state=0).fit(np.random.default_rng(0).normal(size=(60, 3)))
print(clock.seconds > 0, som.weights_.tobytes().hex())
"""
)


@pytest.fixture(autouse=True)
def _forgetful():
    loops_folder.cache_clear()
    yield
    loops_folder.cache_clear()


def started(code, cache=None, root=PACKAGES):
    """Start code; without ``cache`` its loops are kept where everybody's are."""
    path = os.pathsep.join([str(root), str(root / "plugins")])
    environment = {**os.environ, "PYTHONPATH": path}
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = str(cache)
    command = [sys.executable, "-P", "-c", code]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def answer(process):
    out, _ = process.communicate()
    assert process.returncode == 0
    return out.split()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")
def test_the_folder_is_the_users_and_one_for_each_source(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "given"))
    folders = [loops_folder()]
    assert folders[0].parent == tmp_path / "given" / "dbgsom-core"
    assert folders[0].stat().st_mode & 0o077 == 0  # code that others could write would be run
    with monkeypatch.context() as other:
        other.setattr(module, "_engine_sources", lambda: "other code")
        loops_folder.cache_clear()
        folders.append(loops_folder())
    assert len({*folders}) == 2
    loops_folder.cache_clear()
    assert loops_folder() == folders[0]


def test_folders_long_unused_are_swept(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    base = tmp_path / "dbgsom-core"
    for day in range(20):
        (base / f"old-{day}").mkdir(parents=True)
        os.utime(base / f"old-{day}", (86400 * day, 86400 * day))
    (base / "young").mkdir()
    folder = loops_folder()
    names = {entry.name for entry in base.iterdir()}
    assert names == {folder.name, "young", *(f"old-{day}" for day in range(14, 20))}


def test_where_nothing_can_be_written_loops_are_compiled_in_each_process(tmp_path, monkeypatch):
    file = tmp_path / "a file"
    file.write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(file))
    assert loops_folder() is None
    assert answer(started(LOOPS, file)) == ["True", "True", "0", "12.0"]


def test_cached_loops_load_without_the_compiler_and_only_for_their_types(tmp_path):
    at_once = [started(LOOPS, tmp_path) for _ in range(2)]
    assert {answer(process)[-1] for process in at_once} == {"12.0"}
    answer(started(LOOPS, tmp_path))  # what was lost in between
    assert answer(started(LOOPS, tmp_path)) == ["False", "False", "2", "12.0"]
    one, other = sorted(tmp_path.rglob("*add_squares*.nbc"))
    one.write_bytes(other.read_bytes())
    assert answer(started(LOOPS, tmp_path)) == ["True", "True", "1", "12.0"]
    assert answer(started(LOOPS, tmp_path)) == ["False", "False", "2", "12.0"]


def test_another_installation_of_the_same_code_compiles_nothing(tmp_path):
    copy = tmp_path / "elsewhere"
    for folder in ("dbgsom_core", "plugins"):  # with dates of their own, as installers give them
        shutil.copytree(
            PACKAGES / folder,
            copy / folder,
            ignore=shutil.ignore_patterns("__pycache__"),
            copy_function=shutil.copyfile,
        )
    _, weights = answer(started(FIT))  # whatever nobody has compiled yet
    assert answer(started(FIT, root=copy)) == ["False", weights]


def test_without_a_compiler_the_reason_is_said():
    code = "from dbgsom_core import SomVQ; SomVQ().fit([[0, 0], [1, 0], [0, 2], [1, 3]])"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.returncode != 0
    assert "unset NUMBA_DISABLE_JIT" in done.stderr


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_read_only_samples_are_no_other_kind_of_array(dtype):
    """As joblib hands them out: no loop is compiled once more, and the map is the same."""
    X = np.random.default_rng(0).normal(size=(1000, 40)).astype(dtype)
    y = np.arange(1000) % 3
    expected = SomClassifier(max_neurons=12, epochs=12).fit(X, y)
    answers = expected.predict(X), expected.transform(X), expected.transform(X, "distances")
    X.flags.writeable = False
    with compile_clock() as clock:
        found = SomClassifier(max_neurons=12, epochs=12).fit(X, y)
        again = found.predict(X), found.transform(X), found.transform(X, "distances")
    assert clock.seconds == 0
    np.testing.assert_array_equal(found.weights_, expected.weights_)
    for one, other in zip(again, answers, strict=True):
        np.testing.assert_array_equal(one, other)


def test_generated_code_is_not_taken_for_other_code_of_the_same_text():
    for scale in (2.0, 3.0):
        namespace = {"SCALE": scale, "__name__": "made"}
        exec("def f(x):\n    return SCALE * x", namespace)
        assert compiled(namespace["f"])(1.0) == scale
