"""What every reader of files asks first: does the file exist, and does it hold anything."""

from __future__ import annotations

from pathlib import Path

from dbgsom_core.api import DataError, did_you_mean


def existing_file(path: str) -> Path:
    """Return the path of a file that exists and is not empty.

    ``~`` is the home folder; a relative path starts at the working directory.

    Raises
    ------
    DataError
        There is no such file, it is a folder, it may not be read, or it is empty.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        raise DataError(f"{path} is a folder: give the path of a file in it")
    try:
        with file.open("rb") as stream:
            empty = not stream.read(1)
    except FileNotFoundError:
        raise DataError(_missing(path, file)) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise DataError(f"{path!r} is no usable path: {error}") from None
    if empty:
        raise DataError(f"{path} is empty: give a file with data")
    return file


def _missing(path: str, file: Path) -> str:
    if not file.parent.is_dir():
        return (
            f"there is no file {path} and no folder {file.parent}: "
            "relative paths start at the working directory"
        )
    siblings = [sibling.name for sibling in file.parent.iterdir()]
    hint = did_you_mean(file.name, siblings)
    return f"there is no file {path}{hint or ': relative paths start at the working directory'}"
