"""A real browser and a real server for tests, and the few moves they make."""

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from app.server import configure

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver on the PATH")

_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--window-size=1400,900")


@contextmanager
def served(app) -> Iterator[str]:
    """The app behind a socket; gives its URL."""
    server = uvicorn.Server(configure(app, "127.0.0.1", 0))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


@contextmanager
def chromium(profile: Path):
    """A headless browser with an empty profile, whose console is recorded."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def wait(page, condition):
    """What the condition returns once it holds; an element that was replaced meanwhile is looked for again."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(page, 20, 0.05, ignored_exceptions=(StaleElementReferenceException,)).until(condition)


def says(page, css, text):
    """Wait until the element says so."""
    return wait(page, lambda p: text in p.find_element("css selector", css).text)


def find(page, css):
    """The first shown element, waiting for it."""
    return wait(page, lambda p: next((e for e in p.find_elements("css selector", css) if e.is_displayed()), None))


def titles(page):
    wait(page, lambda p: p.find_elements("css selector", "#grid .card:not(.skeleton)"))
    return page.execute_script("return [...document.querySelectorAll('#grid .card-title')].map((e) => e.textContent)")


def press(page, css):
    page.execute_script("arguments[0].click()", wait(page, lambda p: p.find_elements("css selector", css))[0])
