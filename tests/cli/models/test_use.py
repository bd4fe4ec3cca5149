"""A run is explained, explored, exported, and shown, here or on a page."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from base64 import b64decode
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pandas as pd
import pytest
import yaml


def test_a_run_is_found_by_folder_id_and_experiment(shop, told, new, run_folder):
    new.to_csv(shop / "new.csv", index=False)
    wanted = told("predict", run_folder, "new.csv")[0]
    for name in (run_folder.name, run_folder.name[-6:], "fruit", run_folder / "model.npz"):
        assert told("predict", name, "new.csv")[0] == wanted


def test_names_that_mean_nothing_are_told_with_the_nearest(refused):
    assert "did you mean 'fruit'" in refused("predict", "friut", "new.csv")
    assert "no run folder" in refused("show", "nothing-like-it")


def test_the_best_run_of_a_sweep_speaks_for_it(shop, new, fruit, called, described):
    folder = shop / "swept"
    folder.mkdir()
    fruit(120, 1).to_csv(folder / "fruit.csv", sep=";", index=False)
    new.to_csv(folder / "new.csv", index=False)
    varied = {**described, "sweep": {"grid": {"model.epochs": [2, 15]}}}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(varied))
    code, _, err = called(folder, "sweep", "sweep.yaml", "-q")
    assert code == 0, err
    code, _, err = called(folder, "predict", "fruit", "new.csv", "--columns", "label")
    assert code == 0, err
    assert "is the best run of sweep" in err
    assert "epochs=" in called(folder, "show", "fruit")[1]


# ------------------------------------------------------------------------------------ explain


def test_a_row_is_explained(shop, told, new, model, fruit):
    odd = new.copy()
    odd.loc[4, "weight"] = 30.0
    odd.to_csv(shop / "odd.csv", index=False)
    out, _ = told("explain", "fruit", "odd.csv", "--row", "4", "--json")
    found = json.loads(out)
    assert found["differences"][0]["feature"] == "weight"
    assert found["differences"][0]["value"] == pytest.approx(30)
    assert found["differences"][0]["deviations"] > 3
    assert found["outlier"] is True
    assert found["label"] == model.predict(odd)[4]
    training = fruit(120, 1)
    apart = np.abs(model.prepare(training) - model.prepare(odd)[4])
    nearest = np.argsort(np.linalg.norm(apart, axis=1))[:5]
    assert [one["row"] for one in found["nearest"]] == nearest.tolist()
    assert [one["target"] for one in found["nearest"]] == training["kind"][nearest].tolist()
    told_text, _ = told("explain", "fruit", "odd.csv", "--row", "4", "--nearest", "2")
    assert "unlike the training data" in told_text
    assert told_text.index("weight") < told_text.index("size")


def test_training_rows_that_have_changed_are_noted(shop, told, new):
    new.to_csv(shop / "new.csv", index=False)
    before = (shop / "fruit.csv").read_text()
    try:
        (shop / "fruit.csv").write_text(before.replace("red", "blue", 1))
        _, err = told("explain", "fruit", "new.csv", "--row", "0")
    finally:
        (shop / "fruit.csv").write_text(before)
    assert "data changed since" in err


def test_a_row_that_is_not_there_is_told(shop, refused, new):
    new.to_csv(shop / "new.csv", index=False)
    assert "has 50 rows" in refused("explain", "fruit", "new.csv", "--row", "50")


def parsed(path):
    (data,) = re.findall(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"))
    return json.loads(data)


def integers(packed):
    values = np.frombuffer(b64decode(packed["data"]), f"<{packed['type']}")
    return values.astype(np.int64)


def test_a_run_is_explored_with_all_rows_of_its_data(shop, told, model):
    out, err = told("explore", "fruit")
    told, link = out.splitlines()
    assert told.endswith("120 rows: fruit-explorer.html")
    address = link.removeprefix("to look at it in a browser: ")
    assert Path(url2pathname(urlsplit(address).path)) == shop / "fruit-explorer.html"
    assert "newest finished run" in err
    page = parsed(shop / "fruit-explorer.html")
    raw = pd.read_csv(shop / "fruit.csv", sep=";", dtype={"id": str})
    assert page["features"] == list(model.columns.feature_names)
    assert page["classes"] == ["apple", "plum"]
    assert np.array_equal(integers(page["samples"]["leaf"]), model.answers(raw).unit)
    assert [page["classes"][i - 1] for i in integers(page["samples"]["classes"])] == list(
        raw["kind"]
    )


def test_no_page_is_replaced_silently(shop, told, refused):
    ours = shop / "fruit-explorer.html"
    ours.write_text("<title>mine</title>")
    for more in ((), ("-o", ours)):
        assert "is no explorer: name another file" in refused("explore", "fruit", *more)
    assert ours.read_text() == "<title>mine</title>"
    ours.unlink()
    told("explore", "fruit")
    again = shop / "again.html"
    told("explore", "fruit", "-o", again)
    before = again.read_bytes()
    told("explore", "fruit", "-o", again)
    assert again.read_bytes() == before


def test_rows_of_a_file_are_shown_on_the_map(shop, told, model, new):
    new.to_csv(shop / "new.csv", sep=";", index=False)
    told("explore", "fruit", "--data", "new.csv", "-o", "new.html")
    page = parsed(shop / "new.html")
    assert page["samples"]["n"] == 50
    nearest = model.estimator.bmu(np.asarray(model.prepare(new)))
    assert np.array_equal(integers(page["samples"]["leaf"]), nearest)


def test_what_cannot_be_explored_is_refused(shop, refused, run_folder):
    assert "must end in .html" in refused("explore", "fruit", "-o", "map.png")
    assert "there is no folder" in refused("explore", "fruit", "-o", "nowhere/map.html")
    assert "no run and no experiment" in refused("explore", "vegetables")
    (shop / "lone.npz").write_bytes((run_folder / "model.npz").read_bytes())
    assert "give rows with --data FILE" in refused("explore", "lone.npz")
    assert "nothing.csv" in refused("explore", "fruit", "--data", "nothing.csv")


def test_neurons_are_exported_in_raw_units(shop, told, model):
    out, _ = told("export", "fruit")
    table = pd.read_csv(io.StringIO(out))
    estimator = model.estimator
    assert list(table.columns[6:]) == list(model.columns.feature_names)
    raw = model.steps[0][1].inverse_transform(estimator.weights_)
    np.testing.assert_allclose(table.iloc[:, 6:], raw, rtol=1e-12, atol=1e-12)
    assert list(zip(table["x"], table["y"], strict=True)) == estimator.neurons_
    assert set(table["colour=red"].map(str)) & {"0.0", "1.0"}  # and no -1e-17
    assert (table["hits"] == estimator.hit_counts_).all()
    assert (table["label"] == estimator.neuron_labels_).all()

    told("export", "fruit", "-o", "map.csv")
    assert (shop / "map.csv").read_text() == out
    assert not (shop / "map.json").exists()


def test_no_command_writes_over_what_it_reads(shop, refused, run_folder):
    own = run_folder / "model.npz"
    (shop / "copy.npz").write_bytes(own.read_bytes())
    assert "is the file that is read" in refused("export", "copy.npz", "-o", "copy.npz")
    assert "is the file that is read" in refused("export", "fruit", "-o", own)
    for name, command in (
        ("neurons.csv", ("export", "fruit")),
        ("report.html", ("explore", "fruit")),
        ("figures/explorer.html", ("explore", "fruit")),
        ("run.json", ("schema",)),
    ):
        (run_folder / name).touch()
        assert "is a file of a run" in refused(*command, "-o", run_folder / name)


def test_a_run_is_shown(told, run_folder, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    out, _ = told("show", run_folder)
    assert "finished in" in out
    assert "accuracy" in out
    assert f"model: {run_folder / 'model.npz'}" in out
    assert "figure: " in out
    assert "ap  apple" in out
    assert "\x1b" not in out
    hits, _ = told("show", run_folder, "--map", "hits")
    assert "hits: " in hits
    assert "█" in hits


def test_the_map_in_cells_is_the_map(model):
    from dbgsom_core.cli.show import draw_map

    estimator = model.estimator
    lines = [line.plain for line in draw_map(estimator, "label")]
    rows, columns = estimator.som_map_.shape
    drawn = lines[:rows]
    top = max(y for _, y in estimator.neurons_)
    left = min(x for x, _ in estimator.neurons_)
    for (x, y), label, hits in zip(
        estimator.neurons_, estimator.neuron_labels_, estimator.hit_counts_, strict=True
    ):
        cell = drawn[top - y][3 * (x - left) : 3 * (x - left) + 3]
        assert cell.strip() == (label[:2] if hits else "·")
    assert sum(len(line.split()) for line in drawn) == len(estimator.neurons_)
    assert max(map(len, drawn)) == 3 * columns


def test_a_failed_run_says_why(shop, told, called):
    from dbgsom_core.runs.folder import RunFiles, StoredRun

    files = RunFiles(shop / "runs" / "odd" / "20260101-000000-abcdef")
    known = {"id": files.folder.name, "name": "odd one", "experiment": "odd", "status": "failed"}
    StoredRun(**known, error="ValueError: \x1b[31mno", files=files).write()
    out, _ = told("show", "odd")
    assert "because: ValueError: \\x1b[31mno" in out
    code, _, err = called(shop, "predict", "odd", "new.csv")
    assert code == 2
    assert "has no model: failed" in err


def test_ui_without_a_store_makes_none(dbgsom, tmp_path):
    answer = dbgsom("ui", "--print")
    assert answer.code == 1
    assert "there is no MLflow store" in answer.err
    assert not list(tmp_path.iterdir())


SERVER = """
import http.server, os, sys
class Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *given): pass
child = os.fork()
if child == 0:
    import time
    while True: time.sleep(60)
with open(sys.argv[2], "w") as note:
    note.write(str(child))
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Quiet).serve_forever()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_ctrl_c_ends_the_page_with_all_of_its_processes(tmp_path, monkeypatch, capsys):
    from dbgsom_core.experiments.trackers import Page

    ui = import_module("dbgsom_core.cli.trackers")
    port, note = ui._free_port(), tmp_path / "child"
    page = Page(
        f"http://127.0.0.1:{port}/#/x", [sys.executable, "-c", SERVER, str(port), str(note)]
    )
    seen, below = [], []
    popen = subprocess.Popen

    def started(*given, **named):
        seen.append(popen(*given, **named))
        return seen[0]

    told = ui.echo

    def hear(text, **named):  # once it serves, somebody asks to end
        told(text, **named)
        if str(text).startswith("open"):
            child = int(note.read_text())
            below.append(child)
            os.kill(child, 0)  # it is there
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(ui.subprocess, "Popen", started)
    monkeypatch.setattr(ui, "echo", hear)
    try:
        with pytest.raises(KeyboardInterrupt):
            ui._serve(page, in_browser=False)
        assert seen[0].poll() is not None
        until = time.monotonic() + 60
        while _lives(below[0]) and time.monotonic() < until:
            time.sleep(0.01)
        assert not _lives(below[0])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(seen[0].pid, signal.SIGKILL)
    assert f"open http://127.0.0.1:{port}/#/x" in capsys.readouterr().out


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
