"""Broken components and plugins: each is caught by the kit, or named when it runs.

``python tests/faults/broken_components.py [KIND …]`` takes some minutes. The components of
``faulty`` are installed into a folder of their own, the kit checks them, and what passes is run.
Broken plugins are laid beside them, and ``doctor`` must name each. With ``--run`` every component
is run, whatever the kit says: what the border alone does not see, such as a kernel that grows, is
told as ``silent`` and is no failure where the kit sees it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KINDS = {
    "kernel": "kernels", "metric": "metrics metric_parts", "growth": "growth",
    "labeller": "labellers", "dataset": "datasets", "measure": "measures", "figure": "figures",
    "tracker": "trackers", "engine": "engines",
    "prepare step": "steps",
}  # fmt: skip
SOUND = {"fine", "assigning", "steady"}
LIMIT = 20.0  # seconds for a check

# A plugin module for each way to be broken as a whole, and the words that doctor must say.
PLUGINS = {
    "exits": ("import sys; sys.exit(0)", "SystemExit"),
    "ends": ("import os; os._exit(0)", "os._exit(0)"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "ended the process"),
    "kills": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended the process"),
    "libc-exit": ("import ctypes; ctypes.CDLL(None)._exit(0)", "ended the process"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "bottom": ("raise BaseException('bottom')", "BaseException: bottom"),
    "raises": ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
    "syntax": ("def (:", "SyntaxError"),
    "absent": ("import no_such_module_at_all", "No module named"),
    "stateless": ("x = 1", "states no DBGSOM_API_VERSION"),
    "future": ("DBGSOM_API_VERSION = 99", "upgrade dbgsom-core"),
    "misspelt": (
        "from dbgsom_core.api import hookimpl\nDBGSOM_API_VERSION = 1\n"
        "@hookimpl\ndef dbgsom_metrix():\n    return {}",
        "did you mean 'dbgsom_metrics'",
    ),
    "hook-raises": (
        "from dbgsom_core.api import hookimpl\nDBGSOM_API_VERSION = 1\n"
        "@hookimpl\ndef dbgsom_metrics():\n    raise SystemExit(0)",
        "SystemExit",
    ),
    "gone": (
        "from dbgsom_core.api import hookimpl\nDBGSOM_API_VERSION = 1\n"
        "@hookimpl\ndef dbgsom_metrics():\n    return {'gone': 'no_such_module_at_all:Metric'}",
        "No module named",
    ),
    "lazy-exit": (
        "from dbgsom_core.api import hookimpl\nDBGSOM_API_VERSION = 1\n"
        "@hookimpl\ndef dbgsom_metrics():\n    return {'lazy': 'faults_exits:Metric'}",
        "SystemExit",
    ),
    "numpy": ("import numpy\nDBGSOM_API_VERSION = 1\nnumpy.sum = lambda x: 0", "numpy.sum"),
    "builtin": ("import builtins\nDBGSOM_API_VERSION = 1\nbuiltins.sum = max", "builtins.sum"),
    "wanders": ("import os\nDBGSOM_API_VERSION = 1\nos.chdir('/')", "the working directory"),
    "signals": (
        "import signal\nDBGSOM_API_VERSION = 1\nsignal.signal(signal.SIGINT, signal.SIG_IGN)",
        "signal handlers",
    ),
    "filters": (
        "import warnings\nDBGSOM_API_VERSION = 1\nwarnings.simplefilter('ignore')",
        "the warnings filters",
    ),
    "errors": ("import numpy\nDBGSOM_API_VERSION = 1\nnumpy.seterr(all='raise')", "error handling"),
    "seeds": ("import numpy\nDBGSOM_API_VERSION = 1\nnumpy.random.seed(1)", "numpy.random"),
    "slow": ("import time\nDBGSOM_API_VERSION = 1\ntime.sleep(0.4)", "at every start"),
}  # fmt: skip


def install(site, distribution, source):
    """Lay a module or a package down as an installed distribution."""
    module = distribution.replace("-", "_")
    if isinstance(source, Path):
        shutil.copytree(source, site / module, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        (site / f"{module}.py").write_text(source, encoding="utf-8")
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[dbgsom.plugins]\n{distribution} = {module}\n")


def dbgsom(site, work, *words, limit=3600.0):
    """Run the command line beside the installed distributions."""
    paths = [str(site), str(ROOT), str(ROOT / "plugins")]
    return subprocess.run(
        [sys.executable, "-c", "from dbgsom_core.cli import main; main()", *words],
        cwd=work,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=limit,
    )


def config(kind, name):
    """Return a run that uses a component."""
    told = {
        "experiment": "faults",
        "dataset": "iris",
        "model": {"estimator": "classifier", "epochs": 6},
        "measures": ["quantization_error"],
        "figures": [],
        "tracking": None,
    }
    component = f"faulty:{name}"
    if kind in ("kernel", "metric", "growth", "labeller"):
        told["model"][kind] = component
    elif kind == "prepare step":
        told["prepare"] = name
    elif kind in ("dataset", "engine"):
        told[kind] = component
    else:
        told[{"measure": "measures", "figure": "figures", "tracker": "tracking"}[kind]] = [
            component
        ]
    return told


def judge_components(site, work, kinds, run_all):
    """Return for each component how it was caught: by the kit, in a run, or not at all."""
    answer = dbgsom(site, work, "plugins", "check", "faulty", "--json", "--limit", str(LIMIT))
    if not answer.stdout:
        raise SystemExit(answer.stderr)
    report = json.loads(answer.stdout)
    assert not report["broken"], report["broken"]
    for one in report["components"]:
        kind, name = one["kind"], one["name"]
        if kind not in kinds:
            continue
        failed = one["failed"]
        if name in SOUND:
            yield kind, name, "sound" if not failed else "FALSE ALARM", str(failed or "")
        elif run_all and failed:
            how, words = run(site, work, kind, name)
            yield kind, name, how.lower(), words
        elif failed:
            check, why = next(iter(failed.items()))
            yield kind, name, "kit", f"{check}: {why}"
        else:
            yield kind, name, *run(site, work, kind, name)


def run(site, work, kind, name):
    """Return how a run that uses a component ends: named, or silent."""
    (work / "run.json").write_text(json.dumps(config(kind, name)))
    try:
        done = dbgsom(site, work, "run", "run.json", limit=LIMIT)
    except subprocess.TimeoutExpired:
        return "HANGS", ""
    told = [line for line in (done.stderr + done.stdout).splitlines() if name in line]
    named = done.returncode in (2, 3) or "faulty" in done.stderr
    return "run" if named and told else "SILENT", told[0] if told else done.stderr[-200:]


def judge_plugins(site, work):
    """Return for each broken plugin whether doctor names it."""
    for name, (source, _) in PLUGINS.items():
        install(site, f"faults-{name}", source)
    findings = json.loads(dbgsom(site, work, "plugins", "doctor", "--json").stdout)
    for name, (_, words) in PLUGINS.items():
        told = [one["message"] for one in findings if one["distribution"] == f"faults-{name}"]
        found = [one for one in told if words in one]
        yield "plugin", name, "doctor" if found else "SILENT", (found or told or [""])[0]


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    run_all = "--run" in sys.argv
    kinds = [one for one in sys.argv[1:] if one != "--run"] or [*KINDS, "plugin"]
    started, results = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        site, work = Path(folder) / "site", Path(folder) / "work"
        site.mkdir()
        work.mkdir()
        if set(kinds) & set(KINDS):
            install(site, "faulty", faulty(Path(folder), kinds))
            results += judge_components(site, work, kinds, run_all)
        shutil.rmtree(site)
        site.mkdir()
        if "plugin" in kinds:
            results += judge_plugins(site, work)
    for kind, name, how, words in results:
        print(f"{how:<12}{kind:<13}{name:<20}{words[:150]}")
    counts = {how: sum(one[2] == how for one in results) for how in {one[2] for one in results}}
    print(f"\n{counts} in {time.perf_counter() - started:.0f} s")
    bad = [one for one in results if one[2].isupper()]
    sys.exit(1 if bad else 0)


def faulty(folder, kinds):
    """Return a copy of the faulty package with components of these kinds alone."""
    source = shutil.copytree(HERE / "faulty", folder / "source")
    for kind, modules in KINDS.items():
        for module in modules.split() if kind not in kinds else ():
            (source / f"{module}.py").write_text("")
    return source


if __name__ == "__main__":
    main()
