"""Headless Chromium, Debian's, with nothing kept between tests but the process."""

import base64
import json
import os
from pathlib import Path

import pytest

AXE = Path(__file__).parents[1] / ".ci/node_modules/axe-core/axe.min.js"
WIDE, PHONE = (1280, 900), (390, 844)


def lacking(what):
    """Skip with the reason; in CI, where everything must be installed, fail."""
    message = f"no {what} here; .ci/run installs it"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


class Browser:
    """A Chromium that shows one page at a time and logs its requests and what its console says."""

    def __init__(self, driver, folder):
        self.driver, self.folder = driver, folder

    def open(self, html, size=WIDE, dark=False):
        path = self.folder / "page.html"
        path.write_text(html, encoding="utf-8")
        self.media(dark=dark)
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE},
        )
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.driver.get(path.as_uri())
        # Once more: a new page may come with a new process.
        self.media(dark=dark)
        return self

    def media(self, dark=False, kind=""):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": kind, "features": [scheme]})

    def run(self, script, *arguments):
        """The value that `script`, the body of an async function, returns."""
        script = f"const done = arguments[arguments.length - 1]; (async () => {{ {script} }})().then(done)"
        return self.driver.execute_async_script(script, *arguments)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def texts(self, selector):
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector
        )

    def set(self, selector, value):
        """Give a field its value, as typing or choosing does."""
        self.run(
            """const field = document.querySelector(arguments[0]);
            field.value = arguments[1];
            field.dispatchEvent(new Event("input", {bubbles: true}));
            field.dispatchEvent(new Event("change", {bubbles: true}));""",
            selector,
            value,
        )

    def settled(self, plots="[data-drawn]"):
        """Wait until every plot is drawn; by default those of the page that are visible."""
        self.run(
            """for (let turn = 0; turn < 200; turn++) {
              const plots = [...document.querySelectorAll(arguments[0])];
              if (plots.every((plot) => plot.querySelector("svg"))) return;
              await new Promise((next) => setTimeout(next, 50));
            }
            throw new Error("a plot is not drawn");""",
            plots,
        )
        return self

    def complaints(self):
        """Warnings and errors of the console since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self):
        """Addresses that the page has requested since it was opened, without its own."""
        sent = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [
            event["params"]["request"]["url"]
            for event in sent
            if event["method"] == "Network.requestWillBeSent"
        ]
        assert urls[0] == (self.folder / "page.html").as_uri()
        return [url for url in urls[1:] if not url.startswith("data:")]

    def axe(self):
        """Serious and critical violations that axe-core finds, as `rule: element`."""
        self.driver.execute_script(AXE.read_text(encoding="utf-8"))
        found = self.run("return await axe.run(document)")
        assert len(found["passes"]) > 20, "it looked"
        return [
            f"{violation['id']}: {node['html'][:200]}"
            for violation in found["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]

    def pdf(self):
        printed = self.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
        return base64.b64decode(printed["data"])
