"""A broken, a clashing, an outdated and a stale plugin together: each is named, the rest works."""

import json

import pytest

pytestmark = pytest.mark.one_version

KERNEL = """
import numpy as np
from dbgsom_core.api import KernelComponent, hookimpl
DBGSOM_API_VERSION = 1
class Flat(KernelComponent):
    "Equal weights."
    def weight(self, hops, width):
        return np.ones(len(hops))
@hookimpl
def dbgsom_kernels():
    return {%s: Flat}
"""
CROWD = {
    "broken": "raise RuntimeError('no luck today')\n",
    "old": KERNEL.replace("VERSION = 1", "VERSION = 0") % "'old'",
    "here": KERNEL % "'flat'",
    "there": KERNEL % "'flat'",
    "shadow": KERNEL % "'gaussian'",
    "stale": (KERNEL % "'gone'").replace(": Flat}", ": 'dbgsom_gone:Flat'}"),
}
BROKEN = {
    "broken": "RuntimeError: no luck today",
    "old": "plugin API 0, this dbgsom-core supports 1; upgrade that plugin",
}


def write_run(site, kernel="gaussian", tracking="null"):
    (site.work / "run.yaml").write_text(
        "experiment: x\ndataset: {name: blobs, samples: 60}\nfigures: []\n"
        f"model: {{kernel: '{kernel}', epochs: 3}}\ntracking: {tracking}\n"
    )


def test_everything_else_works_and_each_is_named(site):
    for name, code in CROWD.items():
        site.write(f"dbgsom-{name}", code)
    write_run(site, "dbgsom-here:flat")
    assert "run folder" in site.dbgsom("run", "run.yaml").out
    listed = json.loads(site.dbgsom("plugins", "list", "--json", code=3).out)
    plugins = {one["distribution"]: one for one in listed["plugins"]}
    broken = {name for name, one in plugins.items() if one["status"] == "broken"}
    assert broken == {f"dbgsom-{name}" for name in BROKEN}
    for name, words in BROKEN.items():
        assert words in plugins[f"dbgsom-{name}"]["error"]
    components = {(one["distribution"], one["name"]): one for one in listed["components"]}
    status = {key: one["status"] for key, one in components.items()}
    assert status["dbgsom-shadow", "gaussian"] == "shadowed"
    assert status["dbgsom-here", "flat"] == status["dbgsom-there", "flat"] == "clash"
    assert status["dbgsom-stale", "gone"] == "broken"
    assert "No module named 'dbgsom_gone'" in components["dbgsom-stale", "gone"]["error"]
    strict = site.dbgsom("plugins", "list", "--strict-plugins", code=3).err
    assert "of dbgsom-broken 1.0: RuntimeError: no luck today" in strict


def test_plugins_are_disabled_by_flag_variable_and_all_at_once(site):
    site.write("dbgsom-broken", "raise RuntimeError('no luck today')\n")
    site.write("dbgsom-worse", "raise SystemExit(9)\n")
    strict = ("plugins", "list", "--strict-plugins")
    assert "worse" in site.dbgsom(*strict, "--disable-plugin", "dbgsom-broken", code=3).err
    site.dbgsom(*strict, "--disable-plugin", "broken", "--disable-plugin", "worse")
    site.dbgsom(*strict, "--disable-plugin", "broken", DBGSOM_DISABLE_PLUGINS="worse")
    assert "disabled: worse" in site.dbgsom(*strict, "--no-plugins").err


@pytest.mark.filterwarnings("ignore:one of . neurons won all")
def test_check_runs_the_kit_and_names_the_broken_promise(site):
    negative = (KERNEL % "'bad_one'").replace("np.ones", "-np.ones")
    site.write("dbgsom-bad", negative)
    site.write("dbgsom-good", KERNEL % "'good_one'")
    assert "passed   kernel good_one" in site.dbgsom("plugins", "check", "dbgsom-good").out
    said = site.dbgsom("plugins", "check", code=3).out
    assert "failed   kernel bad_one of dbgsom-bad 1.0" in said
    assert "failed weights: " in said
    said = site.dbgsom("plugins", "check", "dbgsom-gd", code=2).err
    assert "did you mean 'dbgsom-good'" in said


def test_show_tells_help_fields_schema_and_source(site):
    site.write("dbgsom-good", KERNEL % "'good_one'")
    (shown,) = json.loads(site.dbgsom("plugins", "show", "good_one", "--json").out)
    assert shown["help"] == "Equal weights."
    assert shown["source"] == "dbgsom_good:Flat"
    assert shown["schema"]["properties"]["decay"]["enum"] == ["linear", "exponential"]
    assert "did you mean 'good_one'" in site.dbgsom("plugins", "show", "god_one", code=2).err


def test_a_run_mentions_plugins_that_are_broken_and_names_what_a_component_does(site):
    site.write("dbgsom-ends", "raise SystemExit(9)\n")
    wrong = (KERNEL % "'bad_one'").replace("np.ones(len(hops))", "np.ones(99)")
    site.write("dbgsom-bad", wrong)
    write_run(site, "bad_one")
    said = site.dbgsom("run", "run.yaml", code=3).err
    assert "plugin ends of dbgsom-ends 1.0: SystemExit: 9" in said
    assert "kernel 'bad_one' of dbgsom-bad 1.0 (dbgsom_bad.py:7): weight returned ndarray" in said


def test_a_tracker_that_gives_no_observer_costs_no_run(site):
    site.write(
        "dbgsom-lost",
        "from dbgsom_core.api import TrackerComponent, hookimpl\nDBGSOM_API_VERSION = 1\n"
        "class Lost(TrackerComponent):\n    'Lost.'\n"
        "    def observer(self):\n        raise SystemExit(0)\n"
        "    def how_to_open(self):\n        raise RuntimeError('no idea')\n"
        "@hookimpl\ndef dbgsom_trackers():\n    return {'lost': Lost}\n",
    )
    write_run(site, tracking="lost")
    done = site.dbgsom("run", "run.yaml")
    assert "run folder" in done.out
    assert "tracker 'lost' of dbgsom-lost 1.0 (dbgsom_lost.py:6): SystemExit: 0" in done.err
    assert "tracker 'lost' of dbgsom-lost 1.0 (dbgsom_lost.py:8): RuntimeError: no" in done.err


ESCAPES = r"""
from pydantic import Field
from dbgsom_core.api import KernelComponent, hookimpl
DBGSOM_API_VERSION = 1
class Loud(KernelComponent):
    "Loud \x1b[31m and \x1b]0;owned\x07 weights."
    power: float = Field(default=1.0, description="of \x1b[2J clearing")
    def weight(self, hops, width):
        raise RuntimeError("no \x1b[1mweights\x1b[0m, \u202egnp.exe")
@hookimpl
def dbgsom_kernels():
    return {"loud": Loud}
"""


@pytest.mark.parametrize(
    ("words", "code", "shown"),
    [
        (("show", "loud"), 0, r"Loud \x1b[31m and \x1b]0;owned\x07 weights."),
        (("list",), 3, r"broken: sad of dbgsom-sad 1.0: RuntimeError: no \x1b[5mluck"),
        (("check", "dbgsom-loud"), 3, r"no \x1b[1mweights\x1b[0m, \u202egnp.exe"),
    ],
    ids=["show", "list", "check"],
)
def test_escapes_of_a_plugin_are_shown_as_text(site, words, code, shown):
    site.write("dbgsom-loud", ESCAPES)
    site.write("dbgsom-sad", r"raise RuntimeError('no \x1b[5mluck')")
    done = site.dbgsom("plugins", *words, code=code)
    assert shown in done.out + done.err
    assert not set("\x1b\x07\u202e") & set(done.out + done.err)
