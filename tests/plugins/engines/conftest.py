"""Partitions that are never too few to be held here, in the tests of engines."""

import pytest


@pytest.fixture(autouse=True)
def nothing_is_small(monkeypatch):
    monkeypatch.setattr("dbgsom_core.engine.partitioned._FEW_BYTES", 0)
