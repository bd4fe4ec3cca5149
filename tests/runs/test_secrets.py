"""What came from the environment is shown by its reference, wherever a run writes or speaks."""

import contextlib
import html
import json
import logging
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from matplotlib.figure import Figure

from dbgsom_core.config import load_experiment, parse_experiment
from dbgsom_core.errors import ConfigError, DbgsomError
from dbgsom_core.interfaces.figures import Html
from dbgsom_core.interfaces.privacy import masked, redaction, register, shell_word
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.callbacks import make_callbacks
from dbgsom_core.runs.pipeline import run_experiment

pytestmark = pytest.mark.one_version

TABLE = "a,b,hidden-column,class-of-alice\n" + "".join(
    f"{i % 7},{i % 5},{i},{'xy'[i % 2]}\n" for i in range(40)
)
SMALL = """
experiment: x
dataset: {name: blobs, samples: 40}
model: {epochs: 2}
figures: []
measures: [quantization_error]
tracking: []
"""


@pytest.fixture(scope="session")
def dbgsom(called):
    """Return the exit code and all that was said."""

    def call(folder, *words):
        code, out, err = called(folder, *words)
        return code, out + err

    return call


def written(folder, but=()):
    """Return by name what every file below a folder holds, but for maps and what was there."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or path.suffix == ".npz" or name in but:
            continue
        if path.suffix == ".db":
            with contextlib.closing(sqlite3.connect(path)) as store:
                found[path.name] = "\n".join(store.iterdump())
        else:
            found[name] = path.read_bytes().decode(errors="replace")
    return found


def leaks(places, held):
    forms = {held, quote(held), html.escape(held), json.dumps(held)[1:-1], held.replace("|", "\\|")}
    word = r"(?<![\w.]){}(?![\w.])" if len(held) < 4 else "{}"
    return [
        place
        for place, text in places.items()
        for form in forms
        if re.search(word.format(re.escape(form)), text)
    ]


@pytest.fixture
def secret(monkeypatch, tmp_path):
    monkeypatch.setenv("T", "hunter-of-alice")
    monkeypatch.chdir(tmp_path)
    return "hunter-of-alice"


@pytest.fixture
def made(secret):
    values = {"experiment": "x", "name": "of ${env:T}", "dataset": {"name": "blobs", "samples": 40},
              "model": {"epochs": 2}, "figures": [], "tracking": [], "measures": []}  # fmt: skip
    return parse_experiment(values, Registry.discover(own_only=True))


def run_of(made, *observers):
    registry = Registry.discover(own_only=True)
    return run_experiment(made, make_callbacks(made.tracking, registry, observers), registry)


class Telling:
    """A third party that says what it knows."""

    def __init__(self, secret):
        self.secret = secret

    def dbgsom_run_started(self, run):
        self.run = run
        logging.getLogger("dbgsom.third").warning("begins: %s", self.secret)
        raise ValueError(f"no {self.secret}")

    def dbgsom_run_failed(self, run, error):
        self.error = error


@pytest.fixture
def telling(secret):
    return Telling(secret)


# ------------------------------------------------------------------------------- a whole run

# What the variables hold; each is used in one place of the configuration below.
HELD = {
    "NAME": 'run-of-alice | <b>"it\'s"',
    "GROUP": "group of alice",
    "TABLE": "tables-of-alice",
    "TARGET": "class-of-alice",
    "DROP": "hidden-column",
    "SEED": "31415926",
    "POWER": "2.71828183",
    "SPREAD": "0.31415927",
    "MOST": "987653",
    "EPOCHS": "3",
    "TOL": "0.0001234567",
    "TEST": "0.27182818",
    "QUANTILES": "17",
    "STORE": "store-of-alice",
    "SHOWN": "shown-by-alice",
    "FIGURE": "hit_map",
    "MODEL": "model-of-alice",
    "OFF": "plugin-of-alice",
}
CONFIG = """
experiment: ${env:GROUP}
name: ${env:NAME}
dataset: {name: csv, path: "${env:TABLE}/t.csv", target: "${env:TARGET}", drop: ["${env:DROP}"]}
prepare: {name: sklearn.preprocessing:QuantileTransformer, n_quantiles: "${env:QUANTILES}"}
split: {test_size: "${env:TEST}"}
model:
  estimator: classifier
  epochs: ${env:EPOCHS}
  tol: ${env:TOL}
  spreading_factor: ${env:SPREAD}
  max_neurons: ${env:MOST}
  metric: {name: minkowski, p: "${env:POWER}"}
seed: ${env:SEED}
figures: [label_map, growth_curve, "${env:FIGURE}"]
plugins: {disable: ["${env:OFF}"]}
tracking:
  name: mlflow
  uri: sqlite:///${env:STORE}.db
  experiment: ${env:SHOWN}
  registered_model: ${env:MODEL}
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory, dbgsom, empty_store):
    """All that one run and its sync write and say, by place."""
    folder = tmp_path_factory.mktemp("alice")
    shutil.copy(empty_store, folder / f"{HELD['STORE']}.db")
    given = {"c.yaml": CONFIG, f"{HELD['TABLE']}/t.csv": TABLE}
    for name, text in given.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patched:
        for name, held in HELD.items():
            patched.setenv(name, held)
        drawn = []
        savefig = Figure.savefig
        patched.setattr(
            Figure, "savefig", lambda f, *a, **k: (drawn.append(f), savefig(f, *a, **k))
        )
        code, said = dbgsom(folder, "run", "c.yaml")
        assert code == 0, said
        code, synced = dbgsom(folder, "sync")
        assert code == 0, synced
        texts = [
            text.get_text()
            for one in drawn
            for text in one.findobj(lambda a: hasattr(a, "get_text"))
        ]
    places = written(folder, but=given)
    assert {"store-of-alice.db"} < set(places)
    folders = "\n".join(str(p.relative_to(folder)) for p in folder.glob("runs/**"))
    return places | {
        "folders": folders,
        "said": said,
        "synced": synced,
        "figures": "\n".join(texts),
    }


@pytest.mark.parametrize("name", [n for n in HELD if n not in ("EPOCHS", "QUANTILES")])
def test_a_run_shows_the_reference_everywhere(shown, name):
    assert not leaks(shown, HELD[name])


def test_the_run_folder_shows_references(shown):
    run = json.loads(next(text for name, text in shown.items() if name.endswith("run.json")))
    assert run["name"] == "${env:NAME}"
    assert run["experiment"] == "env-GROUP"
    wanted = {"seed": "SEED", "tol": "TOL", "epochs": "EPOCHS", "growth.max_neurons": "MOST",
              "metric.p": "POWER", "growth.spreading_factor": "SPREAD",
              "dataset.target": "TARGET"}  # fmt: skip
    assert {key: run["params"][key] for key in wanted} == {
        key: f"${{env:{name}}}" for key, name in wanted.items()
    }
    assert run["params"]["split"] == "test ${env:TEST}"
    assert any("${env:NAME}" in line for line in shown["figures"].splitlines())
    assert "${env:NAME}" in shown["said"]
    assert any(name.endswith("figures/env-FIGURE.png") for name in shown)
    assert f"to look at it: dbgsom ui {run['id']}\n" in shown["said"]


# --------------------------------------------------------------------- passwords in addresses

DIRECT = {
    "http://alice:hun/ter2@127.0.0.1:9": "hun/ter2",
    "http://alice:hun@ter2/x@127.0.0.1:9": "ter2",
    "http://127.0.0.1:9/?token=tokenofalice": "tokenofalice",
    "http://127.0.0.1:9/?a=1&access_token=tokenofalice#x": "tokenofalice",
}


@pytest.mark.parametrize("uri", DIRECT)
def test_passwords_and_tokens_that_stand_in_the_file_are_hidden(tmp_path, uri, dbgsom):
    (tmp_path / "c.yaml").write_text(SMALL.replace("tracking: []", ""))
    _, said = dbgsom(tmp_path, "run", "c.yaml", "--set", f'tracking={{name: mlflow, uri: "{uri}"}}')
    places = written(tmp_path, but=["c.yaml"]) | {"said": said}
    assert "127.0.0.1:9" in said
    assert "***" in said
    assert not leaks(places, DIRECT[uri])


@pytest.mark.parametrize("word", ["seed=", "tracking.uri="])
@pytest.mark.parametrize("uri", DIRECT)
def test_passwords_and_tokens_that_were_typed_are_hidden(tmp_path, uri, word, dbgsom):
    (tmp_path / "c.yaml").write_text(SMALL)
    with pytest.raises(ConfigError) as raised:
        load_experiment(tmp_path / "c.yaml", [f"{word}{uri}"])
    code, said = dbgsom(tmp_path, "validate", "c.yaml", "--set", f"{word}{uri}")
    assert code == 2
    assert "***" in said
    assert DIRECT[uri] not in said + str(raised.value)


def test_a_password_from_the_environment_is_kept_as_its_reference(secret):
    uri = "http://alice:${env:T}@h"
    values = {"experiment": "x", "dataset": "blobs", "tracking": {"name": "mlflow", "uri": uri}}
    made = parse_experiment(values)
    assert made.tracking[0][1].uri == f"http://alice:{secret}@h"
    with redaction(made.secrets):
        assert masked(made.resolved)["tracking"][0]["uri"] == uri
        assert masked(made.tracking[0][1].uri) == uri


def test_the_view_that_an_address_of_mlflow_opens_is_no_secret():
    address = "http://h/#/experiments/1/runs?mode=a&viewStateShareKey=dbgsom&api_key=mine"
    assert masked(address) == address.replace("mine", "***")


# ---------------------------------------------------------------------------- what goes wrong

# What is wrong with a configuration, which variable says so, and what must not be told.
WRONG = {
    "a mistyped dataset": ("dataset: ${env:T}", "irris", ["'iris'"]),
    "a mistyped metric": ("model: {metric: '${env:T}'}", "euclidian", ["euclidean'?"]),
    "a mistyped growth": ("model: {growth: {name: '${env:T}'}}", "directd", ["'directed'?"]),
    "a mistyped estimator": ("model: {estimator: '${env:T}'}", "clasifier", ["'classifier'?"]),
    "a mistyped measure": ("measures: ['${env:T}']", "accurracy", ["'accuracy'"]),
    "a mistyped figure": ("figures: ['${env:T}']", "lable_map", ["'label_map'"]),
    "a mistyped step": ("prepare: ['${env:T}']", "standardise", ["'standardize'"]),
    "a short name": ("dataset: ${env:T}", "a1b", []),
    "a class that is not there": ("prepare: ['${env:T}']", "json:HunterOfAlice", []),
    "a wrong param": (
        "prepare: {name: sklearn.impute:SimpleImputer, strategy: '${env:T}'}",
        "hunter-12",
        [],
    ),
    "a table that is missing": ("dataset: {name: csv, path: '${env:T}'}", "at/alice/t.csv", []),
    "its name alone": (
        "dataset: {name: csv, path: '${env:T}'}",
        "at/alice/long-name.csv",
        ["long-name.csv"],
    ),
    "a folder": ("dataset: {name: csv, path: '${env:T}'}", "folder-of-alice", []),
    "a column": (
        "dataset: {name: csv, path: t.csv, target: '${env:T}'}",
        "class-of-alicia",
        ["did you mean"],
    ),
    "a store in a folder": ("tracking: {name: mlflow, uri: '${env:T}'}", "folder-of-alice", []),
    "a store that is none": (
        "tracking: {name: mlflow, uri: '${env:T}'}",
        "sqlite:///folder-of-alice/t.csv",
        ["folder-of-alice/t.csv"],
    ),
    "a server that is away": (
        "tracking: {name: mlflow, uri: '${env:T}'}",
        "http://alice:hun/ter2@127.0.0.1:9/path-of-alice?token=tokenofalice",
        ["hun/ter2", "ter2", "path-of-alice", "tokenofalice"],
    ),
    "runs in a file": (
        "tracking: {name: run_folder, path: '${env:T}'}",
        "folder-of-alice/t.csv",
        [],
    ),
    "parts that do not fit": ("model: {max_neurons: '${env:T}', growth: fixed}", "4321", []),
    "a run folder": ("tracking: {name: run_folder, path: '${env:T}'}", "runs-of-alice", []),
    "many lines": (
        "tags: {who: '${env:T}'}",
        "first-line-of-alice\nsecond-line-of-alice",
        ["second-line"],
    ),
    "letters of others": ("name: '${env:T}'", "h\u00fcnter-\u00e4lice", ["h\\u00fcnter"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_without_the_value(tmp_path, monkeypatch, case, dbgsom):
    changed, held, also = WRONG[case]
    monkeypatch.setenv("T", held)
    (tmp_path / "t.csv").write_text(TABLE)
    (tmp_path / "folder-of-alice").mkdir()
    (tmp_path / "folder-of-alice" / "t.csv").write_text(TABLE)
    given = [line for line in SMALL.splitlines() if line.partition(":")[0] not in changed]
    (tmp_path / "c.yaml").write_text("\n".join([*given, changed]) + "\n")
    _, said = dbgsom(tmp_path, "run", "c.yaml")
    places = written(tmp_path, but=("c.yaml",)) | {"said": said}
    assert "${env:T}" in "".join(places.values()), said
    assert [leaks(places, one) for one in (held, *also)] == [[]] * (1 + len(also)), said


@pytest.mark.parametrize("error", [ValueError, OSError])
def test_a_run_that_fails_shows_references(made, secret, telling, tmp_path, monkeypatch, error):
    def failing(*given):
        try:
            raise error(2, "no file", f"/at/{secret}/x") if error is OSError else error(secret)
        except error as cause:
            raise RuntimeError(f"lost {secret}") from cause

    monkeypatch.setattr("dbgsom_core.runs.pipeline._fit_and_evaluate", failing)
    with pytest.raises(RuntimeError) as ended:
        run_of(made, telling)
    assert str(ended.value) == str(telling.error) == "lost ${env:T}"
    told = "".join(traceback.format_exception(ended.value))
    assert "${env:T}" in str(ended.value.__cause__)
    assert not leaks(written(tmp_path) | {"traceback": told}, secret)


@pytest.mark.parametrize("debug", ["", "1"])
def test_whoever_prints_in_a_command_shows_references(secret, tmp_path, monkeypatch, debug, dbgsom):
    def failing(*given):
        print(f"printed {secret}")
        aside = threading.Thread(target=lambda: sys.stderr.write(f"written {secret}"))
        aside.start()
        aside.join()
        logging.getLogger("dbgsom.third").warning("logged %s", secret)
        raise RuntimeError(f"raised {secret}")

    monkeypatch.setenv("DBGSOM_DEBUG", debug)
    monkeypatch.setattr("dbgsom_core.runs.pipeline._fit_and_evaluate", failing)
    (tmp_path / "c.yaml").write_text(SMALL + "name: ${env:T}\n")
    code, said = dbgsom(tmp_path, "run", "c.yaml")
    assert code == 1
    assert [
        f"{word} ${{env:T}}" in said for word in ("printed", "written", "logged", "raised")
    ] == ([True] * 4)
    assert secret not in said
    assert ("Traceback" in said) == bool(debug)


# -------------------------------------------------- in which forms a value is known, and how long


def test_what_one_run_hides_another_may_show(made, secret, dbgsom):
    run_of(made)
    assert masked(secret) == secret
    assert dbgsom(Path.cwd(), "validate", f"{secret}.yaml")[1].startswith(f"{secret}.yaml")


@pytest.mark.parametrize(
    ("held", "text", "shown"),
    [
        ("hunter-2", "xhunter-2x", "x${env:T}x"),
        ("hunt", "the hunt, hunter", "the ${env:T}, hunter"),
        ("abc", "abc and 'abc'", "abc and '${env:T}'"),
        ("true", "true of 'true'", "true of '${env:T}'"),
        ("7", "7 of 17, epochs=7, '7'", "7 of 17, epochs=${env:T}, '${env:T}'"),
        ("a b/c+d&efgh", "?x=a%20b/c%2Bd%26efgh", "?x=${env:T}"),
        ('tab\tand"quote', 'is {"x": "tab\\tand\\"quote"}', 'is {"x": "${env:T}"}'),
        ("http://u:passphrase@h/p", "of passphrase", "of ${env:T}"),
        ("at/alice/table.csv", "no table.csv", "no ${env:T}"),
        ("gausian", "unknown 'gausian'; did you mean 'gaussian'?", "unknown '${env:T}'"),
        ("env:", "of ${env:T}", "of ${env:T}"),
        ("", "any text", "any text"),
    ],
)
def test_a_value_is_hidden_in_every_form(held, text, shown):
    secrets = {}
    register(secrets, held, "${env:T}")
    with redaction(secrets):
        assert masked([{"key": text}]) == [{"key": shown}]
        assert masked(shown) == shown
    error = DbgsomError(text)
    with pytest.raises(DbgsomError), redaction(secrets):
        raise error
    assert str(error) == shown
    assert masked(text) == text


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("hunter-of-alice", '"$T"'),
        ("sqlite:///hunter-of-alice.db", 'sqlite:///"$T".db'),
        ("a b/hunter-of-alice/`id` $HOME'\"", "'a b/'\"$T\"" + shlex.quote("/`id` $HOME'\"")),
        ("http://h:1/ of-somebody-else", '\'http://h:1/ \'"${S:-sqlite:///a \\"b\\$\\`.db}"'),
        ("plain", "plain"),
        ("", "''"),
    ],
)
def test_a_shell_fills_the_references_of_a_command(text, word):
    held = {"T": "hunter-of-alice", "S": "of-somebody-else"}
    with redaction():
        register({}, held["T"], "${env:T}")
        register({}, held["S"], '${env:S:-sqlite:///a "b$`.db}')
        assert shell_word(text) == word
    assert said_by_shell(word, held) == text
    if "${S:-" in word:
        assert said_by_shell(word, {}) == 'http://h:1/ sqlite:///a "b$`.db'


def said_by_shell(word, environment):
    done = subprocess.run(
        ["/bin/sh", "-c", f"printf %s {word}"], env=environment, capture_output=True, text=True
    )
    assert not done.stderr
    return done.stdout


def test_a_value_that_is_the_default_is_no_secret(monkeypatch):
    uri = "sqlite:///of-alice.db"
    monkeypatch.setenv("STORE", uri)
    tracking = {"name": "mlflow", "uri": f"${{env:STORE:-{uri}}}"}
    made = parse_experiment({"experiment": "x", "dataset": "blobs", "tracking": tracking})
    with redaction(made.secrets):
        assert f"--backend-store-uri {uri}\n" in masked(made.tracking[0][1].how_to_open())


# ------------------------------------------------------------------------------ third parties


def test_observers_and_their_notes_know_references_only(made, secret, telling, tmp_path, caplog):
    outcome = run_of(made, telling)
    assert telling.run.name == "of ${env:T}"
    assert outcome.result.notes == [
        "observer Telling failed in dbgsom_run_started (ValueError: no ${env:T})"
    ]
    ours = [one.getMessage() for one in caplog.records if one.name == "dbgsom"]
    assert any("no ${env:T}" in message for message in ours)
    assert not leaks(written(tmp_path) | {"logged": "".join(ours)}, secret)


@pytest.mark.parametrize("kind", ["page", "picture"])
def test_figures_of_others_show_references(made, secret, tmp_path, monkeypatch, kind):
    figure, drawn = Figure(), []
    figure.text(0, 0, f"{secret} and $")
    monkeypatch.setattr(
        Figure, "savefig", lambda one, *a, **k: drawn.append(one.texts[0].get_text())
    )

    def draw(self, view):
        return Html(f"<html>{secret} {quote(secret)}</html>") if kind == "page" else figure

    registry = Registry.discover(own_only=True)
    made = parse_experiment({**made.resolved, "figures": ["hit_map"]}, registry)
    monkeypatch.setattr(type(made.figures[0][1]), "draw", draw)
    run_of(made)
    assert not leaks(written(tmp_path) | {"drawn": "".join(drawn)}, secret)
    assert drawn == (["${env:T} and $"] if kind == "picture" else [])
