"""Damaged run folders stop no command."""

import os
from pathlib import Path

import pytest

from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.compare import compare_runs
from dbgsom_core.runs.describe import flat_params
from dbgsom_core.runs.folder import RunFiles, StoredRun, write_json

pytestmark = pytest.mark.one_version

BEGAN = "2026-11-24T10:15:00.000+00:00"
BOMB = "\n".join(
    ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
)


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def holes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def text(content):
    return lambda path: path.write_text(content, encoding="utf-8")


DAMAGE = {
    "a pipe as run": ("run.json", pipe, "run.json cannot be read: it is no regular file"),
    "a huge file": ("measures.json", holes, "measures.json cannot be read: it has more than"),
    "nesting that JSON reads": (
        "run.json",
        text('{"params": {"a": ' + "[" * 500 + "]" * 500 + "}}"),
        "run.json: Invalid JSON: recursion limit",
    ),
    "aliases without end": ("config.yaml", text(BOMB), "more than "),
    "half a file": ("run.json", text('{"status": "fin'), "run.json: Invalid JSON"),
}  # fmt: skip


def finished(root, name, seed=1, status="finished", **model):
    files = RunFiles(root / "digits" / name)
    known = {"id": name, "name": name, "experiment": "digits", "status": status}
    config = {"experiment": "digits", "dataset": "iris", "seed": seed, "model": model}
    known["params"] = flat_params(config)
    StoredRun(**known, started=BEGAN, ended=BEGAN, files=files).write()
    files.write_config({**config, "tracking": "run_folder"})
    write_json(files.measures, {"train/quantization_error": 1.5})
    return files


@pytest.fixture
def root(tmp_path):
    finished(tmp_path / "runs", "whole-1", seed=1)
    finished(tmp_path / "runs", "whole-2", seed=2)
    return tmp_path / "runs"


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_folder_is_a_row_of_compare(what, root):
    name, damage, message = DAMAGE[what]
    files = finished(root, "broken")
    damage(files.folder / name)
    found = compare_runs(["digits"], root, get_registry(), by="quantization_error")
    assert {run.id for run in found.runs} == {"whole-1", "whole-2"}
    assert set(found.damaged) == {"broken"}
    assert message in found.damaged["broken"]
    assert len(found.tables) == 1


def test_commands_report_damage_and_go_on(root, dbgsom):
    pipe(finished(root, "bad\x1b[31m").measures)
    answer = dbgsom("compare", "digits", "--by", "quantization_error")
    assert answer.code == 0
    *_, header, row = answer.out.splitlines()
    assert header.split() == ["run", "state"]
    assert row.startswith(r"bad\x1b[31m  damaged: measures.json cannot be read")
    answer = dbgsom("sync")
    assert answer.code == 1
    assert answer.out == "0 run(s) brought up to date\n"  # a run folder has no mirror
    assert r"bad\x1b[31m: damaged: measures.json" in answer.err


def test_nothing_goes_on_in_a_damaged_folder(root, dbgsom):
    files = finished(root, "broken", status="killed")
    pipe(files.measures)
    answer = dbgsom("run", "--resume", files.folder)
    assert answer.code == 2
    assert "is damaged: measures.json cannot be read" in answer.err
    assert dbgsom("run", "--resume", "a" * 5000).code == 2
