"""Mutated configurations and data files, some of them; the command beside has more."""

import subprocess
import sys
from pathlib import Path


def test_each_is_used_or_refused_with_its_place():
    script = str(Path(__file__).with_name("inputs.py"))
    done = subprocess.run(
        [sys.executable, script, "--configs", "60", "--data", "60", "--seed", "11"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "configs: {" in done.stdout
