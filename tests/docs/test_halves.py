"""The learning half stands alone: it needs no library of experiments, and matplotlib to draw."""

import subprocess
import sys

# As if none of them were installed: scikit-learn and numba import some where they are.
CODE = """
import sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("yaml", "pyarrow", "pandas", "click", "rich", "jinja2", "mlflow", "matplotlib"):
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Absent())

import numpy as np
from dbgsom_core import SomClassifier

X = np.random.default_rng(0).normal(size=(60, 3))
fitted = SomClassifier(random_state=0, epochs=4).fit(X, X[:, 0] > 0)
assert fitted.predict(X).shape == (60,)
experiments = ("cli", "config", "experiments", "runs", "testing")
print([name for name in experiments if f"dbgsom_core.{name}" in sys.modules])
"""


def test_a_fit_needs_no_library_of_experiments():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
