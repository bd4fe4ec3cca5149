"""The explorer's page in headless Chromium: size, first paint, and what pointing and keys cost.

``python tests/benchmarks/pages.py`` prints a table; ``--limits`` ends with 1 where a limit is
exceeded. Milliseconds of an event are CPU time of the page's main thread, drawing included, from
Chromium's trace: they hardly depend on what else the machine does. Never part of the test run.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from timing import table

from dbgsom_core import GrowthFilm, SomClassifier

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "figures"))
from conftest import Browser

EVENTS, LOADS = 60, 5
MAP = ".panel .stage canvas"
FRAMES = (
    "new Promise(done => requestAnimationFrame("
    "() => requestAnimationFrame(() => setTimeout(done))))"
)
DRAWN = (
    "addEventListener('DOMContentLoaded', () => requestAnimationFrame(() => "
    "requestAnimationFrame(() => { window.drawn = performance.now(); })))"
)
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
LIMITS = {400: 500_000, 2000: 5_000_000}  # bytes
HEADER = ["page", "bytes", "first paint", "map drawn", "CPU of loading", "of pointing", "of a key"]


def explored(rows, columns, n, path):
    """Write the page of a fixed map of n digits, with thumbnails and film."""
    X, y = load_digits(return_X_y=True)
    copies = -(-n // len(X))
    noise = np.random.default_rng(0).normal(0, 1.5 if copies > 1 else 0, (n, X.shape[1]))
    X, y = np.clip(np.tile(X, (copies, 1))[:n] + noise, 0, 16), np.tile(y, copies)[:n]
    growth = {"name": "fixed", "rows": rows, "columns": columns}
    model = SomClassifier(growth=growth, epochs=20, tol=0, callbacks=[GrowthFilm()]).fit(X, y)
    model.explore(X, y, image_shape=(8, 8), path=path)


def main_thread(browser, act):
    """Return the CPU milliseconds of the main thread for each of some acts."""
    found, done, heard = [], [], browser._heard

    def hear(message):
        heard(message)
        if message.get("method") == "Tracing.dataCollected":
            found.extend(message["params"]["value"])
        done.extend([message] * (message.get("method") == "Tracing.tracingComplete"))

    browser._heard = hear
    categories = {"includedCategories": ["disabled-by-default-devtools.timeline"]}
    browser.call("Tracing.start", transferMode="ReportEvents", traceConfig=categories)
    for number in range(EVENTS):
        act(number)
        browser.js(FRAMES)
    browser.call("Tracing.end")
    while not done:
        browser._until(lambda message: message.get("method") == "Tracing.tracingComplete")
    browser._heard = heard
    names = [one for one in found if one.get("name") == "thread_name"]
    mains = {(o["pid"], o["tid"]) for o in names if o["args"]["name"] == "CrRendererMain"}
    tasks = [o for o in found if o.get("name") == "RunTask" and (o["pid"], o["tid"]) in mains]
    assert tasks, "this Chromium names its tasks otherwise"
    return sum(one.get("tdur", 0) for one in tasks) / 1000 / EVENTS


def loaded(chromium, path):
    """Return (first paint, map drawn, CPU of the main thread), milliseconds of a new browser."""
    with Browser(chromium) as browser:
        browser.call("Performance.enable", timeDomain="threadTicks")
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=DRAWN)
        browser.open(path)
        browser.until(f"window.drawn && {PAINTED}")
        spent = {m["name"]: m["value"] for m in browser.call("Performance.getMetrics")["metrics"]}
        return browser.js(PAINTED), browser.js("window.drawn"), 1000 * spent["TaskDuration"]


def used(chromium, path):
    """Return what pointing at neurons, coloured by their images, and what an arrow key costs."""
    rng, keys = np.random.default_rng(0), ("ArrowRight", "ArrowDown", "ArrowRight", "ArrowUp")
    with Browser(chromium) as browser:
        browser.open(path)
        browser.js(
            "(() => { const one = document.querySelector('.panel select'); one.value = 'images';"
            "one.dispatchEvent(new Event('change')); })()"
        )
        pointing = main_thread(browser, lambda _: browser.hover(MAP, *rng.uniform(0.25, 0.75, 2)))
        browser.js(f"document.querySelector('{MAP}').focus()")
        return pointing, main_thread(browser, lambda number: browser.keys(keys[number % 4]))


def main():
    """Print the table."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("needs Chromium")
    rows, over = [], False
    with tempfile.TemporaryDirectory() as folder:
        for across, down, n in ((20, 20, 1797), (50, 40, 100_000)):
            path = Path(folder) / f"{across * down}.html"
            explored(down, across, n, path)
            loads = np.min([loaded(chromium, path) for _ in range(LOADS)], axis=0)
            events, size = used(chromium, path), path.stat().st_size
            rows.append([f"{across * down} neurons, {n} samples", size])
            rows[-1] += [f"{one:.0f} ms" for one in loads] + [f"{one:.1f} ms" for one in events]
            over |= size > LIMITS[across * down] or loads[1] > 1000 or max(events) > 16
    title = f"The explorer's page, least of {LOADS} loads, mean of {EVENTS} events"
    print(table(title, HEADER, rows))
    sys.exit(over and "--limits" in sys.argv)


if __name__ == "__main__":
    main()
