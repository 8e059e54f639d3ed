"""A newcomer clicks once, and the next page shows it: the whole system, seen through a browser."""

from collections import Counter

import pytest

from app.main import create_app
from tests import browsing
from tests.browsing import find, press, titles, wait
from tests.flows.conftest import services_of

pytestmark = browsing.needs_browser
ENOUGH = 20
"""Videos of a topic: the tiny world has topics of four, which cannot fill a page however much a viewer likes them."""


@pytest.fixture
def page(patient_store, own_space, tmp_path):
    with (
        services_of(own_space) as services,
        browsing.served(create_app(services)) as url,
        browsing.chromium(tmp_path / "chromium") as driver,
    ):
        yield driver, url, services.releases.live.catalogue


def categories(driver):
    titles(driver)
    cards = "[...document.querySelectorAll('#grid .card')].slice(0, 10)"
    return driver.execute_script(f"return {cards}.map((card) => card.dataset.category)")


def rarest(found, catalogue):
    """The topic with the fewest cards, of those with enough videos to fill the next page."""
    count = Counter(catalogue.vocabularies[0].values[code] for code in catalogue.category)
    return min(sorted(topic for topic in set(found) if count[topic] >= ENOUGH), key=found.count)


def test_a_click_moves_the_next_page_and_a_skip_does_not(page):
    driver, url, catalogue = page
    moved = {}
    for viewer, control in (("newcomer", ".card-link"), ("skipper", '.tool[title="Not interested"]')):
        driver.get(f"{url}/?viewer_id={viewer}")
        before = categories(driver)
        topic = rarest(before, catalogue)
        press(driver, f"#grid .card:nth-child({before.index(topic) + 1}) {control}")
        said = find(driver, ".change strong").text
        if viewer == "newcomer":
            assert "/watch/" in driver.current_url
            assert f"towards {topic} after your click" in said
            find(driver, ".brand").click()
            wait(driver, lambda p: "/watch/" not in p.current_url)
        after = categories(driver)
        moved[viewer] = after.count(topic) - before.count(topic)
    assert moved["newcomer"] >= 3, moved
    assert moved["skipper"] < 3, moved


def test_a_newcomer_who_says_what_they_like_gets_it_before_any_click(page):
    driver, url, catalogue = page
    driver.get(f"{url}/?viewer_id=undecided")
    before = categories(driver)
    offered = [chip.get_attribute("data-topic") for chip in driver.find_elements("css selector", "[data-topic]")]
    topic = rarest([each for each in before if each in offered], catalogue)
    press(driver, f'[data-topic="{topic}"]')
    wait(driver, lambda p: find(p, f'[data-topic="{topic}"]').get_attribute("aria-pressed") == "true")
    after = categories(driver)
    assert after.count(topic) - before.count(topic) >= 3, (topic, before, after)
    assert not driver.find_elements("css selector", ".notice")  # the page is personal now
    driver.get(f"{url}/?viewer_id=undecided")
    assert categories(driver).count(topic) - before.count(topic) >= 3  # and remembers
    press(driver, "#grid .card:nth-child(1) .card-link")
    find(driver, ".brand").click()
    wait(driver, lambda p: "/watch/" not in p.current_url)
    categories(driver)
    assert not driver.find_element("css selector", "#topics").is_displayed()
