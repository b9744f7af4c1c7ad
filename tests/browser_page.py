"""A page in a headless Chromium, as the tests of the report ask it."""

import time
from collections.abc import Callable
from pathlib import Path

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1000",
)
PATIENCE = 60.0


class Page:
    """A page in the browser, asked with CSS selectors and small scripts."""

    def __init__(self, driver) -> None:
        self.driver = driver

    def open(self, path: Path, fragment: str = "") -> None:
        self.driver.get("about:blank")
        self.driver.get(path.resolve().as_uri() + fragment)
        self.wait(lambda: self.run("return document.body.dataset.ready === 'true'"))

    def wait(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"waited in vain; console: {self.driver.get_log('browser')}"
            time.sleep(0.05)

    def run(self, script: str, *values: object) -> object:
        return self.driver.execute_script(script, *values)

    def texts(self, selector: str) -> list[str]:
        return self.run("return [...document.querySelectorAll(arguments[0])].map((node) => node.textContent)", selector)

    def click(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).click()", selector)

    def type(self, selector: str, text: str, event: str = "input") -> None:
        self.run("document.querySelector(arguments[0]).value = arguments[1]", selector, text)
        self.run("document.querySelector(arguments[0]).dispatchEvent(new Event(arguments[1]))", selector, event)

    def column(self, place: int) -> list[str]:
        return self.texts(f".grid-body .grid-row > :nth-child({place})")

    def open_row(self, index: int) -> None:
        self.click(f'.grid-body [data-index="{index}"]')
        self.wait(lambda: bool(self.texts("dialog #step-label")))

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
