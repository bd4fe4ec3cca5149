"""Cytometry from files to tables: values to the bit, compensation, copies, trees and statistics."""

import atexit
import io
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout, suppress
from types import SimpleNamespace

import anndata
import flowio
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from forged_cells import write_raw
from scipy.sparse import csr_matrix
from scipy.spatial.distance import cdist

import dbgsom_core
from dbgsom_core.api import DataError
from dbgsom_core.cli import main
from dbgsom_core.tables import open_table, write_table
from dbgsom_core.testing import parametrize_with_checks
from dbgsom_cyto.arcsinh import Arcsinh
from dbgsom_cyto.cluster_tables import ClusterTables, tables_of
from dbgsom_cyto.fcs import Fcs, places_of
from dbgsom_cyto.fcs_files import Spillover
from dbgsom_cyto.h5ad import H5ad
from dbgsom_cyto.tree import MinimumSpanningTree, layout, spanning_tree

MATRIX = np.array([[1, 0.2, 0.05], [0.1, 1, 0.3], [0, 0.15, 1]])
DYES = ["FL1-A", "FL2-A", "FL3-A"]
CHANNELS = ["FSC-A", "SSC-A", *DYES, "FL3-H", "Time"]
LABELS = ["", "", "CD3", "CD4", "CD8", "CD8h", ""]
KEYWORD = ",".join(["3", *DYES, *MATRIX.ravel().astype(str)])


def events_of(seed, n=200):
    return np.random.default_rng(seed).lognormal(5, 2, (n, len(CHANNELS))).astype(np.float32)


def write_fcs(path, events, text=None, channels=CHANNELS, labels=LABELS):
    with path.open("wb") as file:
        flowio.create_fcs(file, events.ravel().tolist(), channels, labels, text or {})
    return path


@pytest.fixture
def files(tmp_path):
    """Two files with a spillover matrix, of 200 and 300 events."""
    folder = tmp_path / "files"
    folder.mkdir()
    for seed, (name, n) in enumerate({"a": 200, "b": 300}.items()):
        text = {"SPILLOVER": KEYWORD, "CYT": "a|b", "MY KEY": "a/b"}
        write_fcs(folder / f"{name}.fcs", events_of(seed, n), text)
    return folder


def load(path, channels="CD*", **fields):
    return Fcs(path=str(path), channels=channels, **fields).load()


FOLDERS = {kind: tempfile.TemporaryDirectory() for kind in (Fcs, H5ad)}
atexit.register(lambda: [folder.cleanup() for folder in FOLDERS.values()])
COMPONENTS = [
    *(kind(**kind.examples(folder.name)) for kind, folder in FOLDERS.items()),
    MinimumSpanningTree(),
    ClusterTables(),
    Arcsinh(),
    Arcsinh(cofactor=[1.0, 2.0, 3, 4.5]),
]


@parametrize_with_checks(COMPONENTS)
def test_each_component_keeps_its_promises(component, check):
    check(component)


def test_values_are_read_to_the_bit_with_their_file_and_number(files):
    data = load(files, compensate=False)
    stored = np.vstack([events_of(0, 200), events_of(1, 300)])
    assert data.X.dtype == np.float32
    np.testing.assert_array_equal(data.X, stored[:, 2:6])
    assert data.feature_names == ["CD3", "CD4", "CD8", "CD8h"]
    assert data.ids["file"].tolist() == ["a"] * 200 + ["b"] * 300
    assert data.ids["event"].tolist() == [*range(200), *range(300)]


def test_channels_that_measure_no_marker_are_left_out(files):
    with pytest.warns(UserWarning, match="left out, .*: FSC-A, SSC-A, CD8h, Time"):
        data = Fcs(path=str(files / "a.fcs")).load()
    assert data.feature_names == ["Comp-CD3", "Comp-CD4", "Comp-CD8"]


@pytest.mark.parametrize(
    ("channels", "names"),
    [
        (["CD4", "FL1-A", "Time"], ["Comp-CD4", "Comp-CD3", "Time"]),
        ("FL?-A", ["Comp-CD3", "Comp-CD4", "Comp-CD8"]),
        (["*SC*", "Comp-CD8"], ["FSC-A", "SSC-A", "Comp-CD8"]),
    ],
)
def test_channels_are_named_by_marker_detector_or_pattern(files, channels, names):
    assert load(files, channels).feature_names == names


def test_a_marker_is_found_within_its_names():
    names = ["Comp-CD3 BV421", "170Er_CD4", "Comp-1f3a-HLA-DR", "CD8-FITC", "CD45 RA", "CD45_RO"]
    words = ["CD3", "CD4", "HLA-DR", "CD8", "RA", "Comp-CD3", "CD45", "CD", "Comp-HLA-DR"]
    found = [places_of(word, [[name] for name in names]) for word in words]
    assert found == [[0], [1], [2], [3], [4], [0], [], [], [2]]
    assert places_of("FL1-A", [["FL1-A"], ["Comp-FL1-A"]]) == [0]


def test_channels_are_named_by_a_word_of_their_marker(tmp_path):
    labels = ["", "", "CD3 BV421", "170Er_CD4", "CD8 PE", "CD8 APC", ""]
    path = write_fcs(tmp_path / "x.fcs", events_of(0), {"SPILLOVER": KEYWORD}, labels=labels)
    data = load(path, ["CD4", "CD3"])
    assert data.feature_names == ["Comp-170Er_CD4", "Comp-CD3 BV421"]
    with pytest.raises(DataError, match="no channel 'CD8'; did you mean 'CD8 PE'"):
        load(path, "CD8")


def test_mass_cytometry_is_left_with_its_markers(tmp_path):
    labels = ["140Ce_Beads", "191Ir_DNA1", "Live/Dead", "102Pd_BC1", "194Pt_Cisplatin", "DNAM-1"]
    channels = ["Ce140Di", "Ir191Di", "Pt195Di", "Pd102Di", "Pt194Di", "Er170Di", "Er166Di"]
    path = write_fcs(tmp_path / "x.fcs", events_of(0), {}, channels, [*labels, "166Er_BCL6"])
    with pytest.warns(UserWarning, match="left out, .*: 140Ce_Beads, .*, 194Pt_Cisplatin"):
        data = load(path, None)
    assert data.feature_names == ["DNAM-1", "166Er_BCL6"]


def test_compensation_undoes_the_published_convention(tmp_path):
    true = events_of(3)[:, 2:5].astype(np.float64)
    events = events_of(3)
    events[:, 2:5] = true @ MATRIX  # what is observed
    path = write_fcs(tmp_path / "x.fcs", events, {"SPILLOVER": KEYWORD})
    found = load(path, DYES)
    np.testing.assert_allclose(found.X, true, rtol=1e-4, atol=0.01)
    observed = events[:, 2:5].astype(np.float64)
    twin = np.array([np.linalg.solve(MATRIX.T, row) for row in observed])
    np.testing.assert_allclose(found.X, twin, rtol=1e-5, atol=1e-3)


def test_a_matrix_for_all_files_has_names_of_its_own(files):
    names = ["Comp-FL1-A :: CD3", "FL2-A", "CD8"]
    table = pd.DataFrame(2 * MATRIX, index=names, columns=names)
    table.to_csv(files / "spillover.csv")
    data = load(files, spillover=str(files / "spillover.csv"))
    prefix = data.feature_names[0].removesuffix("CD3")
    assert data.feature_names == [f"{prefix}CD3", f"{prefix}CD4", f"{prefix}CD8", "CD8h"]
    np.testing.assert_allclose(2 * data.X[:, :3], load(files, DYES).X, rtol=1e-5)
    reader = open_table(str(files / "a.fcs"))  # offers it, as the matrix lies beside
    assert {f"{prefix}CD3", "Comp-CD3", "CD3"} <= {*reader.names}
    table.iloc[0, 1] += 0.01
    table.to_csv(files / "spillover.csv")
    assert f"{prefix}CD3" not in open_table(str(files / "a.fcs")).names


def test_new_files_are_compensated_by_the_matrix_of_the_run(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["FL1-A", "FL2-A", "FL3-A"]
    pd.DataFrame(2 * MATRIX, index=names, columns=names).to_csv("matrix.csv")
    section = {"name": "fcs", "path": str(files), "spillover": "matrix.csv"}
    config = {"experiment": "flow", "dataset": section, "figures": [], "tracking": ["run_folder"]}
    done = dbgsom_core.run(config)
    new = tmp_path / "new"
    new.mkdir()
    (new / "c.fcs").write_bytes((files / "a.fcs").read_bytes())
    predict("flow", "new", "-o", "answers.csv")
    data = load(new, spillover="matrix.csv")
    frame = pd.DataFrame(data.X, columns=data.feature_names)
    assert pd.read_csv("answers.csv")["label"].tolist() == done.model.predict(frame).tolist()


def test_what_a_program_stored_compensated_is_not_compensated_again(tmp_path):
    channels = [f"Comp-{one}" if one in DYES else one for one in CHANNELS]
    for names in (DYES, [f"Comp-{one}" for one in DYES]):
        text = {"SPILLOVER": ",".join(["3", *names, *MATRIX.ravel().astype(str)])}
        path = write_fcs(tmp_path / "x.fcs", events_of(0), text, channels)
        data = load(path, ["CD3", "CD8"])
        assert data.feature_names == ["Comp-CD3", "Comp-CD8"]
        np.testing.assert_array_equal(data.X, events_of(0)[:, [2, 4]])
    write_fcs(path, events_of(0), text)  # names of the matrix say nothing of what is stored
    once = write_fcs(tmp_path / "y.fcs", events_of(0), {"SPILLOVER": KEYWORD})
    np.testing.assert_array_equal(load(path, DYES).X, load(once, DYES).X)


@pytest.mark.parametrize("scale", ["4,1", "0,0"])
@pytest.mark.parametrize("dtype", ["<u2", "<u4", "<f4", "<f8"])
def test_a_copy_is_read_as_the_file_of_any_type_and_scale(tmp_path, dtype, scale):
    raw = np.random.default_rng(0).integers(0, 1024, (50, 3)).astype(dtype)
    raw[:, 2] *= 4 if dtype[1] == "u" else 0.3
    kind = {"u": "I", "f": "F"}[dtype[1]] if dtype != "<f8" else "D"
    keywords = {"$DATATYPE": kind, "$P1E": scale, "$P2G": 2.5, "$TIMESTEP": 0.01, "$P3N": "Time"}
    path = write_raw(tmp_path / "old.fcs", raw, keywords | {"$P3R": 4096})
    first = raw[:, 0] if scale == "0,0" else 10 ** (4 * raw[:, 0] / 1024)
    linear = np.column_stack([first, raw[:, 1] / 2.5, raw[:, 2] * 0.01])
    np.testing.assert_allclose(load(path, ["FL*", "Time"]).X, linear, rtol=1e-6)
    write_table(tmp_path / "new.fcs", [{"label": np.arange(50)}], beside=str(path))
    new = flowio.FlowData(str(tmp_path / "new.fcs"))
    assert (new.data_type, new.text["p2g"]) == ("F", "2.5" if scale == "0,0" else "1.0")
    expected = np.column_stack([linear, np.arange(50)])
    np.testing.assert_allclose(new.as_array(), expected, rtol=1e-6)
    if scale == "0,0":  # what is stored stays, for programs that read no gains
        np.testing.assert_array_equal(new.as_array(preprocess=False)[:, :3], raw.astype("f4"))


def test_keywords_survive_copies_of_copies(tmp_path):
    keywords = {"$DATATYPE": "F", "DIR": "/data/day 1/", "A/B": "a/b//c", "GONE": " ", "ÜBER": "µ"}
    keywords |= {"SPILL": "2,FL1,FL2,1,0.1,0,1", "$P1S": "CD3/", "$P1V": "350", "$CYT": "Aria"}
    values = np.random.default_rng(0).normal(size=(9, 2)).astype("<f4")
    path = str(write_raw(tmp_path / "0.fcs", values, keywords))
    for number in (1, 2):
        columns = {"label": ["T/B", "B"] * 4 + ["C/"], "share, of T/B": np.full(9, number)}
        write_table(tmp_path / f"{number}.fcs", [columns], beside=path)
        path = str(tmp_path / f"{number}.fcs")
    new = flowio.FlowData(path)
    kept = {"dir": "data/day 1", "a/b": "a/b//c", "über": "µ", "p1s": "CD3", "p1v": "350"}
    kept |= {"cyt": "Aria", "spill": keywords["SPILL"], "dbgsom_names_of_label 2": "1=T/B;2=B;3=C"}
    assert kept.items() <= new.text.items()
    assert "gone" not in new.text
    added = ["label", "share  of T B", "label 2", "share  of T B 2"]
    assert new.pnn_labels == ["FL1", "FL2", *added]
    assert open_table(path).parts[0][0].added == {*added}
    np.testing.assert_array_equal(
        new.as_array()[:, [0, 1, 3, 5]], np.column_stack([values, np.ones(9), np.full(9, 2)])
    )
    np.testing.assert_array_equal(load(path, "FL*").X, load(tmp_path / "0.fcs", "FL*").X)


def test_rows_are_drawn_of_each_file_by_a_seed(files):
    some, again, other = (load(files, rows=50, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(some.X, again.X)
    assert not np.array_equal(some.X, other.X)
    every = load(files)
    at = some.ids["event"] + np.where(some.ids["file"] == "b", 200, 0)
    np.testing.assert_array_equal(some.X, every.X[at])
    assert len(np.unique(at)) == 100


def test_samples_and_targets_stand_beside_the_events(files):
    table = files.parent / "samples.csv"
    table.write_text("file,condition,day\nb.fcs,treated,2\na,control,1\n")
    data = load(files, samples=str(table), target="Time")
    assert data.annotations["condition"].tolist() == ["control"] * 200 + ["treated"] * 300
    np.testing.assert_array_equal(data.y[:200], events_of(0)[:, 6])
    table.write_text("file,condition\nflow/b.fcs,treated\nflow/a.fcs,control\n")
    assert load(files, samples=str(table)).annotations["condition"][0] == "control"
    table.write_text("file,condition\na,control\nx/b,1\ny/b,2\n")
    with pytest.raises(
        DataError, match=r"no row for the file 'b': add one \(there are: a, x/b, y/b\)"
    ):
        load(files, samples=str(table))


def test_files_of_other_channels_are_refused_or_intersected(files):
    write_fcs(files / "c.fcs", events_of(2)[:, :4], {}, CHANNELS[:4], LABELS[:4])
    with pytest.raises(DataError, match=r"c\.fcs lacks CD8, CD8h, which other files measure"):
        load(files, compensate=False)
    with pytest.warns(UserWarning, match="as some files lack them: CD8, CD8h"):
        data = load(files, compensate=False, differing="intersect")
    assert data.feature_names == ["CD3", "CD4"]
    with pytest.raises(DataError, match=r"c\.fcs: no spillover matrix, and others have one"):
        load(files, ["CD3"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"channels": "cd44"}, r"no channel 'cd44'; did you mean 'CD4'\?"),
        ({"path": "nowhere.fcs"}, "there is no such file"),
        ({"path": "*.nothing"}, r"there is no \.fcs file in"),
        ({"spillover": "nowhere.csv"}, "cannot be read"),
        ({"spillover": "x.csv", "compensate": False}, "has no effect"),
        ({"target": "gate"}, "no channel 'gate'"),
    ],
)
def test_what_cannot_be_is_told_in_one_sentence(files, monkeypatch, fields, message):
    monkeypatch.chdir(files)
    with pytest.raises(DataError, match=message) as raised:
        Fcs(**{"path": "a.fcs", "channels": "CD*"} | fields).load()
    assert "\n" not in str(raised.value)


def test_csv_files_that_hold_no_matrix(tmp_path):
    for text in ("a,b\n1,0\n", "a\nx\n", "", "a,b\n1,0\n0\n", "a,a\n1,0\n0,1\n"):
        (tmp_path / "m.csv").write_text(text)
        with pytest.raises(DataError, match="matrix"):
            Spillover.of_csv(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("matrix", "message"),
    [("2,FL1-A,FL2-A,1,1,1,1", "no inverse"), ("9,a,1", "read"), ("2,a,a,1,0,0,1", "twice")],
)
def test_matrices_that_are_none(tmp_path, matrix, message):
    path = write_fcs(tmp_path / "x.fcs", events_of(0), {"SPILL": matrix})
    with pytest.raises(DataError, match=message):
        load(path)
    assert load(path, compensate=False).X.shape == (200, 4)
    reader = open_table(str(path))  # a model of uncompensated values needs no matrix
    assert "CD3" in reader.names
    assert message in reader.notes[0]


def test_damaged_files_are_one_sentence(files):
    whole, path = (files / "a.fcs").read_bytes(), files / "a.fcs"
    rng, refused = np.random.default_rng(0), 0
    for trial in range(300):
        content = bytearray(whole)
        if trial % 3 == 0:
            del content[rng.integers(len(content)) :]
        else:
            for place in rng.integers(0, 700 if trial % 3 == 1 else 58, 3):
                content[place] = rng.integers(256)
        path.write_bytes(content)
        with suppress(DataError):  # and nothing else
            load(path, "*")
            refused -= 1
        refused += 1
    assert refused > 150
    for old, huge in (
        (b"$TOT/200/", b"$TOT/9%s/" % (b"0" * 14)),
        (b"$PAR/7/", b"$PAR/7000000000000/"),
    ):
        path.write_bytes(whole.replace(old, huge))
        with pytest.raises(DataError, match="is damaged"):
            load(path)
    write_fcs(path, events_of(0)[:0])
    with pytest.raises(DataError, match="holds no events"):
        load(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="is no FCS file, or damaged"):
        load(path)


def trained(folder, monkeypatch, dataset, **more):
    monkeypatch.chdir(folder)
    config = {
        "experiment": "e",
        "dataset": dataset,
        "prepare": [{"name": "arcsinh", "cofactor": 150}],
        "model": {"max_neurons": 12, "epochs": 10, "labeller": {"name": "clusters"} | more},
        "measures": ["quantization_error"],
        "figures": ["minimum_spanning_tree"],
        "tracking": ["run_folder", "cluster_tables"],
    }
    return dbgsom_core.run(config)


def predict(*arguments):
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.setattr(sys, "argv", ["dbgsom", "predict", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code, said.getvalue()


def test_a_run_leaves_its_figure_and_tables_and_answers_new_files(files, monkeypatch):
    dataset = {"name": "fcs", "path": "files", "channels": "CD*"}
    found = trained(files.parent, monkeypatch, dataset)
    assert (found.folder / "figures" / "minimum_spanning_tree.png").stat().st_size > 10_000
    tables = found.folder / "artifacts" / "cluster_tables"
    assert {path.stem for path in tables.iterdir()} >= {"counts", "medians", "cv_by_file"}
    told = pd.read_csv(found.folder / "assignments.csv")
    counts = pd.read_csv(tables / "counts.csv", index_col="file").drop(columns="events")
    expected = pd.crosstab(told["file"], told["label"]).to_numpy()
    np.testing.assert_array_equal(counts.to_numpy(), expected)
    medians = pd.read_csv(tables / "medians.csv")
    raw = pd.DataFrame(load(files).X.astype(float)).groupby(told["label"]).median()
    np.testing.assert_allclose(medians.iloc[:, 2:], raw, rtol=1e-4, atol=1e-3)

    code, told_of = predict(found.folder, "files/b.fcs", "-o", "new.fcs")
    assert code == 0, told_of
    old, new = (flowio.FlowData(name) for name in ("files/b.fcs", "new.fcs"))
    values = new.as_array()
    np.testing.assert_array_equal(values[:, : old.channel_count], old.as_array())
    assert new.pnn_labels[: old.channel_count] == old.pnn_labels
    assert new.pns_labels[: old.channel_count] == old.pns_labels
    for key in ("spillover", "cyt", "my key", "p1r"):
        assert new.text[key] == old.text[key]
    assert new.pnn_labels[7:9] == ["label", "unit"]
    labels = told[told["file"] == "b"]
    np.testing.assert_array_equal(values[:, 7:9], labels[["label", "unit"]])
    code, told_of = predict(found.folder, "new.fcs", "-o", "again.fcs", "--columns", "label")
    assert (code, flowio.FlowData("again.fcs").pnn_labels[-1]) == (0, "label 2")
    assert open_table("again.fcs").parts[0][0].added >= {"label", "label 2"}

    code, told_of = predict(found.folder, "files", "-o", "out.csv", "--keep", "FSC-A,Time")
    assert code == 0, told_of
    out = pd.read_csv("out.csv")
    assert out["file"].tolist() == told["file"].tolist()
    np.testing.assert_array_equal(out["label"], told["label"])
    np.testing.assert_allclose(out["Time"][:200], events_of(0)[:, 6], rtol=1e-6)


def test_models_of_compensated_values_refuse_others(files, monkeypatch):
    found = trained(files.parent, monkeypatch, {"name": "fcs", "path": "files", "channels": DYES})
    write_fcs(files / "raw.fcs", events_of(4))
    code, told = predict(found.folder, "files/raw.fcs", "-o", "x.fcs")
    assert code == 2
    assert "Comp-CD3" in told
    assert not [*files.parent.glob("*x*.fcs")]
    (files / "a.fcs").write_bytes((files / "a.fcs").read_bytes()[:5000])
    code, told = predict(found.folder, "files/a.fcs", "-o", "x.fcs")
    assert (code, "damaged" in told) == (2, True)
    assert not [*files.parent.glob("*x*.fcs")]


def test_texts_become_numbers_that_a_keyword_explains(files):
    answers = {"label": ["T", "B"] * 100, "share, of T": [0.5] * 200}
    write_table(files / "new.fcs", [answers], beside=str(files / "a.fcs"))
    new = flowio.FlowData(str(files / "new.fcs"))
    assert new.text["dbgsom_names_of_label"] == "1=T;2=B"
    assert new.pnn_labels[-2:] == ["label", "share  of T"]
    assert new.as_array()[:2, -2].tolist() == [1, 2]
    with pytest.raises(DataError, match="3 answers for 200 events"):
        write_table(files / "x.fcs", [{"label": [1, 2, 3]}], beside=str(files / "a.fcs"))

    def failing():
        yield {"label": np.arange(200)}
        raise DataError("the next batch fails")

    with pytest.raises(DataError, match="the next batch fails"):
        write_table(files / "x.fcs", failing(), beside=str(files / "a.fcs"))
    assert {one.name for one in files.iterdir()} == {"a.fcs", "b.fcs", "new.fcs"}


@pytest.fixture
def cells(tmp_path):
    X = np.random.default_rng(0).poisson(1.0, (80, 4)).astype(np.float32)
    kinds = pd.Categorical(["T", "B"] * 40, categories=["T", "B"], ordered=True)
    obs = pd.DataFrame({"batch": ["x", "y"] * 40, "age": np.arange(80) / 2, "kind": kinds})
    obs.index = [f"cell {i}" for i in range(80)]
    table = anndata.AnnData(csr_matrix(X), obs, pd.DataFrame(index=["CD3", "CD4", "CD8", "DNA"]))
    table.layers["raw"], table.obsm["X_pca"] = 2 * X, X[:, :2] / 3
    table.uns["note"] = "kept"
    table.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad", X


def test_h5ad_is_read_from_x_a_layer_or_obsm(cells):
    path, X = cells
    data = H5ad(path=str(path), variables=["CD8", "CD3"], target="kind", annotations="batch").load()
    np.testing.assert_array_equal(data.X, X[:, [2, 0]])
    assert (data.feature_names, data.y[:2].tolist()) == (("CD8", "CD3"), ["T", "B"])
    assert data.annotations["batch"][:2].tolist() == ["x", "y"]
    layer = H5ad(path=str(path), layer="raw", variables="CD4").load()
    np.testing.assert_array_equal(layer.X, 2 * X[:, [1]])
    assert layer.feature_names == ("raw.CD4",)
    other = H5ad(path=str(path), obsm="X_pca").load()
    np.testing.assert_array_equal(other.X, X[:, :2] / 3)
    assert other.feature_names == ("X_pca.0", "X_pca.1")
    reader = open_table(str(path))
    (batch,) = reader.batches([reader.names.index(one) for one in ("raw.CD4", "X_pca.1", "CD3")])
    expected = np.column_stack([2 * X[:, 1], X[:, 1] / 3, X[:, 0]])
    np.testing.assert_allclose(np.column_stack(batch.columns), expected, rtol=1e-6)


def test_h5ad_gets_its_answers_in_obs_of_a_copy(cells, monkeypatch):
    path, X = cells
    dataset = {"name": "h5ad", "path": "cells.h5ad", "variables": ["CD3", "CD4"], "id": "kind"}
    found = trained(path.parent, monkeypatch, dataset)
    code, told = predict(found.folder, "cells.h5ad", "-o", "new.h5ad")
    assert code == 0, told
    old, new = (anndata.read_h5ad(name) for name in ("cells.h5ad", "new.h5ad"))
    np.testing.assert_array_equal(new.X.toarray(), X)
    pd.testing.assert_frame_equal(new.obs[old.obs.columns], old.obs)
    assert (new.uns["note"], [*new.layers], [*new.obsm]) == ("kept", ["raw"], ["X_pca"])
    labels = pd.read_csv(found.folder / "assignments.csv")["label"]
    assert new.obs["label"].astype(int).tolist() == labels.tolist()
    new.obs["label"] = old.obs["kind"]
    new.obs["count"], new.obs["gap"] = range(80), ["a", None] * 40
    new.write_h5ad("new.h5ad")
    carried = "batch,age,count,gap"
    code, told = predict(found.folder, "new.h5ad", "-o", "more.h5ad", "--keep", carried)
    assert code == 0, told
    more = anndata.read_h5ad("more.h5ad")
    pd.testing.assert_frame_equal(more.obs[new.obs.columns], new.obs, check_dtype=False)
    assert [*more.obs.columns[len(new.obs.columns) :]] == ["label 2"]
    assert more.obs["label 2"].astype(int).tolist() == labels.tolist()
    code, told = predict(found.folder, "cells.h5ad", "-o", "new.csv", "--keep", "batch")
    assert code == 0
    assert [*pd.read_csv("new.csv").columns[:4]] == ["batch", "obs_names", "kind", "label"]


def test_h5ad_that_is_none_or_too_large(cells, monkeypatch):
    path, _ = cells
    for fields, message in (
        ({"variables": "CD33"}, "did you mean 'CD3'"),
        ({"layer": "row"}, r"'layers/row'; did you mean 'layers/raw'\? \(there are: X, lay"),
        ({"target": "knd"}, "did you mean 'kind'"),
    ):
        with pytest.raises(DataError, match=message):
            H5ad(path=str(path), **fields).load()
    monkeypatch.setattr("dbgsom_cyto.h5ad._MOST", 100)
    with pytest.raises(DataError, match="80 x 4 numbers take"):
        H5ad(path=str(path)).load()
    monkeypatch.undo()
    whole = path.read_bytes()
    for content in (b"", b"obs", whole[: len(whole) // 2], whole[:200]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is no h5ad file, or damaged"):
            H5ad(path=str(path)).load()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arcsinh_is_undone(dtype):
    X = np.random.default_rng(0).normal(0, 1e4, (50, 3)).astype(dtype)
    step = Arcsinh(cofactor=(5, 150, 3000)).fit(X)
    Z = step.transform(X)
    assert Z.dtype == dtype
    expected = np.log(X / [5, 150, 3000] + np.sqrt((X / [5.0, 150, 3000]) ** 2 + 1))
    np.testing.assert_allclose(Z, expected, rtol=1e-3)
    near = 1e-4 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(step.inverse_transform(Z), X, rtol=near)
    for wrong in (0, [1, 2], -5, np.nan):
        with pytest.raises(ValueError, match="cofactor"):
            Arcsinh(cofactor=wrong).fit(X)


@pytest.mark.parametrize("n", [2, 20, 60])
def test_the_tree_is_that_of_networkx(n):
    points = np.random.default_rng(n).normal(size=(n, 4))
    distances = cdist(points, points)
    edges, lengths = spanning_tree(distances)
    graph = nx.from_numpy_array(distances)
    twin = nx.minimum_spanning_tree(graph)
    assert {*map(tuple, edges.tolist())} == {tuple(sorted(edge)) for edge in twin.edges}
    assert lengths.sum() == pytest.approx(twin.size(weight="weight"))


def test_nodes_of_a_tree_do_not_overlap_and_points_may_coincide():
    points = np.random.default_rng(0).normal(size=(90, 5))
    points[10:20] = points[0]
    edges, lengths = spanning_tree(cdist(points, points))
    assert len(edges) == 89
    assert nx.is_tree(nx.Graph(edges.tolist()))
    radii = np.random.default_rng(1).uniform(0.1, 0.8, 90)
    places, _ = layout(edges, lengths, radii)
    apart = cdist(places, places) - radii[:, None] - radii
    assert apart[~np.eye(90, dtype=bool)].min() > -0.05
    np.testing.assert_array_equal(places, layout(edges, lengths, radii)[0])


def test_tables_are_those_of_pandas():
    rng, n = np.random.default_rng(0), 900
    X = rng.normal(3, 2, (n, 2))
    X[5, 0] = np.nan
    files = np.array(["c", "a", "b"], dtype=object)[rng.integers(0, 3, n)]
    bmu, labels = rng.integers(0, 6, n), np.array([4, 4, 2, 2, 7, 9])
    bmu[bmu == 5] = 4  # cluster 9 has no event
    condition = np.where(files == "c", "ill", "well").astype(object)
    view = SimpleNamespace(
        evaluation=SimpleNamespace(bmu=bmu, X=X, drawn_from=0),
        neuron_labels=labels,
        leaf_labels=None,
        label_names={7: "B cells"},
        feature_names=["CD3", "events"],
        annotations={"event": np.arange(n), "file": files, "condition": condition},
        in_own_units=lambda values: 10 * values,
    )
    found = {name: pd.DataFrame(table) for name, table in tables_of(view).items()}
    cluster = pd.Series(labels[bmu]).replace({2: "2", 4: "4", 7: "B cells"})
    counts = pd.crosstab(files, cluster)
    assert [*found["counts"].columns[3:]] == ["cluster 2", "cluster 4", "B cells"]
    assert found["counts"]["condition"].tolist() == ["well", "well", "ill"]
    np.testing.assert_array_equal(found["counts"].iloc[:, 3:], counts)
    shares = counts.div(counts.sum(axis=1), axis=0) * 100
    np.testing.assert_allclose(found["percentages"].iloc[:, 3:], shares)
    frame = pd.DataFrame(10 * X, columns=["CD3", "events (marker)"])
    for keys, end in ((cluster, ""), ([pd.Series(files), cluster], "_by_file")):
        groups = frame.groupby(keys)
        np.testing.assert_allclose(found[f"medians{end}"][[*frame]], groups.median())
        cv = groups.std(ddof=0) / groups.mean()
        np.testing.assert_allclose(found[f"cv{end}"][[*frame]], cv.where(groups.mean() > 0))
    with pytest.raises(DataError, match=r"no column 'fill' is kept .* \(event, file, condition\)"):
        tables_of(view, "fill")


def test_wedges_are_chosen_by_words_and_named_without_their_matrix():
    names = ["Comp-CD3 BV421", "Comp-1f3a-CD4", "170Er_CD8"]
    X = np.random.default_rng(0).normal(size=(5, 3))
    view = SimpleNamespace(
        evaluation=SimpleNamespace(som_map=SimpleNamespace(prototypes=X)), feature_names=names
    )
    shown, lengths = MinimumSpanningTree(markers=("CD8", "CD3"))._stars(view, np.ones(5))
    assert shown == ["170Er_CD8", "CD3 BV421"]
    expected = ((X - X.min(axis=0)) / np.ptp(X, axis=0))[:, [2, 0]]
    np.testing.assert_allclose(lengths, expected)
    with pytest.raises(DataError, match="no feature is called 'CD4 BV421'; did you mean"):
        MinimumSpanningTree(markers="CD4 BV421")._stars(view, np.ones(5))
