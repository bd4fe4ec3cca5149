"""The terminal as a border, whoever prints.

Nothing that came from the environment is shown, and what could steer the terminal is shown as text.
"""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dbgsom_core.errors import DataError, as_text
from dbgsom_core.interfaces.privacy import Secrets, hiding, without_passwords

# Signs of ours for terminals and pipes that know few letters; others are shown by their number.
_IN_ASCII = str.maketrans(
    {"±": "+-", "×": "x", "…": "...", "·": ".", "−": "-", "–": "-", "→": "->", "↑": "^", "↓": "v"}
    | {"²": "^2", "√": "sqrt", "≤": "<=", "≥": ">=", "∞": "inf", "█": "#", "✓": "+", "✗": "x"}
)
_BACK_TO_ITS_START = re.compile(r"(\r*)(.*?)(\r*)", re.DOTALL)


@contextmanager
def hidden_from_terminal() -> Iterator[None]:
    """Mask what is printed, by any thread, and show it as text, while one command lasts."""
    _replace_closed()
    secrets, before = Secrets(), (sys.stdout, sys.stderr)
    ours: tuple[Any, Any] = (_AsText(sys.stdout, secrets), _AsText(sys.stderr, secrets))
    sys.stdout, sys.stderr = ours
    try:
        with hiding(secrets):
            yield
    finally:
        sys.stdout, sys.stderr = before


class NobodyReadsError(OSError):
    """Whoever read what is printed has seen enough, as ``head`` has after some lines.

    It is no BrokenPipeError: click and rich each end the process for one, with a code of theirs.
    """


class _Closed(io.TextIOBase):
    """Standard output that was closed before the command began."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "standard output is closed")

    def writable(self) -> bool:
        return True


def _replace_closed() -> None:
    """Put something in the place of standard streams that the shell closed (``>&-``).

    Files that are opened later must not get their descriptors: what others print would be written
    there.
    """
    for descriptor, flag in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            nowhere = os.open(os.devnull, flag)
            if nowhere != descriptor:
                os.dup2(nowhere, descriptor, inheritable=True)
                os.close(nowhere)
            else:
                os.set_inheritable(nowhere, True)
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is None:
        null = Path(os.devnull)
        sys.stderr = null.open("w", encoding="utf-8")  # while the process lasts


def silence() -> None:
    """Let what is still buffered for nobody go nowhere, when the process ends."""
    for stream in filter(None, (sys.__stdout__, sys.__stderr__)):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)


@contextmanager
def _read(stream: Any) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise NobodyReadsError("nobody reads what is printed") from error
    except OSError as error:
        if stream is not sys.__stdout__:  # where else could it be told
            raise
        told = error.strerror or error
        raise DataError(f"standard output cannot be written: {told}") from error


def styled(stream: Any) -> Any:
    """Return where rich writes colours and bars; what it is given has to be text already."""
    return getattr(stream, "rich_proxied_file", stream)


class _Masked:
    """A text stream that masks what is written to it, and else is the stream itself."""

    def __init__(self, stream: Any, secrets: Secrets) -> None:
        self._stream, self._secrets = stream, secrets

    def write(self, text: str) -> int:
        """Write a text; its own length is returned, as writers expect."""
        with _read(self._stream):
            self._stream.write(self._shown(text))
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        with _read(self._stream):
            self._stream.flush()

    def _shown(self, text: str) -> str:
        return _in_letters_of(self._stream, without_passwords(self._secrets.masked(text)))

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._stream, name)
        return _MaskedBytes(found, self._secrets) if name == "buffer" else found


class _AsText(_Masked):
    """A masked text stream that no escape passes, but a bar's return to the start of its line."""

    @property
    def rich_proxied_file(self) -> _Masked:
        """Where a console of rich writes that was given no file of its own."""
        return _Masked(self._stream, self._secrets)

    def _shown(self, text: str) -> str:
        match = _BACK_TO_ITS_START.fullmatch(super()._shown(text))
        assert match is not None
        return match[1] + as_text(match[2]) + match[3]


def _in_letters_of(stream: Any, text: str) -> str:
    """Return a text that the stream's encoding can write: that of a pipe may be ASCII or cp1252."""
    encoding = getattr(stream, "encoding", None)
    if text.isascii() or not encoding:
        return text
    try:
        text.encode(encoding, getattr(stream, "errors", None) or "strict")
    except UnicodeError:
        plain = text.translate(_IN_ASCII).encode(encoding, "backslashreplace")
        return plain.decode(encoding)
    return text


class _MaskedBytes(_AsText):
    """What is below a text stream; click writes there where the text would have to be ASCII."""

    def write(self, content: Any) -> int:
        """Write bytes of UTF-8."""
        text = bytes(content).decode("utf-8", "surrogateescape")
        with _read(self._stream):
            self._stream.write(self._shown(text).encode("utf-8", "surrogateescape"))
        return len(content)
