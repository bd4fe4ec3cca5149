"""Mutate configurations, data files and run folders: each is used, or refused with its place.

A refusal is a `DbgsomError` whose every line names a file or a section and holds no control
character. ``INPUTS=500`` tries as many of each.
"""

import gzip
import io
import json
import os
import random
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from dbgsom_core.config import is_sweep, load_experiment, load_sweep
from dbgsom_core.config.resolved import commented_yaml, places, resolve
from dbgsom_core.errors import DbgsomError
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.api import check_experiment
from dbgsom_core.runs.data import load_data
from dbgsom_core.runs.init import profile_data, suggest
from dbgsom_core.runs.pipeline import prepare
from dbgsom_plugins.datasets.numpy_files import Npz
from dbgsom_plugins.datasets.table_files import Csv

pytestmark = pytest.mark.one_version

CASES = int(os.environ.get("INPUTS", 40))
SHIPPED = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
RUN = b"""\
experiment: fuzz
dataset: {name: csv, path: x.csv, target: class}
prepare: [standardize, {name: 'sklearn.decomposition:PCA', n_components: 2}]
split: {test_size: 0.25}
model: {estimator: classifier, epochs: 3, kernel: {name: gaussian, start: 2}, max_neurons: 9}
measures: [accuracy]
figures: [hit_map]
tracking: run_folder
seed: 3
tags: {stage: try, n: 3}
"""
SWEEP = RUN + b"sweep: {grid: {model.epochs: [1, 2], seed: [1, 2, 3]}}\n"
OVERRIDES = [
    b"model.epochs=20", b"model.growth={name: fixed, rows: 3}", b"prepare.0=range_scale",
    b"tags={stage: try}", b"sweep.grid={seed: [1, 2]}", b"split={folds: 3}",
]  # fmt: skip
TOKENS = [
    b"\x1b[31m", b"<script>", b"|", b"\x00", b"\xff", b"\r", b"\t", b"\n", b"&a ", b"*a",
    b"!!python/name:os.system ", b"<<: ", b"? ", b"- ", b": ", b"{", b"}", b"[", b"]", b"'", b'"',
    b"#", b"${env:HOME}", b"${env:", b"null", b"nan", b".inf", b"-1", b"0", b"1e999", b"9" * 5000,
    b"a" * 5000, b"../" * 2000, b"[" * 5000, b"{a: " * 3000, "\u202e".encode(), b"\xed\xa0\x80",
    b"\xef\xbb\xbf", b"extends: run.yaml\n", b"os:system", b"x:y", b"5e-324", b"nobody:euclidean",
    b"/dev/zero", b"pipe", b"name: ", b"path: ",
]  # fmt: skip
PLACE = re.compile(
    r"^[\w./]+\.yaml|^--set |^there is no file |cannot be read|^\W*"
    r"((case|x)\.|pipe|data set '|split: |prepare|all columns|no sample of data set '|"
    r"/dev/|aaa|\. is|and \d+ more)"
)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")
COMMANDS = [
    ("show", "RUN"), ("show",), ("compare",), ("predict", "RUN", "x.csv"), ("export", "RUN"),
    ("explain", "RUN", "x.csv", "--row", "1"), ("run", "--resume", "RUN"),
]  # fmt: skip


def mutate(content, chance):
    """Return the content with up to four changes."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        start = chance.randrange(len(content) + 1)
        end = start + chance.choice((0, 1, 4, 40))
        line = chance.choice(content.splitlines(keepends=True) or [b""])
        token = chance.choice(TOKENS)
        changes = [
            content[:start] + content[end:],
            content[:start] + token + content[end:],
            content[:start] + bytes([chance.randrange(256)]) + content[start + 1 :],
            content[:start] + line + content[start:],
            content.replace(line, b"  " + line, 1),
            content[:start],
            re.sub(rb"(: *)[\w.]+", lambda match, token=token: match[1] + token, content, count=1),
        ]
        content = chance.choice(changes)
    return content


def write(name, content):
    Path(name).write_bytes(content)
    return name


def validate(path, *overrides):
    """Validate, explain and read again what a file describes; load its data and prepare them."""
    if is_sweep(path, overrides):
        experiments = [child.experiment for child in load_sweep(path, overrides).children]
    else:
        experiments = [load_experiment(path, overrides)]
    values, root = resolve(path, overrides, get_registry())
    again = write("again.yaml", commented_yaml(values, places(values, root)).encode())
    assert resolve(again, (), get_registry())[0] == values
    for experiment in experiments[:3]:
        check_experiment(experiment)
    prepare(experiments[0], load_data(experiments[0]))


def judge(case, *arguments):
    """Run a case, which may refuse with its place and do nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            case(*arguments)
        except DbgsomError as error:
            message = str(error)
            assert all(map(PLACE.search, message.splitlines())), message
            assert not CONTROL.search(message)


@pytest.fixture
def chance(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    write("run.yaml", RUN)
    rows = "".join(f"{i},{i * i % 7},{'xyz'[i % 3]}\n" for i in range(30))
    write("x.csv", b"a,b,class\n" + rows.encode())
    return random.Random(11)


def test_a_configuration_is_used_or_refused_with_its_place(chance):
    texts = [RUN, SWEEP, *(path.read_bytes() for path in SHIPPED)]
    for _ in range(CASES):
        judge(validate, write("case.yaml", mutate(chance.choice(texts), chance)))
    for _ in range(CASES // 4):
        override = mutate(chance.choice(OVERRIDES), chance).decode("utf-8", "surrogateescape")
        judge(validate, "run.yaml", override)


def test_a_data_file_is_used_or_refused_with_its_place(chance):
    arrays = io.BytesIO()
    np.savez_compressed(arrays, X=np.ones((40, 3)), y=np.arange(40))
    table = Path("x.csv").read_bytes()
    for _ in range(CASES):
        path = write("case.csv", mutate(table, chance))
        judge(lambda path=path: Csv(path=path, target="class").load())
        judge(lambda path=path: suggest(profile_data(path, get_registry())).text("x", "x.yaml"))
        path = write("case.npz", mutate(arrays.getvalue(), chance))
        judge(lambda path=path: Npz(path=path).load())
    bomb = gzip.compress(bytes(1 << 20)) * 10_000
    judge(lambda: Csv(path=write("case.csv.gz", bomb)).load())


def damage(path, chance):
    content = path.read_bytes()
    path.unlink()
    kind = chance.choice(("mutated", "mutated", "cut", "gone", "folder", "circle"))
    if kind in ("mutated", "cut"):
        path.write_bytes(mutate(content, chance) if kind == "mutated" else content[:-9])
    elif kind == "folder":
        path.mkdir()
    elif kind == "circle":
        path.symlink_to(path)


def test_commands_use_or_refuse_a_damaged_run_folder(chance, called):
    assert called(Path.cwd(), "run", "run.yaml", "-q").code == 0
    (run,) = Path("runs/fuzz").iterdir()
    shutil.copytree(run, "whole")
    for number in range(max(2, CASES // 10)):
        shutil.rmtree(run)
        shutil.copytree("whole", run)
        if number % 2:  # as one that was killed
            stored = json.loads((run / "run.json").read_text(encoding="utf-8"))
            (run / "run.json").write_text(json.dumps(stored | {"status": "killed"}))
        files = sorted(path for path in run.rglob("*") if path.is_file())
        for path in chance.sample(files, chance.choice((1, 2, 3))):
            damage(path, chance)
        for words in COMMANDS:
            answer = called(Path.cwd(), *(run.name if word == "RUN" else word for word in words))
            assert answer.code in (0, 1, 2, 3)
            assert not re.search("Traceback|DBGSOM_DEBUG", answer.err), (words, answer.err)
            assert not CONTROL.search(answer.out + answer.err)
