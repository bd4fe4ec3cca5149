"""Changed model files: refused, or loaded to equal answers. The command beside has more cases."""

import random
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def loaded(name):
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


changes = loaded("model_file_changes")  # where the command imports it from
faults = loaded("model_files")
many = settings(max_examples=120, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return {one.name: one for one in faults.samples(tmp_path_factory.mktemp("models"))}


@pytest.fixture(scope="module")
def watch():
    return faults.Watch()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("case") / "case.npz"


# One number is drawn and all follows from it: what a file holds decides how much chance is needed.
seeds = st.integers(0, 2**32 - 1)


@many
@given(seed=seeds)
def test_a_damaged_file_is_refused_or_answers_as_before(seed, known, watch, path):
    chance = random.Random(seed)
    sample = known[chance.choice(["steps", "tree", "torus", "numbers"])]
    change = chance.choice(sorted(set(changes.DAMAGE), key=lambda one: one.__name__))
    content = change(sample.content, chance)
    assert faults.judged(sample, content, path, watch, forged=False) in ("refused", "equal")


@many
@given(seed=seeds)
def test_a_forged_file_is_refused_or_answers(seed, known, watch, path):
    chance = random.Random(seed)
    sample = known[chance.choice(sorted(known))]
    content = changes.forged(sample.content, chance)
    faults.judged(sample, content, path, watch, forged=True)


def test_the_watch_sees_what_no_file_may_do(watch, tmp_path):
    with pytest.raises(AssertionError, match="open"), watch():
        (tmp_path / "x").write_text("")
