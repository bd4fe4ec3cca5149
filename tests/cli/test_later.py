"""What others import and a command never uses is not loaded."""

import subprocess
import sys

import numpy as np
import pytest

from dbgsom_core.cli.later import imported_later

USES = {
    "by those who have it": "used = sklearn.utils.fixes.scipy.stats.rankdata",
    "by their name for it": "used = stats.rankdata",
    "by a name of the module": "import scipy.stats; used = scipy.stats.rankdata",
    "by a name from it": "from scipy.stats import rankdata as used",
    "by the package": "from scipy import stats; used = stats.rankdata",
    "by what lies in it": "from scipy.stats._stats_py import rankdata as used",
    "twice": "stats.norm; import scipy.stats; used = stats.rankdata",
}
SCRIPT = """
import sys
from dbgsom_core.cli.later import imported_later
with imported_later("scipy.stats"):
    import scipy.stats, sklearn.base
    from scipy import stats
assert not [name for name in sys.modules if name.startswith("scipy.stats")]
{use}
assert used([3, 1, 2]).tolist() == [3, 1, 2]
import pickle
import scipy.stats
from scipy.stats._distn_infrastructure import rv_continuous
assert isinstance(scipy.stats.norm, rv_continuous)
assert pickle.loads(pickle.dumps(scipy.stats.norm(0, 1))).cdf(0) == 0.5
assert pickle.loads(pickle.dumps(used)) is scipy.stats.rankdata is used
assert scipy.stats.__spec__.name == "scipy.stats"
"""
ASKED = """
import sys
sys.argv = ["dbgsom", "predict", sys.argv[1], sys.argv[2]]
from dbgsom_core.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
assert not [name for name in sys.modules if name.startswith("scipy.stats")]
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


def test_one_that_is_used_meanwhile_is_there(monkeypatch):
    name = "xml.dom.minidom"
    monkeypatch.delitem(sys.modules, name, raising=False)
    with imported_later(name):
        later = sys.modules[name]
        found = later.Document
        assert sys.modules[name] is not later
        assert sys.modules[name].Document is found
    assert sys.modules[name].Document is later.Document is found
    with imported_later(name):  # it is there
        assert sys.modules[name].Document is found


def test_a_name_that_it_has_not_is_missing_as_ever(monkeypatch):
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    with imported_later("wave"):
        import wave
    with imported_later("no_such_module_at_all"):
        import no_such_module_at_all as nothing
    with pytest.raises(AttributeError, match="no attribute 'no_such'"):
        wave.no_such  # noqa: B018
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        nothing.anything  # noqa: B018
    assert "no_such_module_at_all" not in sys.modules


def test_a_model_answers_without_the_statistics_of_scipy(tmp_path):
    from dbgsom_core import SomRegressor

    X = np.random.default_rng(0).normal(size=(60, 2))
    SomRegressor(epochs=3).fit(X, X[:, 0]).save(tmp_path / "map.npz")
    np.save(tmp_path / "new.npy", X)
    told = _python(ASKED, str(tmp_path / "map.npz"), str(tmp_path / "new.npy"))
    assert len(told.splitlines()) == 61
