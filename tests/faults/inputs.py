"""Mutate configurations and data files: each is used, or refused quickly with its place.

    python tests/faults/inputs.py [--configs 500] [--data 150] [--folders 50] [--seed 0]

Configurations are validated and explained, alone, with mutated ``--set`` and as those of a stored
run; the data that they name is loaded, divided and prepared; data files are read, and looked at as
``init`` does. What is explained has to be a configuration that means the same. Run folders with
damaged files are shown, compared, used and gone on with by the commands. A case fails when it
raises anything but a `DbgsomError`, when a sentence names neither the file nor the section
(``split: …``) or holds a control character, when it takes more than ``--seconds`` of the
processor, or too much memory.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gzip
import io
import json
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dbgsom_core.config import is_sweep, load_experiment, load_sweep
from dbgsom_core.config.show import commented_yaml, places, resolve
from dbgsom_core.errors import DbgsomError
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.api import check_experiment
from dbgsom_core.runs.data import load_data
from dbgsom_core.runs.folder import RunFiles, read_run
from dbgsom_core.runs.init import profile_data, suggest
from dbgsom_core.runs.pipeline import prepare
from dbgsom_plugins.datasets.numpy_files import Npy, Npz
from dbgsom_plugins.datasets.table_files import Csv

MEMORY = 1 << 30  # bytes that no case may take beyond what the process has
CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
RUN = b"""\
experiment: fuzz
dataset: {name: csv, path: x.csv, target: class}
prepare: [standardize, {name: 'sklearn.decomposition:PCA', n_components: 2}]
split: {test_size: 0.25}
model: {estimator: classifier, epochs: 20, kernel: {name: gaussian, start: 2}, growth: directed}
measures: [accuracy]
figures: [hit_map]
tracking: run_folder
seed: 3
tags: {stage: try, n: 3}
"""
SMALL = b"model: {max_neurons: 9, "
SWEEP = RUN + b"sweep: {grid: {model.epochs: [1, 2], seed: [1, 2, 3]}}\n"
OVERRIDES = [
    b"model.epochs=20", b"seed=3", b"model.growth={name: fixed, rows: 3, columns: 4}",
    b"name='a b'", b"prepare.0=range_scale", b"model.kernel.start=1e-1", b"tags={stage: try}",
    b"figures=[u_matrix]", b"sweep.grid={seed: [1, 2]}", b"dataset.path=x.csv",
    b"split={folds: 3}", b"engine.threads=2",
]  # fmt: skip
ENVIRONMENT = (
    b'{"components": [{"kind": "growth", "name": "nobodys", "distribution": "dbgsom-nobody", '
    b'"version": "1.2"}, {"kind": "metric", "name": "euclidean", "distribution": "dbgsom-core"}]}'
)
TOKENS = [
    b"\x1b[31m", b"<script>alert(1)</script>", b"|", b"`", b"\x00", b"\xff", b"\r", b"\t", b"\n",
    b"&a ", b"*a", b"!!python/name:os.system ", b"<<: ", b"? ", b"- ", b": ", b"{", b"}", b"[",
    b"]", b"'", b'"', b"#", b"%", b"@", b"${env:HOME}", b"${env:", b"null", b"~", b"nan", b".inf",
    b"-1",
    b"0", b"1e999", b"9" * 5000, b"a" * 5000, b"../" * 2000, b"[" * 5000, b"{a: " * 3000,
    b"a." * 3000, "\u202e".encode(), "\u2028".encode(), "\U0001f600".encode(), b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"extends: run.yaml\n", b"sweep: {grid: {seed: [1]}}\n", b"os:system", b"sys:exit", b"x:y",
    b"1" + b"0" * 20, b"1" + b"0" * 30, b"-1" + b"0" * 400, b"1e400", b"-.inf", b".nan",
    b"9223372036854775807", b"5e-324", b"nobody:euclidean", b"tags: {a: 1}\n", b"name: x\n",
    b"/dev/zero", b"pipe", b"this:s", b"sklearn.preprocessing:StandardScalar", b"name: ", b"path: ",
]  # fmt: skip
_PLACE = re.compile(  # the file, as it was named
    r"^[\w./]+\.yaml|^--set |^there is no file |cannot be read|^\W*"
    r"((case|bomb|holes|half|wide|zeros|x)\.|pipe|data set '|split: |prepare|all columns|"
    r"no sample of data set '|the run says that its |"
    r"/dev/|aaa|a\\+x00b|\. is|and \d+ more)"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return the content with up to four changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
        end = min(end, at + rng.choice((1, 4, 40)))
        lines = content.splitlines(keepends=True) or [b""]
        line = rng.choice(lines)
        content = rng.choice(
            (
                lambda c=content, a=at, e=end: c[:a] + c[e:],
                lambda c=content, a=at: c[:a] + rng.choice(TOKENS) + c[a:],
                lambda c=content, a=at, e=end: c[:a] + rng.choice(TOKENS) + c[e:],
                lambda c=content, a=at: c[:a] + bytes([rng.randrange(256)]) + c[a + 1 :],
                lambda c=content, one=line: c + one,
                lambda c=content, a=at, one=line: c[:a] + one + c[a:],
                lambda c=content, one=line: c.replace(one, b"  " + one, 1),
                lambda c=content, a=at: c[:a],
                lambda c=content: re.sub(
                    rb"(: *)[\w.]+", lambda found: found[1] + rng.choice(TOKENS), c, count=1
                ),
            )
        )()
    return content


def configs(count: int, rng: random.Random) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield cases of configurations, in the working directory."""
    bases = [RUN, SWEEP, *(path.read_bytes() for path in CONFIGS)]
    os.mkfifo("pipe")
    Path("run.yaml").write_bytes(RUN)
    rows = "".join(f"{i},{i * i % 7},{'xyz'[i % 3]}\n" for i in range(30))
    Path("x.csv").write_text("a,b,class\n" + rows, encoding="utf-8")
    keys = b"".join(b"k%d: 1\n" % i for i in range(200_000))
    special = {
        "a pipe": lambda: used("pipe"),
        "/dev/zero": lambda: used("/dev/zero"),
        "a long path": lambda: used("a" * 5000),
        "a null byte": lambda: used("a\0b"),
        "a large file": lambda: used(written("large.yaml", b"a: " + b"1" * (1 << 24))),
        "a file of holes": lambda: used(holes("holes.yaml", 10 << 30)),
        "nesting": lambda: used(written("deep.yaml", b"a: " + b"[" * 100_000)),
        "deep keys": lambda: used("run.yaml", ".".join("a" * 100_000) + "=1"),
        "many values": lambda: used(written("many.yaml", b"a: [" + b"1," * 1_000_000 + b"]")),
        "many keys": lambda: used(written("keys.yaml", keys)),
        "aliases": lambda: used(written("bomb.yaml", bomb())),
    }  # fmt: skip
    yield from special.items()
    for number in range(count - len(special)):
        door = rng.random()
        if door < 0.15:
            override = mutated(rng.choice(OVERRIDES), rng).decode("utf-8", "surrogateescape")
            yield f"override {number}", lambda override=override: used("run.yaml", override)
        elif door < 0.2:
            facts = mutated(ENVIRONMENT, rng)
            yield f"run {number}", lambda facts=facts: stored(facts)
        else:
            content = mutated(rng.choice(bases), rng)
            yield f"config {number}", lambda content=content: used(written("case.yaml", content))


def used(path: str, *overrides: str) -> None:
    """Validate what a file describes, and explain it; load its data, divide and prepare them."""
    if is_sweep(path, overrides):
        experiments = [child.experiment for child in load_sweep(path, overrides).children]
    else:
        experiments = [load_experiment(path, overrides)]
    explained(path, *overrides)
    for experiment in experiments[:5]:
        check_experiment(experiment)
    prepare(experiments[0], load_data(experiments[0]))


def explained(path: str, *overrides: str) -> None:
    """Explain a configuration that is right; what is told has to load again as the same."""
    values, root = resolve(path, overrides, get_registry())
    again = written("explained.yaml", commented_yaml(values, places(values, root)).encode())
    assert resolve(again, (), get_registry())[0] == values


def stored(facts: bytes) -> None:
    """Go on with a run whose plugin is not here, and of whose parts its folder tells ``facts``."""
    Path("stored").mkdir(exist_ok=True)
    files = RunFiles(Path("stored"))
    files.config.write_bytes(RUN.replace(b"growth: directed", b"growth: nobodys"))
    files.run.write_bytes(b'{"format": 2, "status": "failed", "environment": %s}' % facts)
    read_run(files.folder)
    load_experiment(files.config)


def bomb() -> bytes:
    """Return YAML whose aliases stand for 9 to the power of 20 values."""
    levels = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]
    return "\n".join(levels).encode()


def data(count: int, rng: random.Random) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield cases of data files, in the working directory."""
    kinds = {"csv": Csv, "npy": Npy, "npz": Npz}
    X = np.round(np.random.default_rng(0).normal(size=(40, 3)), 3)
    table = "a,b,c,class\n" + "".join(f"{a},{b},{c},{'xyz'[int(a) % 3]}\n" for a, b, c in X)
    held = {"csv": table.encode(), "npy": saved(np.save, X), "npz": saved(np.savez, X=X)}
    packed = saved(np.savez_compressed, X=X, y=np.arange(40))
    for kind, cls in kinds.items():
        for path in ("pipe", "/dev/zero", "/dev/null", "a" * 5000, "a\0b", "."):
            yield f"{kind} {path[:9]}", lambda cls=cls, path=path: cls(path=path).load()
        yield (
            f"{kind} of holes",
            lambda cls=cls, kind=kind: cls(path=holes(f"holes.{kind}", 1 << 45)).load(),
        )
    half = {"csv half of holes": "half.csv", "csv of zeros at its end": "zeros.csv"}
    written("half.csv", table.encode() * 2000)
    os.truncate("half.csv", 3 << 30)
    written("zeros.csv", table.encode() + bytes(1 << 24))
    wide = ",".join(f"c{i}" for i in range(300_000)).encode()
    written("wide.csv", wide + b"\n" + b",".join([b"1.25"] * 300_000) + b"\n")
    for name, path in half.items():
        yield name, lambda path=path: Csv(path=path, target="class").load()
    yield "wide csv", lambda: Csv(path="wide.csv").load()
    zeros = gzip.compress(bytes(1 << 20)) * 10_000
    yield "gzip bomb", lambda: Csv(path=written("bomb.csv.gz", zeros)).load()
    for number in range(count - 3 * 7 - 4):
        kind = rng.choice(list(kinds))
        base = packed if kind == "npz" and rng.random() < 0.5 else held[kind]
        content, options = mutated(base, rng), {}
        if kind == "csv":
            options = rng.choice(({}, {"target": "class"}, {"drop": (-1,)}, {"header": False}))
        yield (
            f"{kind} {number}",
            lambda kind=kind, content=content, options=options: kinds[kind](
                path=written(f"case.{kind}", content), **options
            ).load(),
        )
        yield (
            f"init {kind} {number}",
            lambda kind=kind, content=content: suggest(
                profile_data(written(f"case.{kind}", content), get_registry())
            ).text("x", "x.yaml"),
        )


COMMANDS = [
    ("show", "RUN"), ("show",), ("compare",), ("predict", "RUN", "x.csv"), ("export", "RUN"),
    ("explain", "RUN", "x.csv", "--row", "1"), ("explore", "RUN", "-o", "page.html"),
    ("run", "--resume", "RUN"),
]  # fmt: skip


def folders(count: int, rng: random.Random) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield cases of run folders, finished and interrupted, some of whose files are damaged."""
    written("small.yaml", RUN.replace(b"epochs: 20", b"epochs: 3").replace(b"model: {", SMALL))
    assert command("run", "small.yaml", "-q")[0] == 0
    (run,) = Path("runs/fuzz").iterdir()
    shutil.copytree(run, "whole")
    for number in range(count):
        yield f"folder {number}", lambda: damaged(run, rng)


def damaged(run: Path, rng: random.Random) -> None:
    """Damage up to three files of a run folder and try all commands on it."""
    shutil.rmtree(run)
    shutil.copytree("whole", run)
    if rng.random() < 0.4:  # as one that was killed
        stored = json.loads((run / "run.json").read_text(encoding="utf-8"))
        (run / "run.json").write_text(json.dumps(stored | {"status": "killed"}), encoding="utf-8")
    files = sorted(path for path in run.rglob("*") if path.is_file())
    for path in rng.sample(files, rng.choice((1, 1, 2, 3))):
        content = path.read_bytes()
        path.unlink()
        kind = rng.choice(("mutated", "mutated", "cut", "gone", "folder", "circle"))
        if kind in ("mutated", "cut"):
            path.write_bytes(mutated(content, rng) if kind == "mutated" else content[:-9])
        elif kind == "folder":
            path.mkdir()
        elif kind == "circle":
            path.symlink_to(path)
    for words in COMMANDS:
        code, said = command(*(run.name if word == "RUN" else word for word in words))
        assert code in (0, 1, 2, 3), f"{words}: exit code {code}"
        raised = re.search("Traceback|DBGSOM_DEBUG", said)
        assert not raised, f"{words}: {said[-600:]}"
        assert not _CONTROL.search(said), f"{words}: {said[-300:]!r}"


def command(*words: str) -> tuple[int, str]:
    """Run ``dbgsom …`` in this process; return its exit code and what it says."""
    from dbgsom_core.cli import main as cli

    said = io.StringIO()
    sys.argv = ["dbgsom", *words]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            cli()
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else 0, said.getvalue()
    raise AssertionError(f"{words} does not end")


def saved(save: Callable[..., Any], *arrays: Any, **named: Any) -> bytes:
    """Return the bytes of arrays in a file."""
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


def written(name: str, content: bytes) -> str:
    """Write a file and return its name."""
    Path(name).write_bytes(content)
    return name


def holes(name: str, size: int) -> str:
    """Write a file that takes no room on the disk and seems to have ``size`` bytes."""
    with Path(name).open("wb") as file:
        file.truncate(min(size, 1 << 43))
    return name


def verdict(case: Callable[[], Any]) -> tuple[str, str]:
    """Return what became of a case (``used`` or ``refused``: all is well) and what was said."""
    faulthandler.dump_traceback_later(300, exit=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        case()
        found, said = "used", ""
    except DbgsomError as error:
        found, said = "refused", str(error)
        if not all(map(_PLACE.search, said.splitlines())):
            found = "unlocated"
        if _CONTROL.search(said):
            found = "steering the terminal"
    except Exception:
        found, said = "raised", traceback.format_exc()
    finally:
        faulthandler.cancel_dump_traceback_later()
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > MEMORY >> 10:
        found = "took much memory"
    return found, said


def timed(case: Callable[[], Any], allowed: float) -> tuple[str, str]:
    """Return the verdict; a case that takes more seconds than allowed is one of its own."""
    started = time.process_time()
    found, said = verdict(case)
    seconds = time.process_time() - started
    return ("slow", f"{seconds:.1f} s: {said[:300]}") if seconds > allowed else (found, said)


def main() -> int:
    """Try all cases and tell how many ended how."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configs", type=int, default=500)
    parser.add_argument("--data", type=int, default=150)
    parser.add_argument("--folders", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3.0, help="that no case may take")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Csv(path=written("warm.csv", b"a,b\n1,2\n3,4\n")).load()  # pandas is slow to import
        rng = random.Random(given.seed)
        for what, cases in (
            ("configs", configs(given.configs, rng)),
            ("data", data(given.data, rng)),
            ("folders", folders(given.folders, rng)),
        ):
            counts: Counter[str] = Counter()
            for name, case in cases:
                found, said = timed(case, given.seconds)
                counts[found] += 1
                if found not in ("used", "refused"):
                    bad += 1
                    print(f"{found}: {name}: {said[-1500:]}", file=sys.stderr)
            print(f"{what}: {dict(counts)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
