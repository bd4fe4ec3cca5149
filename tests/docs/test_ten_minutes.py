"""The ten minutes of the README, from a CSV to a decision, are as the page says."""

import re
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.one_version

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Ten minutes: from a CSV to a decision")[1].split("\n## ")[0]
(BLOCK,) = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)
COMMANDS = [shlex.split(line.split("  #")[0]) for line in BLOCK.splitlines()]


def test_from_a_csv_to_a_decision(tmp_path, monkeypatch, called):
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    for name in ("wine.csv", "wine-new.csv"):
        shutil.copy(ROOT / "configs" / name, "configs")
    said = {}
    for words in COMMANDS:
        name = words[1]
        if name == "ui":  # serves until Ctrl-C, and needs a store
            continue
        if name == "run":
            words = [*words, "--set", "tracking=[]", "-q"]
            words += ["--set", "figures=[]", "--set", "measures=[accuracy,purity]"]
        code, *said[name] = called(tmp_path, *words[1:])
        assert code == 0, said[name]
    assert list(said) == [
        "init",
        "run",
        "show",
        "compare",
        "predict",
        "explain",
        "check",
        "explore",
    ]
    assert "cultivar" in said["init"][0] + said["init"][1]
    assert len(list(Path("runs/wine").iterdir())) == 2
    decision = " ".join(said["compare"][0].split())
    assert "prepare=standardize wins: purity 0.938" in decision
    assert all(text in decision for text in ("0.244", "0.12", "0.37", "0.0058"))
    page = " ".join(SECTION.split())
    assert "`standardize` stays" in page
    assert "94 % of all cases, and in 69 % on raw units" in page
    assert "(95 % CI of the difference 12 to 37 points, p = 0.006)" in page
    answers = pd.read_csv("answers.csv")
    assert len(answers) == 18
    assert answers["bottle"][0] == "W006"
    assert set(answers["label"]) <= {"first", "second", "third"}
    assert "most like it in the training data" in said["explain"][0]
