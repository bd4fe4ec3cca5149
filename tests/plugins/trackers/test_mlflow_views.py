"""What runs are called in MLflow, and how they are described."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dbgsom_core.runs.folder import RunFiles, StoredRun
from dbgsom_plugins.trackers.mlflow.pages import description, short_name


def called(name: str, varies: dict[str, Any]) -> str:
    files = RunFiles(Path("none"))
    return short_name(StoredRun(files=files, id="id", name=name, varies=varies))


@pytest.mark.parametrize(
    ("name", "varies", "short"),
    [
        (
            "dataset=wine, kernel=bubble, metric=cosine",
            {"dataset": "wine", "model.metric": "cosine", "model.kernel.name": "bubble"},
            "bubble · cosine · wine",
        ),
        (
            "seed=3, spreading_factor=0.3, kernel=gaussian",
            {"model.spreading_factor": 0.3, "model.kernel": "gaussian", "seed": 3},
            "SF 0.3 · gaussian · seed 3",
        ),
        (
            "growth.base=gsom, growth=hierarchical, tau_2=0.1, robust=null",
            {
                "model.growth": {"name": "hierarchical", "base": "gsom", "tau_2": 0.1},
                "model.robust": None,
            },
            "gsom · hierarchical · tau_2 0.1 · robust null",
        ),
        ("metric=cosine : 2", {"model.metric": "cosine"}, "cosine : 2"),
        ("as it is", {"seed": 1}, "as it is"),
        ("with p=2, or so", {"model.metric": "cosine"}, "with p=2, or so"),
        ("iris: directed SF 0.5, gaussian", {}, "iris: directed SF 0.5, gaussian"),
    ],
)
def test_a_name_begins_with_what_differs(name: str, varies: dict[str, Any], short: str) -> None:
    assert called(name, varies) == short


def test_a_description_shows_names_as_text(tmp_path: Path) -> None:
    evil = "\x1b[31m<script>alert(1)</script>|*a*`b`\n# c"
    data = {"name": evil, "samples": 3, "features": 2}
    stored = StoredRun(files=RunFiles(tmp_path), id="1", name="1", data=data, error=evil)
    note = description(stored, "1")
    assert "3 samples" in note
    assert not [sign for sign in ("<script", "\x1b", "\n# c") if sign in note]
