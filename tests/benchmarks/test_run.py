"""The benchmarks run; what they measure is for those who start them."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace


def test_what_follows_a_fit_is_measured(monkeypatch):
    spec = importlib.util.spec_from_file_location("run", Path(__file__).with_name("run.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    few = module.clusters(3000, 8)
    monkeypatch.setattr(module, "clusters", lambda n, d: few)
    table = module.measures(SimpleNamespace(rounds=1))
    assert "| one pass, samples packed |" in table
    assert "| all measures together |" in table
