"""Maps of small fits as an earlier version trained them: labels, hits and weights.

`python tests/conformance/test_frozen_fits.py` writes the results of this processor anew.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

from dbgsom_core import SomClassifier, SomVQ, presets

FROZEN = Path(__file__).parent / "data" / "frozen_fits.json"


def samples(n=2200, d=20, dtype=np.float32):
    """Groups of sums of uniform numbers: the same numbers on every processor."""
    rng = np.random.default_rng(32)
    codes = rng.integers(0, 7, n)
    centres = np.round(6 * rng.random((7, d)), 2)
    X = centres[codes] + rng.random((n, d)) + rng.random((n, d)) - 1
    return X.astype(dtype), codes


def quantized(X=None, weights=None, **params):
    X = samples()[0] if X is None else X
    size = {} if "growth" in params else {"max_neurons": 45}
    before = presets.square()
    given = {"epochs": 12, "tol": 0.0, "random_state": 0, **before, **size, **params}
    model = SomVQ(**given)
    return model.fit(X, sample_weight=weights)


def fixed(rows=7, columns=8, **more):
    return {"name": "fixed", "rows": rows, "columns": columns, **more}


def of_classes():
    X, codes = samples()
    before = {**presets.square(), "labeller": "kernel_vote"}
    made = SomClassifier(epochs=12, tol=0.0, max_neurons=45, random_state=0, **before)
    return made.fit(X, codes)


def incomplete():
    X = samples(900, 9, np.float64)[0]
    X[np.random.default_rng(3).random(X.shape) < 0.1] = np.nan
    return quantized(X)


def by_paper():
    X = samples(300, 6, np.float64)[0]
    return presets.paper(0.5, 8, init=X[:4]).fit(X)


FITS = {
    "fixed": lambda: quantized(growth=fixed()),
    "large": lambda: quantized(growth=fixed(20, 17), epochs=6),
    "growing": lambda: quantized(),
    "growing without pull": lambda: quantized(growth={"name": "directed", "link_pull": 0.0}),
    "classes": of_classes,
    "float64": lambda: quantized(samples(dtype=np.float64)[0]),
    "small float64": lambda: quantized(samples(500, 9, np.float64)[0]),
    "hexagonal": lambda: quantized(grid="hexagonal"),
    "large hexagonal": lambda: quantized(grid="hexagonal", growth=fixed(20, 17), epochs=6),
    "torus": lambda: quantized(growth=fixed(wrap=True)),
    "hierarchical": lambda: quantized(
        growth={"name": "hierarchical", "base": {"name": "directed"}, "tau_2": 0.1}
    ),
    "weights": lambda: quantized(weights=np.arange(2200) % 4 + 0.5),
    "missing": incomplete,
    "manhattan": lambda: quantized(samples(900, 9, np.float64)[0], metric="manhattan"),
    "cosine": lambda: quantized(metric="cosine"),
    "paper": by_paper,
    "default": lambda: SomVQ(random_state=0).fit(samples()[0]),
}


def machine():
    """Name what the last bits of a matrix product and of vector code may depend on."""
    from llvmlite import binding
    from numba.core import config

    blas = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    libraries = sorted({f"{one.get('architecture')} {one.get('version')}" for one in blas})
    host = binding.get_host_cpu_features().flatten()
    features = host if config.CPU_NAME is None else config.CPU_FEATURES or ""
    return ", ".join([*libraries, "avx512f" if "+avx512f" in features else "no avx512f"])


def digest(values):
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def sketch(weights):
    """Return two sums per prototype with fixed factors between 0.5 and 1.5."""
    factors = np.random.default_rng(7).random((weights.shape[1], 2)) + 0.5
    return (np.asarray(weights, np.float64)[:, :, None] * factors).sum(axis=1)


def described(model):
    return {
        "neurons": digest(np.asarray(model.neurons_, np.int64)),
        "labels": digest(np.asarray(model.labels_, np.int64)),
        "hits": np.asarray(model.leaf_hit_counts_, np.float64).tolist(),
        "sketch": [[float(f"{v:.10g}") for v in row] for row in sketch(model.leaf_weights_)],
    }


def bits_of(model):
    return digest(model.leaf_weights_)


@pytest.fixture(scope="module")
def frozen():
    return json.loads(FROZEN.read_text())


@pytest.mark.parametrize("name", FITS)
def test_a_fit_finds_the_frozen_map(name, frozen):
    model = FITS[name]()
    found, expected = described(model), frozen["fits"][name]
    np.testing.assert_allclose(found.pop("sketch"), expected["sketch"], rtol=1e-6)
    assert found == {part: expected[part] for part in found}
    bits = frozen["bits"].get(machine(), {})
    if name in bits:
        assert bits_of(model) == bits[name], "the weights are the frozen ones but for last bits"


def write():
    kept = json.loads(FROZEN.read_text()) if FROZEN.exists() else {"fits": {}, "bits": {}}
    models = {name: fit() for name, fit in FITS.items()}
    kept["fits"] = {name: described(model) for name, model in models.items()}
    kept["bits"][machine()] = {name: bits_of(model) for name, model in models.items()}
    FROZEN.write_text(json.dumps(kept, separators=(",", ":")).replace("}", "}\n") + "\n")


if __name__ == "__main__":
    write()
