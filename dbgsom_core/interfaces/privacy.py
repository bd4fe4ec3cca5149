"""Redaction of secrets: values from the environment, passwords and tokens of addresses.

The configuration loader registers what each reference ``${env:NAME}`` stood for (`register`). In
between everything handles plain values; `masked` puts the references back at the four exits: the
writer of run folders, the terminal, the log, and what trackers get.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

Secrets = dict[str, str]  # texts that tell a value, and the reference that is shown instead

_SHORTEST = 4  # characters; a shorter text is redacted only in quotes or after "="
_SHORTEST_PART = 8  # characters of a file's name or an address that tell a value
_WORDS = frozenset(["true", "false", "null", "none", "yes", "no", "auto", "default"])
_REFERENCE = r"\$\{env:[^}]*\}"
_VARIABLE = re.compile(r"\$\{env:(?P<name>\w+)(:-(?P<default>[^}]*))?\}")
_HINT = re.compile(rf"({_REFERENCE}[^;\n]*); did you mean '[^'\n]*'\?")
# A password may hold "/" and "@": where a colon comes first, all up to the last "@" is redacted.
_USER = re.compile(r"(?<!/)//(?!/)(?P<user>[^\s\"<>:]{0,200}:[^\s\"<>]{0,500}|[^/\s\"<>]{1,500})@")
_USER_REFERENCE = re.compile(rf"[^:\s@]*:?({_REFERENCE})+")
# The key that is left out is how the pages of a tracker name a saved view.
_TOKEN = re.compile(
    r"(?i)([?&;#](?!viewStateShareKey=)[\w.\-]*(?:token|key|secret|passw(?:or)?d|pwd|passphrase"
    rf"|auth|sig|signature|credentials?)=)(?!{_REFERENCE})[^&#\s\"'<>]+"
)
_active: list[Secrets] = []  # of the commands and runs that go on, in all threads


@contextmanager
def redaction(secrets: Secrets | None = None) -> Iterator[None]:
    """Redact secrets, and those registered meanwhile, while this lasts and in what it raises."""
    added: Secrets = dict(secrets or {})
    _active.append(added)
    try:
        yield
    except BaseException as error:
        redact_error(error)
        raise
    finally:
        _active[:] = [one for one in _active if one is not added]


def register(secrets: Secrets, value: str, reference: str, public: Collection[str] = ()) -> None:
    """Add a value of the environment to secrets, and to all that are redacted now.

    What stands in a ``public`` text, such as another value of the configuration, is no secret.
    """
    for text in set(_forms(value)) if value not in ("", reference) else ():
        if not any(text in other for other in public):
            for known in (secrets, *_active):
                known.setdefault(text, reference)


def masked(value: Any) -> Any:
    """Return plain values with all secrets in their texts redacted; keys stay as they are."""
    if isinstance(value, Mapping):
        return {key: masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item) for item in value]
    if not isinstance(value, str):
        return value
    text = without_secrets(value)
    if "//" in text:
        text = _USER.sub(lambda m: m[0] if _USER_REFERENCE.fullmatch(m["user"]) else "//***@", text)
    return _TOKEN.sub(r"\1***", text) if "=" in text else text


def without_secrets(text: str) -> str:
    """Return a text with values of the environment redacted; addresses in it stay as they are."""
    references = {form: reference for known in _active for form, reference in known.items()}
    if not references:
        return text
    pattern = _pattern(tuple(sorted(references, key=len, reverse=True)))
    shown = pattern.sub(lambda match: references.get(match[0], match[0]), text)
    return text if shown == text else _HINT.sub(r"\1", shown)  # what it is near to says what it is


def masked_name(name: str) -> str:
    """Return a name that may be a folder, ``env-NAME`` in place of a reference."""
    return re.sub(r"\$\{env:(\w+)[^}]*\}", r"env-\1", masked(name))


def shell_word(text: str) -> str:
    """Return a text, masked, as one word for a POSIX shell, which fills the references itself."""
    word, end, shown = "", 0, masked(text)
    for match in _VARIABLE.finditer(shown):
        default = re.sub(r'([\\"$`])', r"\\\1", match["default"] or "")
        name = f"{{{match['name']}:-{default}}}" if default else match["name"]
        before = shown[end : match.start()]
        word += (shlex.quote(before) if before else "") + f'"${name}"'
        end = match.end()
    return word + shlex.quote(shown[end:]) if shown[end:] or not word else word


def redact_error(error: BaseException) -> None:
    """Redact the texts of an error, and of those that led to it, in place."""
    chain = [error]
    for one in chain:
        one.args = tuple(masked(arg) if isinstance(arg, str) else arg for arg in one.args)
        for field in ("filename", "filename2", "strerror") if isinstance(one, OSError) else ():
            value = getattr(one, field)
            if isinstance(value, (str, os.PathLike)):
                setattr(one, field, masked(os.fspath(value)))
        chain += [e for e in (one.__cause__, one.__context__) if e is not None and e not in chain]


def private_logger(name: str) -> logging.Logger:
    """Return a logger whose messages are redacted before any handler sees them."""
    logger = logging.getLogger(name)
    logger.addFilter(_redact_record)  # a second time it is there already
    return logger


def _redact_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = masked(record.getMessage()), None
    return True


def _forms(value: str) -> Iterator[str]:
    """Yield a value, what alone tells it, and each as addresses, JSON and messages write it."""
    import json
    from urllib.parse import quote

    address = value.partition("://")[2]
    password = address.rpartition("@")[0].partition(":")[2]
    parts = (address.lstrip("/"), re.split(r"[/\\]", value)[-1], password)
    for text in (value, *(part for part in parts if len(part) >= _SHORTEST_PART)):
        yield from (text, quote(text), quote(text, safe=""), repr(text)[1:-1])
        yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])


@lru_cache(maxsize=4)
def _pattern(forms: tuple[str, ...]) -> re.Pattern[str]:
    expressions = [_REFERENCE]
    for form in forms:
        one, is_number = re.escape(form), re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", form, re.I)
        if len(form) < _SHORTEST or form.lower() in _WORDS or (is_number and len(form) < 8):
            expressions.append(rf"(?<=['`]){one}(?=['`])|(?<==){one}(?![\w.])")
        else:
            is_long = len(form) >= _SHORTEST_PART
            expressions.append(one if is_long else rf"(?<![^\W_]){one}(?![^\W_])")
    return re.compile("|".join(expressions))
