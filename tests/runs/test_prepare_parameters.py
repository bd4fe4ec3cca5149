"""What a prepare step is given is checked before anything is read, and told where it stands."""

import pytest

from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError
from dbgsom_core.runs.prepare import make_step, make_steps

SCALER, PCA = "sklearn.preprocessing:RobustScaler", "sklearn.decomposition:PCA"


def test_every_fault_of_every_step_is_told_at_its_place(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "experiment: e\n"
        "dataset: iris\n"
        "prepare:\n"
        f"  - {{name: '{SCALER}', shere: 1}}\n"
        "  - standardize\n"
        f"  - name: {PCA}\n"
        "    n_components: many\n"
        "  - {name: standardize, with_meen: true}\n"
        "  - sklearn.preprocessing:RobustScale\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        make_steps(load_experiment(path))
    told = str(caught.value).replace(f"{path}:", "").splitlines()
    assert [line.partition(": prepare step")[0] for line in told] == [
        "4:50: prepare.0.shere",
        "7:5: prepare.2.n_components",
        "8:25: prepare.3.with_meen",
        "9:5: prepare.4",
    ]
    assert told[0].endswith("has no parameter 'shere'; it has with_centering, with_scaling, "
                            "quantile_range, copy, unit_variance")  # fmt: skip
    assert "Got 'many' instead" in told[1]
    assert told[2].endswith("did you mean 'with_mean'?")


def test_a_list_stands_for_a_tuple():
    assert make_step(SCALER, {"quantile_range": [10, 90]}).quantile_range == (10, 90)
