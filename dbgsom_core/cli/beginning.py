"""A Ctrl-C while the command line is still being imported: the system ends it, without a word."""

import signal
import threading


def imported() -> None:
    """Let Ctrl-C be Python's again."""
    if _held and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_held = (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
)
if _held:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
