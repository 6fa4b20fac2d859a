"""The browser of all tests of pages."""

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


@pytest.fixture(scope="session")
def find_chromium() -> Callable[[], str]:
    """Where Debian's Chromium is. That it is missing is a failure: a page nobody opened is not known to work."""

    def found() -> str:
        program = shutil.which("chromium")
        if program is None:
            pytest.fail("chromium is not installed; the page cannot be opened. Install it: apt-get install chromium")
        return program

    return found


@pytest.fixture(scope="module")
def browser(find_chromium: Callable[[], str]) -> Iterator[Browser]:
    """Chromium without a window."""
    program = find_chromium()
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield found
        found.close()
