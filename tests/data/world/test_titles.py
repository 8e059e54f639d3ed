import pytest

from core import rng
from data.world.titles import CLICKBAIT, PLAIN, channel_names, video_title
from data.world.topics import TOPICS


@pytest.mark.parametrize("topic", list(TOPICS))
def test_every_template_names_its_topic(topic):
    for template in range(max(len(PLAIN), len(CLICKBAIT))):
        for clickbait in (False, True):
            title = video_title(topic, clickbait, (template, template, 3, 5))
            assert any(word in title for word in (*TOPICS[topic], topic))
            assert "{" not in title


def test_clickbait_looks_like_clickbait():
    loud = [video_title("Chess", True, (i, 0, 0, 0)) for i in range(len(CLICKBAIT))]
    plain = [video_title("Chess", False, (i, 0, 0, 0)) for i in range(len(PLAIN))]
    assert all("!" in title or "..." in title or any(w.isupper() and len(w) > 1 for w in title.split()) for title in loud)
    assert not any("!" in title for title in plain)


def test_two_words_of_a_title_differ():
    template = next(i for i, text in enumerate(PLAIN) if "{other}" in text)
    titles = {video_title("Cats", False, (template, 2, other, 0)) for other in range(20)}
    assert len(titles) == len(TOPICS["Cats"]) - 1
    assert not any(title.count("Cardboard Box") > 1 for title in titles)


def test_channel_names_are_unique():
    names = channel_names(["Chess", "Space"] * 400, rng.stream(0, "names"))
    assert len(set(names)) == 800
