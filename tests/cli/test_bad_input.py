"""Bad input: one clear sentence, exit code 2, and nothing left behind."""

import numpy as np
import pytest

RUN = "experiment: bad\ndataset: {dataset}\n{rest}\n"
SWEEP = "sweep: {grid: {model.epochs: [1, 2]}}"


def config(dataset, rest=""):
    return RUN.format(dataset=dataset, rest=rest)


def csv(columns=""):
    return f"{{name: csv, path: data.csv{columns}}}"


@pytest.fixture
def refused(dbgsom, write, tmp_path):
    """Run a configuration that must be refused and return what was printed."""

    def run(text, *arguments, command="run"):
        before = sorted(path.name for path in tmp_path.iterdir())
        file = write("run.yaml", text)
        answer = dbgsom(command, file, *arguments)
        after = sorted(path.name for path in tmp_path.iterdir() if path.name != "run.yaml")
        assert after == before  # no run folder, no MLflow store
        assert answer.code == 2, answer
        assert "Traceback" not in answer.err
        return answer.err.strip()

    return run


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("prepare: ['sklearn.preprocessing:NoSuch']", "cannot be imported"),
        ("prepare: [{name: 'sklearn.decomposition:PCA', n_componets: 2}]", "n_components"),
        ("prepare: [{name: 'sklearn.decomposition:PCA', n_components: 90}]", "PCA"),
        ("prepare: ['sklearn.preprocessing:SplineTransformer']", "cannot be saved"),
        ("split: {folds: 9999}", "cannot be divided"),
        ("split: {test_size: 0.99}", "rows are left"),
        (
            "model: {init: {name: array, values: [[1, 2], [3, 4], [5, 6], [7, 8]]}}",
            "model.init: init has shape (4, 2), but the map starts with 2 × 2 neurons in 4",
        ),
    ],
)
def test_a_wrong_key_or_value_has_its_place_and_cure(rest, message, refused):
    error = refused(config("iris", rest))
    assert message in error
    assert "\n" not in error
    if message[0].isdigit():
        assert error.startswith(f"run.yaml:{message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "data.csv"),
        ("", "empty"),
        ("a,b\n", "no line below"),
        ("a,b\n1,2\n3,x\n5,6\n7,8\n", "'x'"),
        ("a,b\n1,2\n3,\n5,6\n7,8\n", "the value is missing"),
        ("a,b\n1,2\n3,nan\n5,6\n7,8\n", "the value is missing"),
        ("a,b\n1,2\n3,4\n5,6\n", "at least 4"),
        ("a,b\n1,2\n1,2\n1,2\n1,2\n", "constant"),
        ("a;b\n1;2\n3;4\n5;6\n7;8\n", "delimiter"),
    ],
)
def test_an_unusable_csv_is_refused_in_one_sentence(content, message, refused, write):
    if content is not None:
        write("data.csv", content)
    error = refused(config(csv()))
    assert message in error
    assert "\n" not in error


@pytest.mark.parametrize(
    ("dataset", "rest", "message"),
    [
        (csv(", target: clas"), "", "'class'"),
        (csv(", drop: [class]"), "model: {estimator: classifier}", "class"),
        ("{name: npz, path: data.npz}", "model: {estimator: classifier}", "continuous"),
        (csv(", target: class"), "prepare: ['sklearn.preprocessing:Normalizer']", "constant"),
        (f"{{name: csv, path: {'a' * 5000}}}", "", "File name too long"),
    ],
)
def test_data_that_do_not_suit_are_refused(dataset, rest, message, refused, write, tmp_path):
    write("data.csv", "width,class\n1,a\n2,b\n3,a\n4,b\n")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", X=rng.normal(size=(20, 2)), y=rng.normal(size=20))
    assert message in refused(config(dataset, rest))


@pytest.mark.parametrize(
    ("dataset", "rest", "message"),
    [
        ("iris", "", "sweep"),
        ("{name: csv, path: gone.csv}", SWEEP, "gone.csv"),
        ("iris", "sweep: {grid: {tracking.uri: ['sqlite:///a.db']}}", "cannot vary"),
    ],
)
def test_a_sweep_is_refused_as_a_run_is(dataset, rest, message, refused):
    assert message in refused(config(dataset, rest), command="sweep")


def test_a_step_of_others_is_refused_where_scikit_learn_alone_is_allowed(refused, monkeypatch):
    monkeypatch.setenv("DBGSOM_SKLEARN_ONLY", "0")  # and put back afterwards
    assert refused(config("iris", "prepare: antigravity:Step"), "--sklearn-only") == (
        "run.yaml:3:10: prepare.0: prepare step 'antigravity:Step' is not of scikit-learn, "
        "the only one allowed"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nothing.yaml"], "nothing.yaml"),
        (["rnu"], "rnu"),
        (["run", "x.yaml", "--nonsense"], "--nonsense"),
        (["compare", "digits", "--by", "accuracy"], "has no run and no experiment"),
    ],
)
def test_what_is_not_there_is_named(arguments, message, dbgsom):
    answer = dbgsom(*arguments)
    assert answer.code == 2
    assert message in answer.err
