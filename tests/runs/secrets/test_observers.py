"""What third parties are told, say and draw shows references."""

from urllib.parse import quote

import pytest
from matplotlib.figure import Figure

from dbgsom_core.config import parse_experiment
from dbgsom_core.interfaces.figures import Html
from dbgsom_core.plugins.registry import Registry


def test_observers_and_their_notes_know_references_only(
    made, secret, telling, tmp_path, caplog, written, leaks, run_of
):
    outcome = run_of(made, telling)
    assert telling.run.name == "of ${env:T}"
    assert outcome.result.notes == [
        "observer Telling failed in dbgsom_run_started (ValueError: no ${env:T})"
    ]
    ours = [one.getMessage() for one in caplog.records if one.name == "dbgsom"]
    assert any("no ${env:T}" in message for message in ours)
    assert not leaks(written(tmp_path) | {"logged": "".join(ours)}, secret)


@pytest.mark.parametrize("kind", ["page", "picture"])
def test_figures_of_others_show_references(
    made, secret, tmp_path, monkeypatch, kind, written, leaks, run_of
):
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
