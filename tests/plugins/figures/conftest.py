"""What tests of figures share, and a headless Chromium over its pipe for tests of pages."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_CODES = {
    "ArrowUp": 38,
    "ArrowDown": 40,
    "ArrowLeft": 37,
    "ArrowRight": 39,
    "Enter": 13,
    "Backspace": 8,
    " ": 32,
}
_SECONDS = 60
_ATTACHED = {"waitForDebuggerOnStart": False, "flatten": True}


@pytest.fixture
def drawn():
    """Renders a figure and returns it."""

    def drawn(figure):
        FigureCanvasAgg(figure).draw()
        return figure

    return drawn


@pytest.fixture
def told():
    """Returns the texts of a figure: of the page, its panels and its legends."""

    def told(figure):
        found = [*figure.texts]
        for part in (*figure.axes, *figure.legends):
            found += part.texts
        return [text.get_text() for text in found]

    return told


@pytest.fixture(scope="module")
def chromium():
    """A browser; without one the tests that need it are skipped."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("needs Chromium")
    with Browser(path) as one:
        yield one


class Browser:
    """One page; `errors` are what its console and its scripts complained of."""

    def __init__(self, path):
        self._folder = tempfile.mkdtemp()
        there, self._out = os.pipe()
        self._in, back = os.pipe()
        flags = (
            "--headless=new --no-sandbox --disable-gpu --hide-scrollbars --remote-debugging-pipe"
        )
        shell = f'exec "$0" "$@" 3<&{there} 4>&{back}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, path, *flags.split(), f"--user-data-dir={self._folder}"],
            pass_fds=(there, back),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(there)
        os.close(back)
        self._rest, self._number, self._session, self._frames = b"", 0, None, []
        self.errors, self.requests = [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._out)
        os.close(self._in)
        shutil.rmtree(self._folder, ignore_errors=True)

    def call(self, method, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        return self._until(lambda one: one.get("id") == self._number)["result"]

    def _until(self, wanted):
        while True:
            while b"\0" not in self._rest:
                more = os.read(self._in, 1 << 20)
                assert more, "the browser is gone"
                self._rest += more
            line, _, self._rest = self._rest.partition(b"\0")
            message = json.loads(line)
            self._heard(message)
            if wanted(message):
                assert "error" not in message, message
                return message

    def _heard(self, message):
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(params["exceptionDetails"])
            case "Log.entryAdded":
                self.errors.append(params["entry"]["text"])
            case "Runtime.consoleAPICalled":
                self.errors.append(params["args"])
            case "Target.attachedToTarget":
                self._frames.append(params["sessionId"])
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])

    def open(self, path, width=1200, height=900, *, dark=False, mobile=False):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )
        self.call("Page.navigate", url=Path(path).as_uri())
        self._until(lambda one: one.get("method") == "Page.loadEventFired")
        self.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    @contextmanager
    def framed(self):
        """Look into the one frame of the page, which is a page of its own."""
        whole, self._frames = self._session, []
        self.call("Target.setAutoAttach", **_ATTACHED, autoAttach=True)
        while not self._frames:
            self.js("0")
        self._session = self._frames[0]
        try:
            self.call("Log.enable")
            yield
        finally:
            self._session = whole
            self.call("Target.setAutoAttach", **_ATTACHED, autoAttach=False)

    def js(self, expression):
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression):
        end = time.monotonic() + _SECONDS
        while not self.js(expression):
            assert time.monotonic() < end, expression

    def text(self, selector):
        return self.js(f"document.querySelector({json.dumps(selector)}).textContent")

    def place(self, selector, across=0.5, down=0.5):
        left, top, width, height = self.js(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            "one.scrollIntoView({block: 'nearest'}); const r = one.getBoundingClientRect();"
            "return [r.left, r.top, r.width, r.height]; })()"
        )
        return left + across * width, top + down * height

    def mouse(self, kind, x, y, *, down=False, count=0):
        self.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            button="left" if kind != "mouseMoved" or down else "none",
            buttons=int(down),
            clickCount=count,
        )

    def hover(self, selector, across=0.5, down=0.5):
        self.mouse("mouseMoved", *self.place(selector, across, down))

    def click(self, selector, across=0.5, down=0.5):
        self.drag([self.place(selector, across, down)])

    def drag(self, places):
        self.mouse("mouseMoved", *places[0])
        self.mouse("mousePressed", *places[0], down=True, count=1)
        for place in places[1:]:
            self.mouse("mouseMoved", *place, down=True)
        self.mouse("mouseReleased", *places[-1], count=1)

    def keys(self, *names):
        for name in names:
            code = _CODES.get(name, 0)
            text = {"text": "\r"} if name == "Enter" else {}
            both = {"key": name, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", type="keyDown", **both, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", **both)

    def write(self, text):
        self.call("Input.insertText", text=text)
