"""The terminal as a border: whoever prints, nothing that came from the environment is shown."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dbgsom_core.interfaces.privacy import Secrets, hiding, without_passwords


@contextmanager
def hidden_from_terminal() -> Iterator[None]:
    """Mask what is printed, by any thread, while one command lasts."""
    secrets, before = Secrets(), (sys.stdout, sys.stderr)
    ours: tuple[Any, Any] = (_Masked(sys.stdout, secrets), _Masked(sys.stderr, secrets))
    sys.stdout, sys.stderr = ours
    try:
        with hiding(secrets):
            yield
    finally:
        if sys.stdout is ours[0]:  # else nobody reads any more
            sys.stdout = before[0]
        if sys.stderr is ours[1]:
            sys.stderr = before[1]


class _Masked:
    """A text stream that masks what is written to it, and else is the stream itself."""

    def __init__(self, stream: Any, secrets: Secrets) -> None:
        self._stream, self._secrets = stream, secrets

    def write(self, text: str) -> int:
        """Write a text; its own length is returned, as writers expect."""
        self._stream.write(self._shown(text))
        return len(text)

    def _shown(self, text: str) -> str:
        return without_passwords(self._secrets.masked(text))

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._stream, name)
        return _MaskedBytes(found, self._secrets) if name == "buffer" else found


class _MaskedBytes(_Masked):
    """What is below a text stream; click writes there where the text would have to be ASCII."""

    def write(self, content: Any) -> int:
        """Write bytes of UTF-8."""
        text = bytes(content).decode("utf-8", "surrogateescape")
        self._stream.write(self._shown(text).encode("utf-8", "surrogateescape"))
        return len(content)
