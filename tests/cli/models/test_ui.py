"""The page of a tracker: ui."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest


def test_runs_in_no_tracker_have_no_page(shop, called):
    code, _, err = called(shop, "ui", "fruit.yaml", "--print")
    assert code == 1
    assert "dbgsom show" in err


def test_ui_without_a_store_makes_none(dbgsom, tmp_path):
    answer = dbgsom("ui", "--print")
    assert answer.code == 1
    assert "there is no MLflow store" in answer.err
    assert not list(tmp_path.iterdir())


SERVER = """
import http.server, os, sys
class Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *given): pass
child = os.fork()
if child == 0:
    import time
    while True: time.sleep(60)
with open(sys.argv[2], "w") as note:
    note.write(str(child))
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Quiet).serve_forever()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_page_with_all_of_its_processes(how, tmp_path, monkeypatch, capsys):
    from dbgsom_core.interfaces.trackers import Page
    from dbgsom_core.runs.callbacks import Interrupted

    ui = import_module("dbgsom_core.cli.trackers")
    port, note = ui._free_port(), tmp_path / "child"
    page = Page(
        f"http://127.0.0.1:{port}/#/x", [sys.executable, "-c", SERVER, str(port), str(note)]
    )
    seen, below = [], []
    popen = subprocess.Popen

    def started(*given, **named):
        seen.append(popen(*given, **named))
        return seen[0]

    told = ui.click.echo

    def hear(text, **named):  # once it serves, somebody asks to end
        told(text, **named)
        if str(text).startswith("open"):
            child = int(note.read_text())
            below.append(child)
            os.kill(child, 0)  # it is there
            os.kill(os.getpid(), how)

    monkeypatch.setattr(ui.subprocess, "Popen", started)
    monkeypatch.setattr(ui.click, "echo", hear)
    try:
        with pytest.raises(Interrupted):
            ui._serve(page, in_browser=False)
        assert seen[0].poll() is not None
        until = time.monotonic() + 60
        while _lives(below[0]) and time.monotonic() < until:
            time.sleep(0.01)
        assert not _lives(below[0])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(seen[0].pid, signal.SIGKILL)
    assert f"open http://127.0.0.1:{port}/#/x" in capsys.readouterr().out


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_page_that_ends_by_itself_is_told():
    from dbgsom_core.errors import DbgsomError
    from dbgsom_core.interfaces.trackers import Page

    ui = import_module("dbgsom_core.cli.trackers")
    words = [sys.executable, "-c", "import sys; print('no port for me'); sys.exit(3)"]
    with pytest.raises(DbgsomError, match="exit code 3: no port for me"):
        ui._serve(Page("http://127.0.0.1:9/#/", words), in_browser=False)
