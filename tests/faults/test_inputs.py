"""Mutated configurations and data files, some of them; the command beside has more.

It also has a limit of time, which a test has not: that depends on the machine.
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.one_version


def test_each_is_used_or_refused_with_its_place():
    script = str(Path(__file__).with_name("inputs.py"))
    some = ["--configs", "40", "--data", "45", "--folders", "2", "--seed", "11", "--seconds", "inf"]
    done = subprocess.run(
        [sys.executable, script, *some], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "configs: {" in done.stdout
