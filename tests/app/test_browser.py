"""The pages in a real browser, over the invented site: one server and one browser for the whole file."""

import shutil
import socket
import threading

import pytest
import uvicorn

from app import fakes
from app.main import create_app
from app.server import configure
from core.clock import SystemClock

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver on the PATH")


@pytest.fixture(scope="module")
def site():
    return fakes.services(SystemClock())


@pytest.fixture(scope="module")
def url(site):
    server = uvicorn.Server(configure(create_app(site), "127.0.0.1", 0))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    profile = tmp_path_factory.mktemp("chromium")
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--window-size=1400,900",
    ):
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, url):
    """A browser that remembers nothing, and that must not have complained when the test is over."""
    browser.get(f"{url}/healthz")
    browser.execute_script("localStorage.clear(); sessionStorage.clear()")
    yield browser
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


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


def test_home_shows_a_page_of_drawn_videos(page, url):
    page.get(url)
    assert len(titles(page)) == 24
    assert len(page.find_elements("css selector", "#grid .thumb svg.art")) == 24
    assert find(page, "#feed-title").text == "For viewer 1"
    assert len(page.find_elements("css selector", ".rail-link[data-category]")) == 12


def test_another_viewer_sees_another_page(page, url):
    page.get(url)
    before = titles(page)
    find(page, "#viewer").click()
    find(page, "#viewers-q").send_keys("17")
    wait(page, lambda p: len(p.find_elements("css selector", ".viewer-choice")) == 1)
    find(page, '[data-viewer="17"]').click()
    wait(page, lambda p: p.find_element("id", "feed-title").text == "For viewer 17")
    assert titles(page) != before
    page.refresh()
    wait(page, lambda p: p.find_element("id", "feed-title").text == "For viewer 17")


def test_search_finds_titles_and_says_when_it_does_not(page, url):
    from selenium.webdriver.common.keys import Keys

    page.get(url)
    find(page, "#q").send_keys("star forgets", Keys.ENTER)
    wait(page, lambda p: "q=star" in p.current_url)
    assert all("star forgets" in title for title in titles(page))
    page.get(f"{url}/?q=zzzz")
    assert find(page, "#grid .empty h2").text == "No title has these words."


def test_a_category_of_the_rail_fills_the_grid(page, url):
    page.get(url)
    press(page, '.rail-link[data-category="Space"]')
    wait(page, lambda p: p.find_element("id", "feed-title").text == "Space")
    titles(page)
    shown = page.find_elements("css selector", "#grid .card")
    assert {card.get_attribute("data-category") for card in shown} == {"Space"}


def test_the_why_panel_opens_and_closes_with_the_keyboard(page, url):
    from selenium.webdriver.common.keys import Keys

    page.get(url)
    titles(page)
    press(page, '.tool[title="Why this video"]')
    find(page, "dialog.why")
    for part in (
        "How it got here",
        "Chance of a click",
        "Release",
        "0123456789abcdef",
        "control",
        "Time for the whole page",
        "6.20 ms",
    ):
        says(page, "dialog.why", part)
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    wait(page, lambda p: not p.find_elements("css selector", "dialog.why"))


def test_a_click_opens_the_watch_page_and_changes_the_next_one(page, url, site):
    page.get(f"{url}/?viewer_id=23")
    wanted = page.execute_script("return arguments[0]", titles(page)[3])
    press(page, "#grid .card:nth-child(4) .card-link")
    wait(page, lambda p: "/watch/" in p.current_url)
    assert find(page, ".watch-title").text == wanted
    says(page, ".change strong", "after your click")
    wait(page, lambda p: len(p.find_elements("css selector", "#next .card:not(.skeleton)")) == 12)
    press(page, "#like")
    says(page, ".change strong", "after your like")
    find(page, ".brand").click()
    wait(page, lambda p: p.current_url.rstrip("/") == url)
    assert find(page, ".change strong")
    kinds = wait(page, lambda p: (k := [r["kind"] for r in site.event_log.rows if r["viewer_id"] == 23]) and "watch" in k and k)
    assert kinds == ["click", "like", "watch"]
    assert {row["position"] for row in site.event_log.rows if row["viewer_id"] == 23} == {3}


def test_a_reload_does_not_count_twice(page, url, site):
    page.get(f"{url}/?viewer_id=29")
    titles(page)
    press(page, "#grid .card .card-link")
    find(page, ".change strong")
    page.refresh()
    find(page, ".change strong")
    clicks = [row for row in site.event_log.rows if row["viewer_id"] == 29 and row["kind"] == "click"]
    assert len(clicks) == 1


def test_not_interested_asks_for_a_new_page(page, url, site):
    page.get(f"{url}/?viewer_id=31")
    titles(page)
    press(page, '.tool[title="Not interested"]')
    says(page, ".change strong", "after your dismissal")
    assert [row["kind"] for row in site.event_log.rows if row["viewer_id"] == 31] == ["dismiss"]


def test_skip_goes_to_the_next_video(page, url, site):
    page.get(f"{url}/watch/5?viewer_id=37")
    wait(page, lambda p: p.find_elements("css selector", "#next .card:not(.skeleton)"))
    press(page, "#skip")
    wait(page, lambda p: "/watch/5?" not in p.current_url)
    assert "request_id=" in page.current_url
    wait(page, lambda p: [r["kind"] for r in site.event_log.rows if r["viewer_id"] == 37].count("click") == 2)
    assert "dismiss" in {row["kind"] for row in site.event_log.rows if row["viewer_id"] == 37}


def test_a_degraded_page_says_so(page, url, site):
    reason = "viewer histories are unavailable right now: this page knows only the viewer's profile"
    site.releases.live.recommender.degraded = (reason,)
    try:
        page.get(url)
        assert find(page, ".notice").text.endswith(reason[1:])
        assert len(titles(page)) == 24
    finally:
        site.releases.live.recommender.degraded = ()


def test_operations_draws_the_waterfall(page, url):
    page.get(f"{url}/?viewer_id=3")
    titles(page)
    page.get(f"{url}/ops")
    assert len(wait(page, lambda p: p.find_elements("css selector", "#waterfall .fall-bar"))) == 6
    assert "6.2 ms" in find(page, "#tiles").text


def test_the_theme_switch_is_kept(page, url):
    page.get(url)
    dark = "return matchMedia('(prefers-color-scheme: dark)').matches"
    wanted = "light" if page.execute_script(dark) else "dark"
    press(page, "#theme")
    page.get(f"{url}/ops")
    assert page.execute_script("return document.documentElement.dataset.theme") == wanted


def test_every_control_has_a_name(page, url):
    nameless = (
        "return [...document.querySelectorAll('a, button, input')].filter((e) => !(e.textContent.trim() || "
        "e.getAttribute('aria-label') || e.labels?.length)).map((e) => e.outerHTML)"
    )
    for path in ("/", "/watch/5", "/ops"):
        page.get(f"{url}{path}")
        wait(page, lambda p: not p.find_elements("css selector", "[aria-busy=true]"))
        assert page.execute_script(nameless) == []


def test_nothing_overflows_a_narrow_screen(page, url):
    page.set_window_size(500, 860)
    try:
        for path in ("/", "/watch/5", "/ops", "/docs"):
            page.get(f"{url}{path}")
            wait(page, lambda p: not p.find_elements("css selector", "[aria-busy=true]"))
            assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    finally:
        page.set_window_size(1400, 900)
