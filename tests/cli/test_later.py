"""What others import and a command never uses is not loaded."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dbgsom_core.cli.later import import_later

USES = {
    "by a name of the module": "import scipy.stats; used = scipy.stats.rankdata",
    "by a name from it": "from scipy.stats import rankdata as used",
    "by the package": "from scipy import stats; used = stats.rankdata",
    "by what lies in it": "import scipy.stats.mstats; used = scipy.stats.rankdata",
    "twice": "from scipy import stats; stats.norm; import scipy.stats; used = stats.rankdata",
}
SCRIPT = """
import sys
from dbgsom_core.cli.later import import_later
import_later("scipy.stats")
import scipy.stats, sklearn.base
assert "scipy.stats._stats_py" not in sys.modules
{use}
assert used([3, 1, 2]).tolist() == [3, 1, 2]
assert sys.modules["scipy.stats"].__file__
"""
ASKED = """
import sys
sys.argv = ["dbgsom", "predict", sys.argv[1], sys.argv[2]]
from dbgsom_core.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
assert "scipy.stats._stats_py" not in sys.modules
"""


def _python(*given):
    done = subprocess.run(
        [sys.executable, "-c", *given], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_module_is_imported_once_it_is_used(use):
    _python(SCRIPT.format(use=use))


def test_a_name_that_it_has_not_is_missing_as_ever():
    import_later("wave")
    import wave

    with pytest.raises(AttributeError, match="no attribute 'no_such'"):
        wave.no_such  # noqa: B018
    import_later("no_such_module_at_all")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        sys.modules["no_such_module_at_all"].anything  # noqa: B018
    assert "no_such_module_at_all" not in sys.modules


def test_threads_get_one_module(monkeypatch):
    name = "xml.dom.minidom"
    monkeypatch.delitem(sys.modules, name, raising=False)
    import_later(name)
    later = sys.modules[name]
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: later.Document, range(8)))
    assert found == {sys.modules[name].Document}


def test_a_model_answers_without_the_statistics_of_scipy(tmp_path):
    from dbgsom_core import SomRegressor

    X = np.random.default_rng(0).normal(size=(60, 2))
    SomRegressor(epochs=3).fit(X, X[:, 0]).save(tmp_path / "map.npz")
    np.save(tmp_path / "new.npy", X)
    told = _python(ASKED, str(tmp_path / "map.npz"), str(tmp_path / "new.npy"))
    assert len(told.splitlines()) == 61
