"""A room in which MLflow neither chats, nor phones home, nor waits for minutes."""

from __future__ import annotations

import logging
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from dbgsom_core.api import DbgsomError, masked

SECONDS_A_CALL = 60  # whole ones: MLflow takes no others
_SECONDS_TO_LOOK = 0.5
SECONDS_TO_LOOK_WELL = 2.5  # for what else would be waited for much longer
# A dead server would otherwise block one call for four minutes.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_SILENT = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
_is_calm: ContextVar[bool] = ContextVar("is_calm", default=False)
_CHATTERERS = {
    "mlflow": logging.ERROR,
    "alembic": logging.WARNING,
    "urllib3.connectionpool": logging.ERROR,
}
# What MLflow's own calls of its own dependencies are to be changed to.
_OTHERS_HOMEWORK = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
# Some versions of MLflow warn of the type hints of their own classes, in colour.
_TYPE_HINTS = r"(?s).*(Any|Union) type hint\b.* is inferred as AnyType"
_OWN = r"mlflow\b"  # modules

_ANSWERED = re.compile(r"(?:too many|error code) (\d{3})\b")
_ASIDE = "(raised as a result of"  # SQLAlchemy says when before it says what
# What stands before MLflow may say so in words of its own, as JSON, of which MLflow tells no code.
_DENIED = re.compile(r"(?i)unauthenticated|permission_denied|unauthori[sz]ed|forbidden")
_BUSY = {
    "429": "too many requests",
    "500": "its log says more",
    "502": "what is behind its gateway does not answer",
    "503": "it is starting or overloaded",
    "504": "what is behind its gateway does not answer",
}


@contextmanager
def quiet(seconds: int = SECONDS_A_CALL) -> Iterator[None]:
    """Import and call MLflow in here: settings the user has not made, and log levels, are ours.

    A server has so many seconds for each call. Everything is put back afterwards; loggers of others
    are not touched.
    """
    settings = {**_SETTINGS, "MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds)}
    if _is_calm.get():
        with _set(_SILENT):
            yield
        return
    with _set(settings), warnings.catch_warnings():
        for category in _OTHERS_HOMEWORK:
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", _TYPE_HINTS, UserWarning, _OWN)
        import mlflow  # noqa: F401  (its import sets the level of its own logger)

        with _levels():
            yield


def calm(work: Callable[[], None]) -> None:
    """Do something with MLflow in a thread beside a user's program, which `quiet` would change.

    ``catch_warnings`` of two threads may leave the filters of one to the other for good. What
    warns in MLflow's own code, or chats in this thread, is left out from now on.
    """
    here = threading.get_ident()
    for name in _CHATTERERS:
        logger = logging.getLogger(name)
        for place in (logger, *logger.handlers):
            if not any(isinstance(one, _Calm) and one.thread == here for one in place.filters):
                place.addFilter(_Calm(here))
    filters: list[tuple[type[Warning], str, str]] = [
        *((category, "", _OWN) for category in _OTHERS_HOMEWORK),
        (UserWarning, _TYPE_HINTS, _OWN),
    ]
    known = {
        (one[2], getattr(one[1], "pattern", ""), getattr(one[3], "pattern", ""))
        for one in warnings.filters
        if one[0] == "ignore"
    }
    for category, message, module in filters:
        if (category, message, module) not in known:
            warnings.filterwarnings("ignore", message, category, module)
    before = _is_calm.set(True)
    try:
        work()
    finally:
        _is_calm.reset(before)


class _Calm(logging.Filter):
    """Lets pass what is an error, or of other threads."""

    def __init__(self, thread: int) -> None:
        super().__init__()
        self.thread = thread

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or record.thread != self.thread


@contextmanager
def _set(settings: Mapping[str, str]) -> Iterator[None]:
    ours = [name for name in settings if name not in os.environ]
    os.environ.update({name: settings[name] for name in ours})
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


@contextmanager
def _levels() -> Iterator[None]:
    loggers = {name: logging.getLogger(name) for name in _CHATTERERS}
    before = {name: logger.level for name, logger in loggers.items()}
    for name, logger in loggers.items():
        logger.setLevel(max(_CHATTERERS[name], logger.level))
    try:
        yield
    finally:
        for name, logger in loggers.items():
            logger.setLevel(before[name])


def is_away(error: BaseException) -> bool:
    """Say whether a server did not answer; what it answers is no such error."""
    signs = ("max retries exceeded", "timed out", "connection aborted", "connection refused")
    return any(sign in str(error).lower() for sign in signs)


def reason(uri: str, error: BaseException) -> str:
    """Return what is wrong with a store, and the cure where there is one, as a sentence."""
    if isinstance(error, DbgsomError):
        return str(error)
    where, told = masked(uri), str(error)
    code = next((found[1] for found in map(_ANSWERED.search, [told]) if found), "")
    if code in ("401", "403") or (not code and _DENIED.search(told)):
        told = f"{code}: not allowed" if code else "not allowed"
        return (
            f"the MLflow server at {where} refused ({told}): set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    if code in _BUSY:
        return f"the MLflow server at {where} answered with an error ({code}: {_BUSY[code]})"
    if is_away(error):
        return away(uri)
    lines = [line for line in told.strip().splitlines() if not line.startswith(_ASIDE)]
    text = masked((lines or [""])[0])
    return f"MLflow at {where} refused ({type(error).__name__}: {text[:300]})"


def away(uri: str) -> str:
    """Return that a server does not answer, as a sentence."""
    return f"the MLflow server at {masked(uri)} does not answer"


def answers(uri: str, seconds: float = _SECONDS_TO_LOOK) -> bool:
    """Look whether a server answers anything at all; a store that is no server does."""
    if not uri.startswith(("http://", "https://")):
        return True
    import requests

    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=seconds, stream=True).close()
    except requests.RequestException:
        return False
    return True
