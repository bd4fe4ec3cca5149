"""What is not told: values from the environment, passwords and tokens of addresses.

A configuration names a value as ``${env:NAME}``. Loading it notes what the variable held
(`Secrets`), and whatever leaves the program on the way (files, terminal, logs, trackers, errors)
passes through `masked`, which writes the reference in its place.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from itertools import takewhile
from typing import Any

_SHORTEST = 4  # hiding a shorter text inside a sentence would only garble the sentence
_SHORTEST_PART = 8  # of a path or an address; "runs" and "http" are nobody's secret
_CUT = 16  # letters by which the beginning of a longer value is known
_WORDS = frozenset(["true", "false", "null", "none", "yes", "no", "auto", "default"])
_REFERENCE = r"\$\{env:[^}]*\}"
_VARIABLE = re.compile(r"\$\{env:(?P<name>\w+)(:-(?P<default>[^}]*))?\}")
_HINT = re.compile(rf"({_REFERENCE}[^;\n]*); did you mean '[^'\n]*'\?")
_HELD_WHOLE = re.compile(rf"[^:\s@]*:?({_REFERENCE})+")

# A password may hold "/" and "@": where a colon comes first, all up to the last "@" is hidden.
_USER = re.compile(r"(?<!/)//(?!/)(?P<user>[^\s\"<>:]{0,200}:[^\s\"<>]{0,500}|[^/\s\"<>]{1,500})@")
# The key that is left out is how the pages of a tracker name a saved view.
_TOKEN = re.compile(
    r"(?i)([?&;#](?!viewStateShareKey=)[\w.\-]*(?:token|key|secret|passw(?:or)?d|pwd|passphrase"
    rf"|auth|sig|signature|credentials?)=)(?!{_REFERENCE})[^&#\s\"'<>]+"
)


class Secrets:
    """What the environment held, each with the reference that is told in its place.

    Texts of fewer than four letters, numbers and words such as ``true`` are hidden only where they
    stand whole in quotes or after ``=``; texts of fewer than eight letters where they are no part
    of a word.
    """

    def __init__(self) -> None:
        self._references: dict[str, str] = {}
        self._cut: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, held: str, reference: str, openly: Collection[str] = ()) -> None:
        """Hide ``held``, also encoded, cut short or taken apart, behind ``reference``.

        What stands in one of the texts that are told ``openly`` is no secret.
        """
        if not held or held == reference:
            return
        for form in set(_forms(held)):
            if not any(form in text for text in openly):
                self._references.setdefault(form, reference)
        if len(held) > _CUT and "/" not in held and held in self._references:
            self._cut.setdefault(held, reference)
        self._pattern = None

    def masked(self, text: str) -> str:
        """Return a text with references in place of what they stand for."""
        if not self._references:
            return text
        if self._pattern is None:
            forms = sorted(self._references, key=len, reverse=True)
            self._pattern = re.compile("|".join([_REFERENCE, *map(_wherever, forms)]))
        shown = self._pattern.sub(self._shown, text)
        for held, reference in self._cut.items():
            shown = _without_beginning(shown, held, reference)
        # What a value is near to says what it is.
        return text if shown == text else _HINT.sub(r"\1", shown)

    def _shown(self, match: re.Match[str]) -> str:
        return self._references.get(match[0], match[0])

    def as_told(self) -> list[dict[str, str]]:
        """Return them as plain values, for the private ear of a process that hides them, too."""
        return [self._references, self._cut]

    @classmethod
    def of_told(cls, told: list[dict[str, str]]) -> Secrets:
        """Return the secrets that ``told`` are."""
        secrets = cls()
        secrets._references, secrets._cut = told
        return secrets


_hidden: ContextVar[tuple[Secrets, ...]] = ContextVar("_hidden", default=())


@contextmanager
def hiding(*secrets: Secrets) -> Iterator[None]:
    """Let `masked` hide ``secrets`` while this lasts, and in any error that leaves it."""
    before = _hidden.get()
    known = _hidden.set((*before, *(one for one in secrets if one not in before)))
    try:
        yield
    except BaseException as error:
        mask_error(error)
        raise
    finally:
        _hidden.reset(known)


def hidden() -> tuple[Secrets, ...]:
    """Return the secrets that are hidden now."""
    return _hidden.get()


def hide(held: str, reference: str, secrets: Secrets, openly: Collection[str] = ()) -> None:
    """Add to ``secrets``, and to those that are hidden now: of a command that loads, say."""
    for one in {secrets, *_hidden.get()}:
        one.add(held, reference, openly)


def masked(value: Any) -> Any:
    """Return plain values without what may not be told in their texts; keys stay as they are."""
    if isinstance(value, Mapping):
        return {key: masked(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(one) for one in value]
    if not isinstance(value, str):
        return value
    return without_passwords(without_secrets(value))


def without_secrets(text: str) -> str:
    """Return a text without what came from the environment; addresses in it stay as they are."""
    for secrets in _hidden.get():
        text = secrets.masked(text)
    return text


def masked_name(name: str) -> str:
    """Return a name that may be a folder, ``env-NAME`` in place of a reference."""
    return re.sub(r"\$\{env:(\w+)[^}]*\}", r"env-\1", masked(name))


def shell_word(text: str) -> str:
    """Return a text, masked, as one word for a POSIX shell, which fills the references itself."""
    word, end, shown = "", 0, masked(text)
    for match in _VARIABLE.finditer(shown):
        default = re.sub(r'([\\"$`])', r"\\\1", match["default"] or "")
        name = f"{{{match['name']}:-{default}}}" if default else match["name"]
        word += _quoted(shown[end : match.start()]) + f'"${name}"'
        end = match.end()
    return word + _quoted(shown[end:]) or "''"


def _quoted(text: str) -> str:
    return shlex.quote(text) if text else ""


def mask_error(error: BaseException | None) -> None:
    """Mask the texts of an error, and of those that led to it, where they stand."""
    seen: set[int] = set()
    left = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.args = tuple(masked(arg) if isinstance(arg, str) else arg for arg in one.args)
        for field in ("filename", "filename2", "strerror") if isinstance(one, OSError) else ():
            held = getattr(one, field)
            if isinstance(held, (str, os.PathLike)):
                setattr(one, field, masked(os.fspath(held)))
        left += [one.__cause__, one.__context__]


def private_logger(name: str) -> logging.Logger:
    """Return a logger whose messages are masked before any handler sees them."""
    logger = logging.getLogger(name)
    if _mask_record not in logger.filters:
        logger.addFilter(_mask_record)
    return logger


def _mask_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = masked(record.getMessage()), None
    return True


def without_passwords(text: str) -> str:
    """Return a text without the users, passwords and tokens of the addresses in it.

    A reference to the environment in their place stays.
    """
    if "//" in text:
        text = _USER.sub(_without_user, text)
    return _TOKEN.sub(r"\1***", text) if "=" in text else text


def _without_user(match: re.Match[str]) -> str:
    return match[0] if _HELD_WHOLE.fullmatch(match["user"]) else "//***@"


def _forms(held: str) -> Iterator[str]:
    """Yield a text, the parts that tell it, and each as files, addresses and messages write it."""
    import html
    import json
    from urllib.parse import quote, quote_plus, unquote

    with suppress(ValueError, OverflowError):
        number = float(held)
        yield from (
            repr(number),
            f"{number:g}",
            str(int(number)) if number == int(number) else held,
        )
    for part in (held, *_parts(held)):
        for plain in dict.fromkeys((part, unquote(part))):
            yield plain
            yield from (quote(plain), quote(plain, safe=""), quote_plus(plain))
            yield from (repr(plain)[1:-1], html.escape(plain), plain.replace("|", "\\|"))
            yield from (json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1])
            yield plain.replace("\n", "\\n")


def _parts(held: str) -> Iterator[str]:
    found = [line.strip() for line in held.splitlines()[:100]]
    _, is_address, rest = held.partition("://")
    if is_address:
        user, _, place = rest.rpartition("@")
        password = user.partition(":")[2]
        if len(password) >= _SHORTEST:
            yield password
        host, slash, path = place.partition("/")
        path, _, query = path.partition("?")
        found += [user, host, host.partition(":")[0], slash + path, path, query]
        found += [one.partition("=")[2] for one in query.split("&")]
    elif "/" in held or "\\" in held:
        found += [os.path.normpath(held), re.split(r"[/\\]", held.rstrip("/\\"))[-1]]
    yield from (part for part in found if len(part) >= _SHORTEST_PART and part != held)


def _wherever(form: str) -> str:
    escaped = re.escape(form)
    if len(form) < _SHORTEST or form.lower() in _WORDS or _is_number(form):
        return rf"(?<=['`]){escaped}(?=['`])|(?<==){escaped}(?![\w.])"
    return escaped if len(form) >= _SHORTEST_PART else rf"(?<![^\W_]){escaped}(?![^\W_])"


def _is_number(form: str) -> bool:
    try:
        float(form)
    except ValueError:
        return False
    return len(form) < _SHORTEST_PART


def _without_beginning(text: str, held: str, reference: str) -> str:
    at = text.find(held[:_CUT])
    while at >= 0:
        same = takewhile(lambda pair: pair[0] == pair[1], zip(text[at:], held, strict=False))
        text = text[:at] + reference + text[at + sum(1 for _ in same) :]
        at = text.find(held[:_CUT], at + len(reference))
    return text
