"""Bad input: one clear sentence, exit code 2, and nothing left behind."""

import warnings

import numpy as np
import pytest

from dbgsom_core.cli.output import show_warnings

RUN = """\
experiment: bad
dataset: {dataset}
{rest}
"""


def config(dataset, rest=""):
    return RUN.format(dataset=dataset, rest=rest)


@pytest.fixture
def refused(dbgsom, write, tmp_path):
    """Run a configuration that must be refused and return what was said."""

    def run(text, *arguments):
        before = sorted(path.name for path in tmp_path.iterdir())
        file = write("run.yaml", text)
        answer = dbgsom("run", file, *arguments)
        after = sorted(path.name for path in tmp_path.iterdir() if path.name != "run.yaml")
        assert after == before  # no run folder, no MLflow store
        assert answer.code == 2, answer
        assert "Traceback" not in answer.err
        return answer.err.strip()

    return run


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            config("iris", "model:\n  labeler: majority"),
            "run.yaml:4:3: model.labeler: unknown key; did you mean 'labeller'?",
        ),
        (config("iriss"), "run.yaml:2:10: dataset: unknown dataset 'iriss'; did you mean 'iris'?"),
        (
            config("iris", "model: {growth: {name: directed, spreading_factor: 1.5}}"),
            "run.yaml:3:52: model.growth.spreading_factor: "
            "must be a number between 0 and 1, not 1.5",
        ),
        (
            config("iris", "model: {growth: {name: directed, spreading_factor: 0}}"),
            "run.yaml:3:52: model.growth.spreading_factor: "
            "must be a number between 0 and 1 (both excluded), not 0",
        ),
        (
            config("iris", "model: {max_neurons: 3}"),
            "run.yaml:3:22: model.max_neurons: must be",
        ),
        (
            config("iris", "model: {kernel: gausian}"),
            "run.yaml:3:17: model.kernel: unknown kernel 'gausian'; did you mean 'gaussian'?",
        ),
    ],
)
def test_a_wrong_key_or_value_is_told_with_its_place(text, said, refused):
    told = refused(text)
    assert "\n" not in told
    assert told.startswith(said) or said in told


def test_every_problem_is_told_at_once(refused):
    told = refused(config("iriss", "model: {epochs: 0, labeler: x}\nsplit: {test_size: -2}"))
    assert len(told.splitlines()) == 4


def test_a_missing_file_is_named(dbgsom):
    answer = dbgsom("run", "nothing.yaml")
    assert answer.code == 2
    assert "nothing.yaml" in answer.err


@pytest.mark.parametrize(
    ("content", "said"),
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
def test_an_unusable_csv_is_told_in_one_sentence(content, said, refused, write):
    if content is not None:
        write("data.csv", content)
    told = refused(config("{name: csv, path: data.csv}"))
    assert said in told, told
    assert "\n" not in told


def test_an_unknown_target_column_suggests_the_nearest(refused, write):
    write("data.csv", "width,class\n1,a\n2,b\n3,a\n4,b\n")
    told = refused(config("{name: csv, path: data.csv, target: clas}"))
    assert "'class'" in told


@pytest.mark.parametrize("name", ["csv", "blobs_without_y"])
def test_a_classifier_without_classes_is_refused(name, refused, write, tmp_path):
    if name == "csv":
        write("data.csv", "a,b\n1,2\n3,4\n5,6\n7,9\n")
        dataset = "{name: csv, path: data.csv}"
    else:
        np.savez(tmp_path / "data.npz", X=np.random.default_rng(0).normal(size=(20, 2)))
        dataset = "{name: npz, path: data.npz}"
    told = refused(config(dataset, "model: {estimator: classifier}"))
    assert "classifier" in told
    assert "class" in told


def test_a_classifier_on_measurements_is_refused(refused, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", X=rng.normal(size=(20, 2)), y=rng.normal(size=20))
    told = refused(
        config("{name: npz, path: data.npz}", "model: {estimator: classifier}"),
    )
    assert "continuous" in told


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("prepare: [{name: range_scal}]", "did you mean 'range_scale'"),
        ("prepare: ['sklearn.preprocessing:NoSuch']", "cannot be imported"),
        ("prepare: [{name: 'sklearn.decomposition:PCA', n_componets: 2}]", "n_components"),
        ("prepare: [{name: 'sklearn.decomposition:PCA', n_components: 90}]", "PCA"),
        ("split: {folds: 9999}", "cannot be divided"),
        ("split: {test_size: 0.99}", "rows are left"),
        ("model: {growth: {name: directed, threshold: entropy, lambda_: 2.0}}", "no effect"),
        ("model: {growth: fixed, spreading_factor: 0.5}", "spreading_factor"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(rest, said, refused):
    told = refused(config("iris", rest))
    assert said in told, told


def test_a_wrong_override_names_itself(refused):
    told = refused(config("iris"), "--set", "model.growth.spreading_factor=2")
    assert "--set model.growth.spreading_factor=2" in told


def test_an_unknown_command_and_option_are_usage_errors(dbgsom):
    assert dbgsom("rnu").code == 2
    assert dbgsom("run", "x.yaml", "--nonsense").code == 2


def test_comparing_what_is_not_there_suggests_what_is(dbgsom):
    answer = dbgsom("compare", "digits", "--by", "accuracy")
    assert answer.code == 2
    assert "there are no runs" in answer.err


def test_a_sweep_file_given_to_run_and_a_run_file_given_to_sweep(dbgsom, write):
    file = write("sweep.yaml", config("iris", "sweep: {grid: {model.epochs: [1, 2]}}"))
    assert "dbgsom sweep" in dbgsom("run", file).err
    file = write("run.yaml", config("iris"))
    answer = dbgsom("sweep", file)
    assert answer.code == 2
    assert "sweep" in answer.err


def test_a_sweep_on_bad_data_leaves_nothing(dbgsom, write, tmp_path):
    file = write(
        "sweep.yaml",
        config("{name: csv, path: gone.csv}", "sweep: {grid: {model.epochs: [1, 2]}}"),
    )
    answer = dbgsom("sweep", file)
    assert answer.code == 2
    assert "gone.csv" in answer.err
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_validate_tells_that_parts_do_not_fit(dbgsom, write):
    file = write("run.yaml", config("iris", "model: {growth: fixed, spreading_factor: 0.5}"))
    answer = dbgsom("validate", file)
    assert answer.code == 2
    assert "Fixed has no spreading_factor" in answer.err


def test_a_start_of_other_columns_is_refused_before_there_is_a_folder(dbgsom, write, tmp_path):
    start = "{name: array, values: [[1, 2], [3, 4], [5, 6], [7, 8]]}"
    file = write("run.yaml", config("iris", f"model: {{init: {start}}}"))
    answer = dbgsom("run", file)
    assert answer.code == 2
    told = "model.init: init has shape (4, 2), but the map starts with 2 × 2 neurons in 4"
    assert told in answer.err
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_data_that_prepare_makes_constant_is_refused(refused, write):
    write("data.csv", "a,b\n1,x\n2,y\n3,x\n4,y\n")
    told = refused(
        config(
            "{name: csv, path: data.csv, target: b}",
            "prepare: ['sklearn.preprocessing:Normalizer']",
        )
    )
    assert "constant" in told


def test_a_prepare_step_that_no_model_file_holds_is_refused(refused):
    told = refused(config("iris", "prepare: ['sklearn.preprocessing:SplineTransformer']"))
    assert "cannot be saved" in told


def test_a_field_may_be_set_where_the_part_is_not_named(dbgsom, write):
    file = write("run.yaml", config("iris"))
    answer = dbgsom("validate", file, "--set", "model.growth.spreading_factor=0.3")
    assert answer.code == 0, answer.err


def test_trackers_cannot_vary_within_a_sweep(dbgsom, write):
    file = write("s.yaml", config("iris", "sweep: {grid: {tracking.uri: ['sqlite:///a.db']}}"))
    answer = dbgsom("sweep", file)
    assert answer.code == 2
    assert "cannot vary" in answer.err


def test_a_sweep_may_come_from_an_override(dbgsom, write):
    file = write("s.yaml", config("iris"))
    answer = dbgsom("validate", file, "--set", "sweep.grid={model.epochs: [1, 2]}")
    assert answer.code == 0, answer.err
    assert "2 runs" in answer.out


def test_a_step_of_others_is_refused_where_scikit_learn_alone_may_be(refused, monkeypatch):
    monkeypatch.setenv("DBGSOM_SKLEARN_ONLY", "0")  # and put back afterwards
    told = refused(config("iris", "prepare: antigravity:Step"), "--sklearn-only")
    assert told == (
        "run.yaml:3:10: prepare.0: prepare step 'antigravity:Step' is not of scikit-learn, "
        "the only one allowed"
    )


def test_a_path_that_no_file_can_have_is_refused(refused):
    assert "File name too long" in refused(config(f"{{name: csv, path: {'a' * 5000}}}"))


def test_a_warning_that_repeats_a_name_is_shown_as_text(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    show_warnings(quiet=False)
    told = warnings.formatwarning(UserWarning("column \x1b[31m"), UserWarning, "a.py", 1, "")
    assert r"column \x1b[31m" in told
    assert "\x1b" not in told
