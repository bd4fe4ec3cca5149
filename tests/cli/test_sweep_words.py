"""What ``sweep`` says beside ``compare``: the same names, ties and results."""

import pytest

CONFIG = """\
experiment: words
dataset: iris
split: {test_size: 0.3}
model: {estimator: classifier, epochs: 3}
measures: [accuracy, quantization_error]
figures: []
tracking: []
sweep: """
GRID = (
    "{grid: {model.growth: [{name: fixed, rows: 2, columns: 3}, "
    "{name: fixed, rows: 2, columns: 4}, directed], "
    "model.kernel: [gaussian, bubble], seed: [1, 2]}}"
)


def variants(told):
    """Return the variants that ``compare`` ranks, best first."""
    lines = told.splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith("variant"))
    return [line.split("  ")[0] for line in lines[header + 1 : header + 7]]


def test_a_variant_is_called_the_same_in_a_sweep_and_in_compare(dbgsom, write, tmp_path):
    answer = dbgsom("sweep", write("sweep.yaml", CONFIG + GRID))
    assert answer.code == 0, answer.err
    (best,) = [line for line in answer.out.splitlines() if line.startswith("best: ")]
    compared = dbgsom("compare", "words").out
    called = variants(compared)
    (sure,) = [line for line in compared.splitlines() if "the test does not tell" in line]
    assert called[0] in sure
    assert sure in answer.out
    assert sure in dbgsom("show", "words").out
    pages = [path.read_text() for path in tmp_path.glob("runs/words/*/report.md")]
    assert any(sure in page for page in pages)
    assert best.removeprefix("best: ").startswith(f"{called[0]} (test/accuracy ")
    assert "kernel=bubble, growth=fixed, columns=4" in called
    assert "12/12 done; best so far: " in answer.err


@pytest.mark.parametrize("command", ["run", "sweep"])
def test_of_what_has_finished_the_result_is_shown_again(dbgsom, write, tmp_path, command):
    section = "null" if command == "run" else "{grid: {model.kernel: [gaussian, bubble]}}"
    file = write("it.yaml", CONFIG + section)
    before = dbgsom(command, file)
    assert before.code == 0, before.err
    folders = (tmp_path / "runs" / "words").iterdir()
    (ran,) = [one for one in folders if command == "run" or not (one / "model.npz").exists()]
    answer = dbgsom(command, "--resume", ran.name)
    assert answer.code == 0, answer.err
    first, _, rest = answer.out.partition("\n")
    assert first == f"{command} {ran.name} has finished; there is nothing left to do"
    assert rest == before.out if command == "sweep" else "accuracy" in rest


def test_validate_names_the_variants_of_a_sweep_and_writes_nothing(dbgsom, write, tmp_path):
    file = write("sweep.yaml", CONFIG + GRID)
    before = sorted(tmp_path.rglob("*"))
    answer = dbgsom("validate", file)
    assert answer.code == 0, answer.err
    assert sorted(tmp_path.rglob("*")) == before
    first, *names = answer.out.splitlines()
    assert first.endswith(": ok, a sweep of 12 runs")
    assert len(names) == len(set(names)) == 12
    assert "  growth=fixed, rows=2, columns=3, kernel=gaussian, seed=1" in names
