"""The labelling routes over the invented site."""

import numpy as np
import polars as pl
import pytest

from app import fakes
from core.clock import ManualClock
from tests.app.conftest import NOW

TOKEN = {"authorization": "Bearer open sesame"}


@pytest.fixture
def site():
    """Half of the titles shout as far as one function can tell."""
    frame = fakes.videos(NOW, per_category=5)
    vote = np.arange(len(frame)) % 2 * 2 - 1
    frame = frame.with_columns(
        pl.Series("before_clickbait", np.where(vote > 0, 0.7, 0.2)),
        pl.DataFrame({"title shouts": vote.astype(np.int8)}).to_struct("votes_clickbait"),
    )
    return fakes.services(ManualClock(NOW), admin_token="open sesame", frame=frame)


def ask(client, who="ada"):
    return client.get("/label/next", params={"question": "clickbait", "who": who}).json()


def reply(client, video, answer, who="ada", label_id=None, headers=TOKEN):
    body = {"label_id": label_id or f"{who}-{video['video_id']}-{answer}", "question": "clickbait", "who": who}
    return client.post("/label/answers", json=body | {"video_id": video["video_id"], "answer": answer}, headers=headers)


def test_nothing_is_told_before_the_answer_and_everything_after(client, site):
    asked = ask(client)
    assert set(asked["video"]) == {"video_id", "title", "channel", "category", "duration_s", "uploaded_at", "channel_id"}
    assert set(asked) == {"question", "video", "at", "progress"}
    kept = reply(client, asked["video"], "no").json()
    row = site.releases.live.catalogue.rows([int(asked["video"]["video_id"])])[0]
    said = 1 if row % 2 else -1
    assert kept["revealed"] == {
        "probability": pytest.approx(0.7 if said > 0 else 0.2),
        "functions": [{"name": "title shouts", "said": said}],
        "others": {"yes": 0, "no": 0},
    }
    assert kept["progress"]["answered"] == 1
    assert ask(client)["video"]["video_id"] != asked["video"]["video_id"]
    assert reply(client, asked["video"], "yes", "bob").json()["revealed"]["others"] == {"yes": 0, "no": 1}


def test_skipping_tells_nothing_and_undo_brings_the_question_back(client):
    first = ask(client)["video"]
    assert reply(client, first, "skip").json()["revealed"] is None
    second = ask(client)["video"]
    assert second != first
    assert reply(client, first, "undo").json()["revealed"] is None
    assert ask(client)["video"] == first


def test_the_same_answer_sent_again_counts_once(client, site):
    video = ask(client)["video"]
    for _ in range(2):
        assert reply(client, video, "yes", label_id="sent twice").status_code == 200
    assert ask(client)["progress"]["answered"] == 1
    assert [one.said for one in site.answers.of("clickbait")] == [1]


def test_writing_needs_the_token(client, site):
    video = ask(client)["video"]
    assert reply(client, video, "yes", headers={}).status_code == 401
    assert site.answers.of("clickbait") == []


@pytest.mark.parametrize(
    "change", [{"who": "  "}, {"answer": "maybe"}, {"question": "nice"}, {"label_id": "x"}, {"video_id": "nowhere"}]
)
def test_bad_answers_are_refused_in_words(client, site, change):
    body = {"label_id": "12345678", "question": "kids", "who": "ada", "video_id": "1", "answer": "yes"} | change
    answer = client.post("/label/answers", json=body, headers=TOKEN)
    assert answer.status_code in (404, 422)
    assert answer.json()["error"]
    assert site.answers.of("kids") == []


def test_the_page_names_its_questions(client):
    page = client.get("/label")
    assert "Is this clickbait?" in page.text
    assert 'href="/label"' in client.get("/ops").text
