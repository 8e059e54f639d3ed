"""The pages in a real browser, over the invented site: one server and one browser for the whole file."""

from dataclasses import replace

import pytest

from app import fakes
from app.main import create_app
from core import events as ev
from core.clock import SystemClock
from tests import browsing
from tests.app.test_reports import REPORTS
from tests.app.test_tables import SAID
from tests.browsing import find, press, says, titles, wait

pytestmark = browsing.needs_browser


INTERVAL = {"mean": 0.04, "low": -0.02, "high": 0.1, "p": 0.2}
SHADOW = {
    "slice": "all", "requests": 300, "overlap": 0.7, "rbo": 0.75, "same": 0.1, "score_ks": None, "score_p": None,
    "live_ms_p50": 8.0, "live_ms_p99": 20.0, "shadow_ms_p50": 9.0, "shadow_ms_p99": 31.0, "live_failed": 0.0,
    "shadow_failed": 0.01,
}  # fmt: skip
ROWS = {"surfaces": ["home"], "planned_days": 14, "shares": {"control": 0.5, "new": 0.5}, "waits": None}
EFFECT = {"control": 2.0, "treatment": 2.1, "always": INTERVAL}
BOARD = {
    "problem": "an experiment names a release that is not here",
    "holdout": 0.01,
    "record": {"share": 0.05, "done": 812, "dropped": 3, "queued": 1, "bytes": 3021.4},
    "exploration": [
        {
            "arm": "split:new", "pages": 400, "slots": 4_000, "share": 0.05, "most_a_day": 6, "new_explored": 0.2,
            "new_others": 0.02, "clicks_explored": 0.1, "clicks_others": 0.3, "least_propensity": 0.0005,
            "price": {"mean": 0.15, "low": 0.12, "high": 0.18, "p": 0.0},
        },
        {
            "arm": "holdout", "pages": 4, "slots": 40, "share": 1.0, "most_a_day": 10, "new_explored": 0.1, "new_others": None,
            "clicks_explored": 0.1, "clicks_others": None, "least_propensity": 0.002,
            "price": {"mean": None, "low": None, "high": None, "p": None},
        },
    ],
    "experiments": [
        {
            **ROWS, "name": "split", "interleaving": "", "mismatch": True,
            "report": {
                "headline": "Keep running 'new'.", "finished": False, "mixed": 2, "days": {"length": 3},
                "sample_ratio": {"counts": [900, 700], "p": 1e-6},
                "arms": [
                    {
                        "arm": "new",
                        "effects": [
                            {**EFFECT, "metric": "watch_s", "role": "primary", "safety": None},
                            {**EFFECT, "metric": "ctr", "role": "guardrail", "safety": "harmed"},
                            {
                                **EFFECT, "metric": "likes", "role": "secondary", "safety": None, "control": 0.0,
                                "always": {"mean": 0.0, "low": None, "high": None, "p": 1.0},
                            },
                        ],
                    }
                ],
            },
        },
        {
            **ROWS, "name": "duel", "interleaving": "team_draft",
            "preference": {
                "viewers": 500, "always": INTERVAL, "outcome": {"wins": 60, "losses": 40, "ties": 20, "sign_p": 0.057},
            },
        },
        {**ROWS, "name": "early", "interleaving": "", "waits": "nobody has come"},
    ],
    "shadow": [{"release": "b2", "slices": [SHADOW]}],
}  # fmt: skip


@pytest.fixture(scope="module")
def site():
    return replace(fakes.services(SystemClock()), scoreboard=lambda: BOARD, tables=lambda: SAID, reports=lambda: REPORTS)


@pytest.fixture(scope="module")
def url(site):
    with browsing.served(create_app(site)) as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browsing.chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


def deeds(site, viewer):
    """What a viewer did, as opposed to what pages were like."""
    return [row for row in site.event_log.rows if row["viewer_id"] == viewer and row["kind"] not in ev.OF_PAGES]


@pytest.fixture
def page(browser, url):
    """A browser that remembers nothing, and that must not have complained when the test is over."""
    browser.get(f"{url}/healthz")
    browser.execute_script("localStorage.clear(); sessionStorage.clear()")
    yield browser
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


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
    kinds = wait(page, lambda p: (k := [r["kind"] for r in deeds(site, 23)]) and "watch" in k and k)
    assert kinds == ["click", "like", "watch"]
    assert {row["position"] for row in deeds(site, 23)} == {3}


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
    assert [row["kind"] for row in deeds(site, 31)] == ["dismiss"]


def test_pages_tell_how_long_they_took_and_later_that_one_never_came(page, url, site):
    def told(kind):
        return [row for row in site.event_log.rows if row["viewer_id"] == 41 and row["kind"] == kind]

    page.get(f"{url}/?viewer_id=41")
    titles(page)
    wait(page, lambda p: told("loaded"))
    assert 0 < told("loaded")[0]["value"] < 60
    assert told("loaded")[0]["request_id"]
    page.execute_script("window.kept = window.fetch; window.fetch = () => Promise.reject(new TypeError('offline'))")
    press(page, "#refresh")
    says(page, ".notice", "does not answer")
    assert told("failed") == []
    page.execute_script("window.fetch = window.kept")
    press(page, "#refresh")
    wait(page, lambda p: told("failed"))
    wait(page, lambda p: len(told("loaded")) == 2)
    page.get(url)
    titles(page)
    assert [row["video_id"] for row in told("failed")] == [None]


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
    assert "retrieval\n1.90\n1.90\n1.90\n1.50\n31 %" in find(page, "#waterfall").text
    assert [over.text for over in page.find_elements("css selector", "#waterfall .over")] == ["1.90"]
    assert "6.2 ms" in find(page, "#tiles").text


def test_experiments_show_what_runs_and_how_sure_it_is(page, url):
    page.get(f"{url}/ops/experiments")
    wait(page, lambda p: not p.find_elements("css selector", "[aria-busy=true]"))
    assert len(page.find_elements("css selector", "#trials .panel")) == 5
    assert find(page, ".notice").text.endswith("names a release that is not here")
    says(page, "#tiles", "3,021")
    for part in (
        "do not match the shares",
        "got worse",
        "+2.0 %",
        "too few viewers yet",
        "No preference can be told",
        "Waiting: nobody",
        "+15 % [+12 %, +18 %]",
        "nothing to compare with",
    ):
        says(page, "#trials", part)
    assert len(page.find_elements("css selector", "svg.interval .guess")) == 3
    assert find(page, '.rail-link[aria-current="page"]').text == "Experiments"


def test_the_page_of_releases_says_what_serves_and_why_it_may_not_be_changed(page, url):
    page.get(f"{url}/ops/tables")
    wait(page, lambda p: not p.find_elements("css selector", "[aria-busy=true]"))
    assert [row.text.split()[0] for row in page.find_elements("css selector", "#releases tbody tr")] == ["a1", "b2"]
    for where, text in (
        ("#releases", "kept warm"),
        ("#moves", "ann"),
        ("#sizes", "video vectors ↑"),
        ("#tiles", "exact"),
        ("#cache", "88 % of 4,000"),
    ):
        says(page, where, text)
    find(page, "#rollback").click()
    says(page, "#admin-note", "UPNEXT_ADMIN_TOKEN")
    assert [entry["level"] for entry in page.get_log("browser")] == ["SEVERE"]  # the browser's own word on a 403


def test_the_page_of_reports_draws_each_and_says_which_command_makes_what_is_missing(page, url, site):
    page.get(f"{url}/ops/reports")
    for where, text in (
        ("#lineage", "source world"), ("#gates", "passed"), ("#validation", "all checks passed"),
        ("#drift", "Nothing remarkable"), ("#drift", "drifted"), ("#drift", "moved, today only"), ("#drift", "as ever"),
    ):  # fmt: skip
        says(page, where, text)
    with browsing.served(create_app(replace(site, reports=lambda: {}))) as empty:
        page.get(f"{empty}/ops/reports")
        says(page, "#gates", "Nothing yet: run upnext release gates <release>.")


def test_the_page_of_features_says_how_old_they_are_and_what_the_audit_found(page, url, site):
    page.get(f"{url}/ops/features")
    for where, text in (
        ("#tiles", "Served values that differ\n3"), ("#audit", "19,000 values of release a1"), ("#audit", "viewer 3"),
        ("#of-viewer", "viewer_ctr_7d"), ("#of-viewer", "shelved"), ("#of-video", "video_age"),
    ):  # fmt: skip
        says(page, where, text)
    with browsing.served(create_app(replace(site, reports=lambda: {}))) as empty:
        page.get(f"{empty}/ops/features")
        says(page, "#audit", "Nothing yet: run upnext features skew.")


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
    for path in ("/", "/watch/5", "/ops", "/ops/experiments", "/ops/reports", "/ops/features", "/ops/tables"):
        page.get(f"{url}{path}")
        wait(page, lambda p: not p.find_elements("css selector", "[aria-busy=true]"))
        assert page.execute_script(nameless) == []


def test_nothing_overflows_a_narrow_screen(page, url):
    page.set_window_size(500, 860)
    try:
        for path in ("/", "/watch/5", "/ops", "/ops/experiments", "/ops/reports", "/ops/features", "/ops/tables", "/docs"):
            page.get(f"{url}{path}")
            wait(page, lambda p: not p.find_elements("css selector", "[aria-busy=true]"))
            assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    finally:
        page.set_window_size(1400, 900)
