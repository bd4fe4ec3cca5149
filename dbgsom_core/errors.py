"""Errors that a person can act on, the exit code each of them means, and texts of messages."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from types import FrameType
from typing import Any

# Packages whose frames are skipped to find the line of the user that a warning is about.
_BETWEEN = {"dbgsom_core", "dbgsom_plugins", "sklearn", "joblib", "contextlib", "threading"}
_LISTED = 5  # names in a sentence
_LEAST_PART = 4  # letters of a part of a word that say which one is meant
_STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, formats, surrogates, separators


class DbgsomError(Exception):
    """Base of every error that is told in one sentence instead of a traceback.

    Attributes
    ----------
    exit_code : int
        What ``dbgsom`` answers to the shell: 1 a run failed, 2 wrong configuration or data,
        3 a plugin is missing, broken or ambiguous.
    """

    exit_code = 1

    def __str__(self) -> str:
        return as_text(super().__str__())


class ConfigError(DbgsomError, ValueError):
    """The configuration is wrong. ``str(error)`` holds one problem a line."""

    exit_code = 2


class DataError(DbgsomError, ValueError):
    """The data cannot be used. The sentence names the place and the cure."""

    exit_code = 2


class UnknownNameError(DbgsomError, ValueError):
    """No plugin offers a component of this name."""

    exit_code = 2


class PluginError(DbgsomError):
    """A plugin is broken, ambiguous, or too old for this version."""

    exit_code = 3


class ComponentError(PluginError, ValueError):
    """A component raised an exception, or returned an invalid value; the message names it."""


class UnfitError(Exception):
    """A component's return value or attribute is invalid; reported as a `ComponentError`."""


class ParameterError(ValueError):
    """A parameter of an estimator is wrong, or does not suit the others.

    Attributes
    ----------
    parameter : str
        Its name.
    """

    def __init__(self, message: str, parameter: str = "") -> None:
        super().__init__(message)
        self.parameter = parameter


class ModelFileError(DbgsomError, ValueError):
    """A saved model cannot be read."""

    exit_code = 2


class CheckpointError(DbgsomError, ValueError):
    """A checkpoint is of another fit, or cannot be read."""

    exit_code = 2


class Remark(UserWarning):
    """A remark that needs no action: always in reports, on terminals with ``-v``."""

    level = 20  # that of logging.INFO


class ScaleWarning(UserWarning):
    """Columns of very different scale, of which the widest alone decide distances."""


def as_text(message: object) -> str:
    """Return a text with control characters written out, as they could steer a terminal.

    Names come from files and may hold anything. Lines stay lines.
    """
    text = str(message)
    if text.isprintable():
        return text
    characters = []
    for character in text:
        if character not in "\n\t" and unicodedata.category(character) in _STEERING:
            character = character.encode("unicode_escape").decode()
        characters.append(character)
    return "".join(characters)


def name_list(names: Iterable[str]) -> str:
    """Return names as a list in a sentence, of which the first five are shown."""
    listed = [*names]
    if len(listed) > _LISTED:
        listed[_LISTED:] = ["…"]
    return ", ".join(listed)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest known word, or an empty string.

    Where none is near, it is the only known word that contains this one, ``neurons`` in
    ``max_neurons``.
    """
    known = list(dict.fromkeys(known))
    matches = get_close_matches(word, known, n=1, cutoff=0.6)
    if not matches and len(word) >= _LEAST_PART:
        longer = [name for name in known if word in name]
        if len(longer) == 1:
            matches = longer
    if not matches:
        return ""
    return f"; did you mean '{_escaped_if_alike(matches[0], word)}'?"


def _escaped_if_alike(name: str, word: str) -> str:
    """Return a name with the letters written out by which it differs from a word unseen."""

    def visible(text: str) -> list[str]:
        characters = unicodedata.normalize("NFKC", text)
        return [character for character in characters if unicodedata.category(character) != "Cf"]

    if name != word and visible(name) == visible(word):
        return name.encode("unicode_escape").decode()
    return name


def callers_level() -> int:
    """Return the ``stacklevel`` at which a warning is about a line of who called this package.

    That is so however many functions, of scikit-learn's pipelines and searches or of what logs
    fits (see `stand_between`), stand between; a number would have to know them all. A plugin that
    asks has its own package left out, too. It is 1 where nobody else is.
    """
    between = _BETWEEN
    caller = _package(sys._getframe(1))
    if caller != "__main__":
        between = between | {caller}
    level, frame = 1, sys._getframe(1)
    while _package(frame) in between:
        if frame.f_back is None:
            return 1
        level, frame = level + 1, frame.f_back
    return level


def stand_between(package: str) -> None:
    """Let `callers_level` leave out the lines of a package, too."""
    _BETWEEN.add(package)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def described(value: Any) -> str:
    """Return what kind of value it is, and its shape."""
    shape = getattr(value, "shape", None)
    name = type(value).__name__
    return name if shape is None else f"{name} of {value.dtype}, shape {shape}"


# ---------------------------- messages at a readable length, without passwords
