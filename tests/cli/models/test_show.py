"""A run in the terminal: show."""

import io


def test_a_run_is_shown(told, run_folder, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    out, _ = told("show", run_folder)
    assert "finished in" in out
    assert "accuracy" in out
    assert f"model: {run_folder / 'model.npz'}" in out
    assert "figure: " in out
    assert "a  apple" in out
    assert "\x1b" not in out
    hits, _ = told("show", run_folder, "--map", "hits")
    assert "hits: " in hits
    assert "█" in hits


def test_the_map_in_blocks_is_the_map(model):
    from rich.console import Console

    from dbgsom_core.cli.show import draw_map

    estimator = model.estimator
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    lines = [line.plain for line in draw_map(estimator, "label", console)]
    rows, columns = estimator.som_map_.shape
    drawn = lines[:rows]
    top = max(y for _, y in estimator.neurons_)
    left = min(x for x, _ in estimator.neurons_)
    signs = {"apple": "a", "plum": "p"}
    for (x, y), label, hits in zip(
        estimator.neurons_, estimator.neuron_labels_, estimator.hit_counts_, strict=True
    ):
        cell = drawn[top - y][3 * (x - left) : 3 * (x - left) + 3]
        assert cell.strip() == (signs[label] if hits else "·")
    assert sum(len(line.split()) for line in drawn) == len(estimator.neurons_)
    assert max(map(len, drawn)) == 3 * columns


def test_rows_of_hexagons_lie_half_a_cell_aside(iris):
    from rich.console import Console

    from dbgsom_core import SomVQ
    from dbgsom_core.cli.show import draw_map

    fixed = {"name": "fixed", "rows": 4, "columns": 6, "wrap": True}
    som = SomVQ(grid="hexagonal", growth=fixed, epochs=2).fit(iris[0])
    lines = draw_map(som, "hits", Console(file=io.StringIO(), no_color=True))
    indents = [len(line.plain) - len(line.plain.lstrip()) for line in lines[:4]]
    assert [len(line.plain) for line in lines[:4]] == [20, 18, 20, 18]
    assert min(indents[0], indents[2]) >= 2


def test_a_failed_run_says_why(shop, told, called):
    from dbgsom_core.runs.folder import RunFiles, now, write_json, write_status

    files = RunFiles(shop / "runs" / "odd" / "20260101-000000-abcdef")
    files.folder.mkdir(parents=True)
    write_status(files, "failed", now(), now(), "ValueError: \x1b[31mno")
    write_json(files.run, {"id": files.folder.name, "name": "odd one", "experiment": "odd"})
    out, _ = told("show", "odd")
    assert "because: ValueError: \\x1b[31mno" in out
    code, _, err = called(shop, "predict", "odd", "new.csv")
    assert code == 2
    assert "has left no model: it failed" in err
