"""The labelling page in a real browser, by keyboard alone."""

import pytest

from app import fakes
from app.main import create_app
from core.clock import SystemClock
from tests import browsing
from tests.browsing import find, says, wait

pytestmark = browsing.needs_browser


@pytest.fixture
def site():
    return fakes.services(SystemClock(), admin_token="open sesame")


def test_a_sitting_with_keys_only(site, tmp_path):
    from selenium.webdriver.common.keys import Keys

    with browsing.served(create_app(site)) as url, browsing.chromium(tmp_path) as page:
        page.get(f"{url}/label")
        find(page, "#name").send_keys("ada")
        find(page, "#token").send_keys("wrong" + Keys.ENTER)
        first = wait(page, lambda p: p.find_element("css selector", "#title").text)
        assert page.find_element("css selector", "#revealed").text == ""

        def key(name):
            page.find_element("css selector", "body").send_keys(name)

        def follows(title):
            return wait(page, lambda p: (text := p.find_element("css selector", "#title").text) != title and text)

        key("y")
        says(page, "#notices", "token")
        assert site.answers.of("clickbait") == []
        token = find(page, "#token")
        token.clear()
        token.send_keys("open sesame" + Keys.ENTER)
        wait(page, lambda p: p.find_element("css selector", "#label").get_attribute("aria-busy") == "false")
        key("y")
        says(page, "#revealed", f"“{first}”: you said yes.")
        follows(first)
        key("u")
        says(page, "#revealed", "taken back")
        says(page, "#title", first)
        key("n")
        second = follows(first)  # need not be the one from before: the model has learned meanwhile
        key("s")
        says(page, "#revealed", f"“{second}”: skipped.")
        says(page, "#tiles", "1 skipped")
        logged = [entry["message"] for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
        assert all("401" in message for message in logged)
    assert [one.said for one in site.answers.of("clickbait")] == [-1, 0]
