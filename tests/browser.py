"""A real browser that opens a page from the disk and remembers everything that it complains of or asks for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SERIOUS = ("serious", "critical")


def executable() -> str | None:
    """The browser of this machine: the one that CHROMIUM names, else one on the path."""
    return os.environ.get("CHROMIUM") or next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium without a window; the test is skipped, and says so, where there is none."""
    path = executable()
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium, or name one with CHROMIUM=")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        except Error as error:
            pytest.skip(f"{path} does not start: {error}")
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page that was opened.

    Arguments:
        page: the page.
        file: the file that it is.
        complaints: errors and warnings of its console, and exceptions.
        asked: what it asked for that is not itself.
    """

    page: Page
    file: Path
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def wait_for_figures(self, least: int = 1) -> None:
        """Scroll through the page, until every figure is drawn."""
        self.page.evaluate("for (const place of document.querySelectorAll('.plot')) place.style.minHeight = '1px'")
        count = self.page.locator(".plot").count()
        assert count >= least
        for i in range(count):
            self.page.locator(".plot").nth(i).scroll_into_view_if_needed()
            self.page.locator(".plot").nth(i).locator(".main-svg").first.wait_for(state="attached")
        self.page.evaluate("scrollTo(0, 0)")

    def until(self, expression: str) -> None:
        """Wait until an expression holds; playwright's own way evaluates texts, which the page forbids."""
        for _ in range(1000):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(20)
        raise AssertionError(f"never: {expression}")

    def until_loaded_anew(self, expression: str) -> None:
        """Load the page again until an expression holds.

        HTML's standard leaves open when a browser hands what one page keeps to the next, which may have another process
        and be quicker.
        """
        for _ in range(50):
            self.page.reload()
            if self.page.evaluate(expression):
                return
        raise AssertionError(f"never: {expression}")

    def too_wide(self) -> int:
        """How many pixels the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def faults(self) -> list[str]:
        """What axe finds that is serious or critical."""
        from axe_playwright_python.sync_playwright import Axe

        found: list[dict[str, Any]] = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {node['html'][:200]} {[c['message'] for c in (*node['any'], *node['all'], *node['none'])]}"
            for one in found
            if one["impact"] in _SERIOUS
            for node in one["nodes"]
        ]


@contextmanager
def opened(browser: Browser, file: Path, width: int = 1440, scheme: Any = "light", **more: Any) -> Iterator[Opened]:
    """The page in a window of its own."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
    page = context.new_page()
    page.set_default_timeout(20_000)
    found = Opened(page, file)
    own = file.resolve().as_uri()
    page.on("console", lambda m: found.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on(
        "request", lambda r: None if r.url == own or r.url.startswith(("data:", "blob:")) else found.asked.append(r.url)
    )
    page.goto(own)
    yield found
    context.close()
