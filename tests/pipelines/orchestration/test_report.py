import re
from html.parser import HTMLParser

import numpy as np
import pytest

from pipelines.orchestration import report as pipeline_report


def board(value):
    row = {"hr@10": value, "ndcg@10": value / 2, "interval": {"hr@10": [value - 0.1, value + 0.1], "ndcg@10": None}}
    return {"leaderboard": [{"model": "two_stage", **row}, {"model": "popularity", **row}]}


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_one_seed_has_its_interval_over_viewers():
    found = pipeline_report.over_seeds([board(0.4)])["two_stage"]
    assert found["hr@10"] == {"per_seed": [0.4], "mean": 0.4, "low": pytest.approx(0.3), "high": pytest.approx(0.5)}
    assert found["ndcg@10"]["low"] is None


def test_several_seeds_have_a_t_interval():
    found = pipeline_report.over_seeds([board(0.3), board(0.4), board(0.5)])["two_stage"]["hr@10"]
    # t with 2 degrees of freedom: 4.3027; s = .1
    assert found["mean"] == pytest.approx(0.4)
    assert found["high"] - found["mean"] == pytest.approx(4.30265 * 0.1 / np.sqrt(3), rel=1e-5)


def test_a_metric_of_cases_that_a_test_does_not_have_is_left_out(tmp_path):
    boards = [board(0.3), board(0.4)]
    for one, recall in zip(boards, (0.2, None), strict=True):
        for row in one["leaderboard"]:
            row["recall@20, never seen"], row["interval"]["recall@20, never seen"] = recall, None
    for few in (boards, boards[1:]):
        found = pipeline_report.over_seeds(few)
        assert set(found["popularity"]) == {"hr@10", "ndcg@10"}
        pipeline_report.write(found, (1, 2)[: len(few)], tmp_path / "report.html")


def test_the_page_fetches_nothing_and_draws_every_seed(tmp_path):
    found = pipeline_report.over_seeds([board(0.3), board(0.4)])
    pipeline_report.write(found, (1, 2), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert not re.search(r"https?:|src=|@import|url\(", text)
    tags = Tags()
    tags.feed(text)
    rings = [attributes for tag, attributes in tags.found if tag == "circle" and attributes["class"] == "seed"]
    assert len(rings) == 2 * 2 * 2
    assert "prefers-color-scheme:dark" in text
