"""What plugins say of themselves is shown as text by every command that repeats it."""

import pytest

PLUGIN = r"""
import numpy as np
from pydantic import Field
from dbgsom_core.api import KernelComponent, hookimpl
DBGSOM_API_VERSION = 1
class Loud(KernelComponent):
    "Loud \x1b[31m and \x1b]0;owned\x07 weights."
    power: float = Field(default=1.0, description="of \x1b[2J clearing")
    def weight(self, hops, width):
        raise RuntimeError("no \x1b[1mweights\x1b[0m, \u202egnp.exe")
@hookimpl
def dbgsom_kernels():
    return {"loud": Loud}
"""


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("show", "loud"), 0, [r"Loud \x1b[31m and \x1b]0;owned\x07 weights.", r"of \x1b[2J cl"]),
        (("list",), 0, [r"broken: sad of dbgsom-sad 1.0: RuntimeError: no \x1b[5mluck"]),
        (("doctor",), 3, [r"broken: sad of dbgsom-sad 1.0: RuntimeError: no \x1b[5mluck"]),
        (("check", "dbgsom-loud"), 3, [r"no \x1b[1mweights\x1b[0m, \u202egnp.exe"]),
    ],
    ids=["show", "list", "doctor", "check"],
)
def test_escapes_of_a_plugin_are_shown_as_text(site, words, code, told):
    site.write("dbgsom-loud", PLUGIN)
    site.write("dbgsom-sad", r"raise RuntimeError('no \x1b[5mluck')")
    done = site.dbgsom("plugins", *words, code=code)
    shown = done.stdout + done.stderr
    assert all(one in shown for one in told), shown
    assert not any(letter in shown for letter in "\x1b\x07\u202e")
