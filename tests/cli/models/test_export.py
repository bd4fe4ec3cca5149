"""Neurons for other programs: export."""

import io
import json

import numpy as np
import pandas as pd


def test_neurons_are_exported_in_raw_units(shop, told, model, tmp_path):
    out, _ = told("export", "fruit")
    table = pd.read_csv(io.StringIO(out))
    estimator = model.estimator
    assert list(table.columns[6:]) == list(model.columns.feature_names)
    raw = model.steps[0][1].inverse_transform(estimator.weights_)
    np.testing.assert_allclose(table.iloc[:, 6:], raw, rtol=1e-12, atol=1e-12)
    assert list(zip(table["x"], table["y"], strict=True)) == estimator.neurons_
    red = table["colour=red"].map(str)
    assert set(red) & {"0.0", "1.0"}  # and no -1e-17
    assert max(map(len, red)) <= len("0.0123456789012")
    assert (table["hits"] == estimator.hit_counts_).all()
    assert (table["label"] == estimator.neuron_labels_).all()

    told("export", "fruit", "-o", "map.json")
    found = json.loads((shop / "map.json").read_text())
    assert found["metric"] == "euclidean"
    assert found["maps"][0]["links"] == estimator.som_map_.edges().tolist()
    assert found["maps"][0]["neurons"][2]["label"] == estimator.neuron_labels_[2]

    told("export", "fruit", "-o", "map-arrays.npz")
    with np.load(shop / "map-arrays.npz") as arrays:
        np.testing.assert_allclose(arrays["prototypes"], raw, rtol=1e-12)
        assert arrays["features"].tolist() == list(model.columns.feature_names)
        assert arrays["positions"].tolist() == [list(cell) for cell in estimator.neurons_]


def test_child_maps_are_exported_below_their_neurons(digits, tmp_path):
    from dbgsom_core import SomVQ
    from dbgsom_core.estimators.model_file import FittedModel
    from dbgsom_core.runs.explain import exported
    from dbgsom_core.runs.models import predict_file

    base = {"name": "directed", "spreading_factor": 0.1}
    growth = {"name": "hierarchical", "base": base, "tau_2": 0.02}
    vq = SomVQ(growth=growth, epochs=20).fit(digits[0])
    np.save(tmp_path / "digits.npy", digits[0])
    predict_file(FittedModel((), vq), str(tmp_path / "digits.npy"), str(tmp_path / "ways.csv"))
    ways = pd.read_csv(tmp_path / "ways.csv", dtype={"path": str})
    down = vq.leaf_paths_[vq.answers(digits[0]).leaf].tolist()
    assert ways["path"].tolist() == ["/".join(str(n) for n in way if n >= 0) for way in down]
    table = pd.read_csv(io.BytesIO(exported(FittedModel((), vq), "csv")), keep_default_na=False)
    assert len(table) == sum(map(len, vq._tree.maps))
    for neuron in vq.som_map_.children:
        below = table[table["map"] == str(neuron)]
        assert below["hits"].sum() == vq.hit_counts_[neuron]


def test_no_command_writes_over_what_it_reads(shop, refused, run_folder):
    own = run_folder / "model.npz"
    (shop / "copy.npz").write_bytes(own.read_bytes())
    assert "is the file that is read" in refused("export", "copy.npz", "-o", "copy.npz")
    assert "is the file that is read" in refused("export", "fruit", "-o", own)
    for name, command in (
        ("neurons.csv", ("export", "fruit")),
        ("report.html", ("explore", "fruit")),
        ("figures/explorer.html", ("explore", "fruit")),
        ("report.md", ("compare", "fruit")),
        ("model.json", ("schema",)),
    ):
        (run_folder / name).touch()
        assert "is a file of the run in" in refused(*command, "-o", run_folder / name)


def test_what_cannot_be_exported_is_refused(refused, told, tmp_path):
    assert "--format says as which of them" in refused("export", "fruit", "-o", "map.xlsx")
    told("export", "fruit", "-o", str(tmp_path / "map.dat"), "--format", "csv")
    assert (tmp_path / "map.dat").read_text().startswith("map,neuron,x,y,")
    assert "no text" in refused("export", "fruit", "--format", "npz")
    assert "there is no folder" in refused("export", "fruit", "-o", "nowhere/map.csv")
