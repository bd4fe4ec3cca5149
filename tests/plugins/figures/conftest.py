"""What tests of figures share, and a headless Chromium for tests of pages."""

import json
import re
import shutil
import subprocess
from urllib.parse import unquote

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

# Before the page's own scripts: what goes wrong, and how a test acts on elements.
_HELPERS = """<script>
const errors = [], find = (selector) => document.querySelector(selector);
addEventListener("error", (event) => errors.push(event.message));
Element.prototype.setPointerCapture = () => {};
requestAnimationFrame = (done) => setTimeout(done, 16);
const text = (selector) => find(selector).textContent;
const click = (selector) => find(selector).click();
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const press = (element, key) =>
  element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const enter = (element, value) => {
  element.value = value;
  element.dispatchEvent(new Event("change"));
};
const pointer = (kind, element, across, down) => {
  const box = element.getBoundingClientRect();
  const place = { clientX: box.left + across * box.width, clientY: box.top + down * box.height };
  element.dispatchEvent(new PointerEvent(kind, { pointerId: 1, bubbles: true, ...place }));
};
</script>"""
_REPORT = """<script>
addEventListener("message", (event) => { document.body.dataset.report = event.data; });
</script>"""
_ACTIONS = """<script>addEventListener("load", async () => {
const act = async () => { await wait(100); %s };
const found = await act().catch((error) => errors.push(String(error)));
parent.postMessage(encodeURIComponent(JSON.stringify([errors, found])), "*");
});</script>"""


@pytest.fixture
def drawn():
    """Renders a figure and returns it."""

    def drawn(figure):
        FigureCanvasAgg(figure).draw()
        return figure

    return drawn


@pytest.fixture
def texts_of():
    """Returns the texts of a figure: of the page, its panels and its legends."""

    def texts_of(figure):
        parts = (figure, *figure.axes, *figure.legends)
        return [text.get_text() for part in parts for text in part.texts]

    return texts_of


@pytest.fixture
def browse(tmp_path):
    """Open a page in Chromium, act in it by JavaScript, and return what that returns."""
    path = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if path is None:
        pytest.skip("needs Chromium")

    def browse(page, actions, frame=None):
        page = page.replace("<head>", f"<head>{_HELPERS}", 1) + _ACTIONS % actions
        (tmp_path / "page.html").write_text((frame(page) if frame else page) + _REPORT)
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        flags += ["--window-size=1280,900", "--virtual-time-budget=20000", "--dump-dom"]
        flags += ["--disable-features=IsolateSandboxedIframes"]
        command = [path, *flags, f"--user-data-dir={tmp_path / 'profile'}"]
        done = subprocess.run(
            [*command, (tmp_path / "page.html").as_uri()], capture_output=True, text=True
        )
        errors, found = json.loads(unquote(re.search('data-report="(.*?)"', done.stdout)[1]))
        assert errors == []
        return found

    return browse
