"""A broken, a clashing, an outdated and a slow plugin together: each is named, the rest works."""

import json
import time

import pytest

from dbgsom_core.plugins.apart import Apart

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
BAD_HOOK = """
from dbgsom_core.api import hookimpl
DBGSOM_API_VERSION = 1
@hookimpl
def %s:
    %s
"""


@pytest.fixture
def crowd(site):
    site.write("dbgsom-broken", "raise RuntimeError('no luck today')\n")
    site.write("dbgsom-old", KERNEL.replace("VERSION = 1", "VERSION = 0") % "'old'")
    site.write("dbgsom-new", KERNEL.replace("VERSION = 1", "VERSION = 99") % "'new'")
    site.write("dbgsom-slow", "import time; time.sleep(0.5)\n" + KERNEL % "'lazy'")
    site.write("dbgsom-here", KERNEL % "'flat'")
    site.write("dbgsom-there", KERNEL % "'flat'")
    site.write("dbgsom-shadow", KERNEL % "'gaussian'")
    site.write("dbgsom-stale", (KERNEL % "'gone'").replace(": Flat}", ": 'dbgsom_gone:Flat'}"))
    site.write("dbgsom-misspelt", BAD_HOOK % ("dbgsom_kernals()", "return {}"))
    site.write("dbgsom-default", BAD_HOOK % ("dbgsom_run_started(run=None)", "pass"))
    site.write("dbgsom-kwargs", BAD_HOOK % ("dbgsom_run_started(**kwargs)", "pass"))
    site.write("dbgsom-argument", BAD_HOOK % ("dbgsom_epoch_finished(run, epok)", "pass"))
    site.write("dbgsom-wrong", BAD_HOOK % ("dbgsom_metrics()", "return ['x']"))
    return site


def test_everything_else_works_and_each_is_named(crowd):
    (crowd.work / "run.yaml").write_text(
        "experiment: x\ndataset: {name: blobs, samples: 60}\n"
        "model: {kernel: 'dbgsom-here:flat', epochs: 3, max_neurons: 9}\n"
        "figures: []\ntracking: null\n"
    )
    assert "run folder" in crowd.dbgsom("run", "run.yaml").stdout

    listed = json.loads(crowd.dbgsom("plugins", "list", "--json").stdout)
    status = {one["distribution"]: one["status"] for one in listed["plugins"]}
    names = ("broken", "old", "new", "misspelt", "default", "kwargs", "argument", "wrong")
    broken = {f"dbgsom-{name}" for name in names}
    assert {name for name, one in status.items() if one == "broken"} == broken
    kernels = {
        (one["distribution"], one["name"]): one["status"]
        for one in listed["components"]
        if one["kind"] == "kernel"
    }
    assert kernels["dbgsom-core", "gaussian"] == "ok"
    assert kernels["dbgsom-shadow", "gaussian"] == "shadowed"
    assert kernels["dbgsom-here", "flat"] == kernels["dbgsom-there", "flat"] == "clash"
    details = {one["distribution"]: one["details"] for one in listed["plugins"]}
    assert "dbgsom_broken.py" in details["dbgsom-broken"]

    found = json.loads(crowd.dbgsom("plugins", "doctor", "--json", code=3).stdout)
    told = {(one["problem"], one["distribution"]): one["message"] for one in found}
    for problem, name, words in [
        ("broken", "broken", "RuntimeError: no luck today"),
        ("api version", "old", "plugin API 0, this dbgsom-core supports 1; upgrade that plugin"),
        ("api version", "new", "upgrade dbgsom-core"),
        ("slow", "slow", "s at every start"),
        ("clash", "here", "write 'dbgsom-here:flat'"),
        ("clash", "there", "offered by dbgsom-here too"),
        ("shadowed", "shadow", "the bare name means that of dbgsom-core"),
        ("stale", "stale", "No module named 'dbgsom_gone'"),
        ("broken", "misspelt", "unknown hook 'dbgsom_kernals'; did you mean 'dbgsom_kernels'?"),
        ("broken", "default", "gives run a default"),
        ("broken", "kwargs", "has **kwargs"),
        ("broken", "argument", "unknown argument 'epok'; did you mean 'epoch'?"),
        ("broken", "wrong", "must return a mapping of names to classes, not list"),
    ]:
        assert words in told[problem, f"dbgsom-{name}"]
    assert len([one for one in found if one["problem"] != "slow"]) == 12


def test_strict_plugins_is_exit_code_3_and_names_them(crowd):
    done = crowd.dbgsom("plugins", "list", "--strict-plugins", code=3)
    assert "dbgsom-broken: RuntimeError: no luck today" in done.stderr
    assert "dbgsom-misspelt" in done.stderr


def test_plugins_are_disabled_by_flag_variable_and_all_at_once(site):
    site.write("dbgsom-broken", "raise RuntimeError('no luck today')\n")
    site.write("dbgsom-worse", "raise SystemExit(9)\n")
    strict = ("plugins", "list", "--strict-plugins")
    assert "worse" in site.dbgsom(*strict, "--disable-plugin", "dbgsom-broken", code=3).stderr
    site.dbgsom(*strict, "--disable-plugin", "broken", "--disable-plugin", "worse")
    site.dbgsom(*strict, "--disable-plugin", "broken", DBGSOM_DISABLE_PLUGINS="worse")
    assert "disabled: worse" in site.dbgsom(*strict, "--no-plugins").stderr


def test_check_runs_the_kit_and_names_the_broken_promise(site):
    negative = (KERNEL % "'bad_one'").replace("np.ones", "-np.ones")
    site.write("dbgsom-bad", negative)
    site.write("dbgsom-good", KERNEL % "'good_one'")
    assert "passed   kernel good_one" in site.dbgsom("plugins", "check", "dbgsom-good").stdout
    done = site.dbgsom("plugins", "check", code=3)
    assert "failed   kernel bad_one of dbgsom-bad 1.0" in done.stdout
    assert "failed weights: " in done.stdout
    assert "passed   kernel good_one" in done.stdout
    assert (
        "did you mean 'dbgsom-good'" in site.dbgsom("plugins", "check", "dbgsom-gd", code=2).stderr
    )


def test_show_tells_help_fields_schema_and_source(site):
    site.write("dbgsom-good", KERNEL % "'good_one'")
    (shown,) = json.loads(site.dbgsom("plugins", "show", "good_one", "--json").stdout)
    assert shown["help"] == "Equal weights."
    assert shown["source"] == "dbgsom_good:Flat"
    assert shown["file"].endswith("dbgsom_good.py")
    assert shown["fields"]["decay"]["default"] == "exponential"
    assert shown["schema"]["properties"]["decay"]["enum"] == ["linear", "exponential"]
    assert "did you mean 'good_one'" in site.dbgsom("plugins", "show", "god_one", code=2).stderr


def test_a_distribution_that_is_installed_twice_is_stale(site):
    site.write("dbgsom-good", KERNEL % "'good_one'", version="1.0")
    (site.folder / "dbgsom_good-0.9.dist-info").mkdir()
    for name in ("METADATA", "entry_points.txt"):
        text = (site.folder / "dbgsom_good-1.0.dist-info" / name).read_text()
        (site.folder / "dbgsom_good-0.9.dist-info" / name).write_text(
            text.replace("Version: 1.0", "Version: 0.9")
        )
    assert "is installed twice" in site.dbgsom("plugins", "doctor", code=3).stdout


def test_a_model_whose_plugin_is_gone_says_what_its_file_claims(site):
    site.write("dbgsom-good", KERNEL % "'good_one'")
    (site.work / "run.yaml").write_text(
        "experiment: x\ndataset: {name: blobs, samples: 60}\n"
        "model: {kernel: good_one, epochs: 3}\nfigures: []\ntracking: null\n"
    )
    site.dbgsom("run", "run.yaml")
    (folder,) = (site.work / "runs" / "x").iterdir()
    read = f"from dbgsom_core.persistence import load; load({str(folder / 'model.npz')!r})"
    site.python("-c", read)
    gone = site.python("-c", read, code=1, DBGSOM_NO_PLUGINS="1").stderr
    assert "the model needs kernel 'good_one', which cannot be had here" in gone
    assert "the file claims that it came with dbgsom-good 1.0" in gone
    assert "install dbgsom-good" not in gone
    environment = json.loads((folder / "environment.json").read_text())
    kernel = next(one for one in environment["components"] if one["kind"] == "kernel")
    assert (kernel["distribution"], kernel["version"]) == ("dbgsom-good", "1.0")


def test_imports_that_end_the_process_or_change_it_are_named_and_the_rest_is_examined(site):
    state = "DBGSOM_API_VERSION = 1\n"
    site.write("dbgsom-ends", "import os; os._exit(0)\n")
    site.write("dbgsom-dies", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n")
    site.write("dbgsom-breaks", "raise KeyboardInterrupt\n")
    site.write("dbgsom-numpy", f"import numpy\n{state}numpy.sum = max\n")
    site.write("dbgsom-quiet", f"import warnings\n{state}warnings.simplefilter('ignore')\n")
    done = site.dbgsom("plugins", "doctor", code=3).stdout
    assert "broken: ends of dbgsom-ends 1.0: SystemExit: os._exit(0)" in done
    assert "broken: dies of dbgsom-dies 1.0: ended the process (signal 9)" in done
    assert "broken: breaks of dbgsom-breaks 1.0: KeyboardInterrupt" in done
    assert "changes: numpy of dbgsom-numpy 1.0: its import changes numpy.sum;" in done
    assert "touches: quiet of dbgsom-quiet 1.0: its import changes the warnings filters;" in done


def test_a_run_mentions_plugins_that_are_broken_and_names_what_a_component_does(site):
    site.write("dbgsom-ends", "import os; os._exit(0)\n")
    wrong = (KERNEL % "'bad_one'").replace("np.ones(len(hops))", "np.ones(99)")
    site.write("dbgsom-bad", wrong)
    (site.work / "run.yaml").write_text(
        "experiment: x\ndataset: {name: blobs, samples: 60}\n"
        "model: {kernel: bad_one, epochs: 3}\nfigures: []\ntracking: null\n"
    )
    told = site.dbgsom("run", "run.yaml", code=3).stderr
    assert "plugin ends of dbgsom-ends 1.0 is broken (SystemExit: os._exit(0))" in told
    assert "kernel 'bad_one' of dbgsom-bad 1.0 (dbgsom_bad.py:7): weight returned weights" in told


def test_a_tracker_that_gives_no_observer_costs_no_run(site):
    site.write(
        "dbgsom-lost",
        "from dbgsom_core.api import Component, hookimpl\nDBGSOM_API_VERSION = 1\n"
        "class Lost(Component):\n    'Lost.'\n"
        "    def observer(self):\n        raise SystemExit(0)\n"
        "    def how_to_open(self):\n        raise RuntimeError('no idea')\n"
        "@hookimpl\ndef dbgsom_trackers():\n    return {'lost': Lost}\n",
    )
    (site.work / "run.yaml").write_text(
        "experiment: x\ndataset: {name: blobs, samples: 60}\nmodel: {epochs: 3}\n"
        "figures: []\ntracking: lost\n"
    )
    done = site.dbgsom("run", "run.yaml")
    assert "run folder" in done.stdout
    assert "tracker 'lost' of dbgsom-lost 1.0 (dbgsom_lost.py:6): SystemExit: 0" in done.stderr
    assert "tracker 'lost' of dbgsom-lost 1.0 (dbgsom_lost.py:8): RuntimeError: no" in done.stderr


def test_a_check_that_ends_the_process_has_failed_and_the_others_are_made(site):
    kernel = (KERNEL % "'bad_one'").replace("np.ones(len(hops))", "__import__('sys').exit(0)")
    site.write("dbgsom-exits", kernel)
    kernel = (KERNEL % "'worse'").replace(
        "np.ones(len(hops))", "__import__('ctypes').CDLL(None)._exit(0)"
    )
    site.write("dbgsom-libc", kernel)
    site.write("dbgsom-good", KERNEL % "'good_one'")
    done = json.loads(site.dbgsom("plugins", "check", "--json", code=3).stdout)
    found = {one["name"]: one for one in done["components"]}
    assert found["bad_one"]["failed"]["weights"] == "it ends the process: SystemExit: 0"
    assert found["worse"]["failed"]["weights"] == "ended the process (exit code 0)"
    assert found["worse"]["skipped"] == {"rest": "it ended the process (exit code 0), again"}
    assert found["worse"]["passed"] == found["good_one"]["passed"][: len(found["worse"]["passed"])]
    assert not found["good_one"]["failed"]


def test_a_process_that_hangs_is_ended():
    process = Apart(__name__, {"word": "here"}, limit=120)
    lines = process.lines()
    assert next(lines) == {"at": "here"}
    process.limit = 0.1
    assert list(lines) == []
    assert process.ended == "took longer than 0.1 s"


def work(task, tell):
    print("no answer")
    tell({"at": task["word"]})
    time.sleep(3600)
