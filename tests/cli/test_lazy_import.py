"""A submodule that a command never uses is not loaded; who uses it notices no difference."""

import subprocess
import sys

import numpy as np
import pytest

USES = {
    "as an attribute of its importer": "used = sklearn.utils.fixes.scipy.stats.rankdata",
    "from the package": "from scipy import stats; used = stats.rankdata",
}
SCRIPT = """
import pickle, sys
from dbgsom_core.cli.console import lazy_import
with lazy_import("scipy.stats"):
    import scipy.stats, sklearn.base
    from scipy import stats
assert not [name for name in sys.modules if name.startswith("scipy.stats")]
{use}
assert used([3, 1, 2]).tolist() == [3, 1, 2]
import scipy.stats
assert pickle.loads(pickle.dumps(scipy.stats.norm(0, 1))).cdf(0) == 0.5
assert pickle.loads(pickle.dumps(used)) is scipy.stats.rankdata is used
"""
PREDICT = """
import sys
sys.argv = ["dbgsom", "predict", sys.argv[1], sys.argv[2]]
from dbgsom_core.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
assert not [name for name in sys.modules if name.startswith("scipy.stats")]
"""


def run_python(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_module_is_imported_on_its_first_use(use):
    run_python(SCRIPT.format(use=use))


def test_predict_needs_no_statistics_of_scipy(tmp_path):
    from dbgsom_core import SomRegressor

    X = np.random.default_rng(0).normal(size=(60, 2))
    SomRegressor(epochs=3).fit(X, X[:, 0]).save(tmp_path / "map.npz")
    np.save(tmp_path / "new.npy", X)
    printed = run_python(PREDICT, str(tmp_path / "map.npz"), str(tmp_path / "new.npy"))
    assert len(printed.splitlines()) == 61
