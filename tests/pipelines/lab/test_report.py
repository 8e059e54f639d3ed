import json

import pytest

from pipelines.lab import report as lab_report
from tests.browsing import chromium, find, needs_browser, says

POINT = {"mean": 0.5, "low": 0.25, "high": 0.75, "p": 0.1}
ALONE = {"mean": 12.0, "low": None, "high": None, "p": None}


def result() -> dict:
    """Two policies, two seeds, three weeks."""
    names, seeds, weeks = ["none", "epsilon"], [1, 2], 3
    topics, top = {"chess": 0.75, "bread": 0.25}, [{"title": "<b>Best</b> of </script>", "share": 0.2, "quality": 1.5}]
    return {
        "names": names,
        "seeds": seeds,
        "num_weeks": weeks,
        "measures": {"gini": "inequality", "satisfied_s": "seconds"},
        "curves": {name: {"gini": [POINT] * weeks, "satisfied_s": [ALONE] * weeks} for name in names},
        "lead": ["What was found."],
        "runs": [
            {"policy": n, "seed": s, "week": w, "picture": {"lorenz": [0, 0.1 * w, 1], "topics": topics, "top": top}}
            for n in names
            for s in seeds
            for w in range(1, weeks + 1)
        ],
    }


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "deep" / "report.html"
    lab_report.write(result(), "Loops & more", path)
    return path


def test_the_page_holds_everything_it_shows(page):
    text = page.read_text()
    assert "<title>Loops &amp; more</title>" in text
    assert text.count("</script>") == 2
    assert json.loads(text.split('id="data">')[1].split("</script>")[0]) == result()
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_intervals_as_text():
    assert lab_report.told(POINT) == "0.5 [0.25, 0.75]"
    assert lab_report.told(POINT, "+") == "+0.5 [+0.25, +0.75]"
    assert lab_report.told(ALONE) == "12"


@needs_browser
def test_sliders_replay_weeks_and_policies(page, tmp_path):
    with chromium(tmp_path / "profile") as browser:
        browser.get(page.as_uri())
        says(browser, "#replay-title", "Replay: none, seed 1, week 3")
        move = "const s = document.querySelectorAll('input[type=range]')[arguments[0]]; s.value = arguments[1];"
        for slider, value in ((0, 2), (1, 1)):
            browser.execute_script(move + "s.dispatchEvent(new Event('input'))", slider, value)
        browser.execute_script("document.querySelector('input[value=epsilon]').click()")
        says(browser, "#replay-title", "Replay: epsilon, seed 2, week 2")
        assert find(browser, "#pictures .bars").text.startswith("chess")
        assert "<b>Best</b>" in find(browser, "#pictures").text
        assert len(browser.find_elements("css selector", "#charts svg")) == 2
        assert "0.500 [0.250, 0.750]" in find(browser, "#table").text
        assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
