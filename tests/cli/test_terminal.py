"""Whatever is printed appears as text without secrets, in characters that a pipe has."""

import io
import sys
import traceback

import click
import pytest
from rich.console import Console
from rich.progress import Progress

from dbgsom_core.cli import cli
from dbgsom_core.cli.console import redacted_terminal, unescaped
from dbgsom_core.interfaces.privacy import register

STEERING = "red \x1b[31m, a title \x1b]0;x\x07, backwards \u202etxt.exe, over\rwritten"
AS_TEXT = r"red \x1b[31m, a title \x1b]0;x\x07, backwards \u202etxt.exe, over\rwritten"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(params=[Terminal, io.StringIO], ids=["terminal", "pipe"])
def screen(request, monkeypatch):
    """What a border is drawn around: call it within the test, as pytest has streams of its own."""

    def screen():
        streams = request.param(), request.param()
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        return streams

    return screen


@pytest.fixture
def a_command_that(monkeypatch, dbgsom):
    def call(does):
        monkeypatch.setitem(cli.commands, "odd", click.Command("odd", callback=does))
        return dbgsom("odd")

    return call


def test_a_command_prints_control_characters_as_text(a_command_that):
    def odd():
        click.echo(STEERING)
        print(STEERING, file=sys.stderr)
        print("two\nlines\tand tabs, äöü 日本 🙂")

    answer = a_command_that(odd)
    assert answer.out == f"{AS_TEXT}\ntwo\nlines\tand tabs, äöü 日本 🙂\n"
    assert answer.err == f"{AS_TEXT}\n"


@pytest.mark.parametrize("debug", ["", "1"])
@pytest.mark.parametrize("kind", [RuntimeError, click.ClickException])
def test_errors_and_tracebacks_are_text(kind, debug, a_command_that, monkeypatch):
    monkeypatch.setenv("DBGSOM_DEBUG", debug)

    def odd():
        raise kind(STEERING)

    answer = a_command_that(odd)
    assert AS_TEXT in answer.err
    assert "\x1b" not in answer.err


def test_bytes_are_text_too(screen):
    out, _ = screen()
    out.buffer = None
    with redacted_terminal():
        sys.stdout.buffer.write(f"{STEERING}\n".encode())
        sys.stdout.buffer.flush()
    assert out.getvalue() == f"{AS_TEXT}\n"


def test_bars_may_go_back_to_the_start_of_their_line(screen):
    _, err = screen()
    with redacted_terminal():
        sys.stderr.write("\r 10 %")
        sys.stderr.write("\r 20 %\r")
        sys.stderr.write("\r")
    assert err.getvalue() == "\r 10 %\r 20 %\r\r"


def test_rich_keeps_its_colours_and_hides_what_the_environment_held(screen, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    streams = screen()
    terminal = isinstance(streams[0], Terminal)
    with redacted_terminal():
        register({}, "hunter22", "${env:TOKEN}")
        Console(highlight=False).print("[bold]hunter22[/bold]")
        with Progress(console=Console(file=unescaped(sys.stderr))) as bar:
            bar.add_task("busy")
            bar.update(bar.task_ids[0], completed=100)
    out, err = (stream.getvalue() for stream in streams)
    assert "\\x1b" not in out + err
    assert ("\x1b[1m" in out, "\x1b[" in err) == (terminal, terminal)
    assert "busy" in err
    assert "${env:TOKEN}" in out
    assert "hunter22" not in out


def test_the_streams_are_themselves_again_after_a_command(screen):
    _, err = screen()
    with redacted_terminal():
        pass
    traceback.print_exception(RuntimeError("\x1b[1m"))
    assert "\x1b[1m" in err.getvalue()


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", "0.9 \\xb1 0.1 in K\\xf6ln: 391 \\xd7 11, QE \\u2193, \\u6f22"),
        ("cp1252", "0.9 ± 0.1 in Köln: 391 × 11, QE \\u2193, \\u6f22"),
        ("utf-8", "0.9 ± 0.1 in Köln: 391 × 11, QE ↓, 漢"),
    ],
)
@pytest.mark.parametrize("printer", ["print", "click", "rich"])
def test_a_pipe_of_few_characters_gets_text_in_those(monkeypatch, encoding, shown, printer):
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    text = "0.9 ± 0.1 in Köln: 391 × 11, QE ↓, 漢"
    with redacted_terminal():
        if printer == "rich":
            Console(highlight=False).print(text)
        else:
            (click.echo if printer == "click" else print)(text)
    streams[0].flush()
    assert streams[0].buffer.getvalue().decode(encoding) == shown + "\n"
