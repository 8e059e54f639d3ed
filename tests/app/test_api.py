from dataclasses import replace

import pytest

from app.schemas import MAX_K, Found, Receipt, SlateOut, Video, ViewersOut
from core.ids import to_id
from core.policy import HOME, UP_NEXT

SURFACES = ["/recommend", "/upnext/5"]


def test_recommend_answers_with_external_ids_and_facts(client, site):
    answer = client.get("/recommend", params={"viewer_id": "3", "k": 7}).json()
    page = SlateOut.model_validate(answer)
    assert len(page.videos) == 7
    assert [video.position for video in page.videos] == list(range(7))
    assert (page.viewer_id, page.surface, page.release, page.arm) == ("3", HOME, "0123456789abcdef", "control")
    assert page.at == site.clock.now()
    assert not page.degraded
    assert page.reasons == []
    first = client.get(f"/videos/{page.videos[0].video_id}").json()
    assert Video.model_validate(first).title == page.videos[0].title
    assert isinstance(answer["videos"][0]["channel_id"], str)


def test_what_was_answered_is_what_is_logged(client, site):
    answer = client.get("/recommend", params={"viewer_id": "3", "k": 5}).json()
    (slate,) = site.impressions.shown
    assert slate.request_id == answer["request_id"]
    assert [str(video_id) for video_id in slate.video_ids] == [video["video_id"] for video in answer["videos"]]


def test_a_preview_logs_nothing(client, site):
    assert client.get("/recommend", params={"preview": "true"}).status_code == 200
    assert site.impressions.shown == []


def test_a_page_made_ahead_is_shown_unless_somebody_wants_reasons(client, site):
    computed = site.releases.live.recommender

    def ahead(request):
        """Only viewer 3 has one."""
        return replace(computed.recommend([request])[0], arm="ahead") if request.viewer_id == 3 else None

    site.releases.live = replace(site.releases.live, ahead=ahead)
    arms = [client.get("/recommend", params=asked).json()["arm"] for asked in (
        {"viewer_id": "3"}, {"viewer_id": "4"}, {"viewer_id": "3", "explain": "true"},
    )]  # fmt: skip
    assert arms == ["ahead", "control", "control"]
    assert [slate.arm for slate in site.impressions.shown] == arms


def test_explain_says_why_and_how_long(client):
    page = SlateOut.model_validate(client.get("/recommend", params={"viewer_id": "3", "explain": "true"}).json())
    explored = [video.explain for video in page.videos if video.explain.exploration]
    assert len(explored) == 1
    assert explored[0].propensity == pytest.approx(0.0016)
    assert explored[0].why.startswith("A little exploration")
    assert set(page.videos[0].explain.scores) == {"click", "watch", "like", "dislike", "utility"}
    assert "clicks_7d" in page.videos[0].explain.features
    assert sum(page.stage_ms.values()) == pytest.approx(6.2)


def test_without_explain_an_answer_stays_small(client):
    answer = client.get("/recommend").json()
    assert "explain" not in answer["videos"][0]
    assert "stage_ms" not in answer


def test_stage_times_are_in_a_header_browsers_understand(client):
    timing = client.get("/recommend").headers["server-timing"]
    assert timing.split(", ")[1] == "retrieval;dur=1.90"


@pytest.mark.parametrize("path", SURFACES)
@pytest.mark.parametrize("k", ["0", "-1", "1000000", "ten", "", "1.5"])
def test_k_out_of_range_is_refused(reader, path, k):
    answer = reader.get(path, params={"k": k})
    assert answer.status_code == 422
    assert "k" in answer.json()["error"]
    assert answer.json()["details"][0]["where"] == "query.k"


@pytest.mark.parametrize("path", SURFACES)
def test_k_at_its_bounds_is_answered(reader, path):
    assert len(reader.get(path, params={"k": 1}).json()["videos"]) == 1
    assert len(reader.get(path, params={"k": MAX_K}).json()["videos"]) == MAX_K


@pytest.mark.parametrize("viewer", ["", "nobody has this id", "💥", "99999999999999999999", "' OR 1=1 --"])
def test_an_unknown_viewer_gets_a_page(reader, viewer):
    answer = reader.get("/recommend", params={"viewer_id": viewer})
    assert answer.status_code == 200
    assert len(answer.json()["videos"]) == 10
    assert answer.json()["viewer_id"] == viewer


def test_a_viewer_id_without_end_is_refused(reader):
    assert reader.get("/recommend", params={"viewer_id": "x" * 101}).status_code == 422


def test_topics_have_bounds(reader):
    assert reader.get("/recommend", params={"viewer_id": "new", "topics": ["Chess", "nothing"]}).status_code == 200
    assert reader.get("/recommend", params={"topics": ["x"] * 11}).status_code == 422
    assert reader.get("/recommend", params={"topics": "x" * 101}).status_code == 422


def test_up_next_follows_the_video_and_leaves_it_out(reader):
    page = SlateOut.model_validate(reader.get("/upnext/5", params={"viewer_id": "3", "k": 20}).json())
    assert page.surface == UP_NEXT
    assert "5" not in {video.video_id for video in page.videos}
    here = reader.get("/videos/5").json()["category"]
    assert sum(video.category == here for video in page.videos) > 5


@pytest.mark.parametrize("path", ["/upnext/no such video", "/videos/no such video", "/videos/-1", "/upnext/0"])
def test_an_unknown_video_is_a_404_with_a_body(reader, path):
    answer = reader.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"] == f"there is no video '{path.rpartition('/')[2]}'"


def test_degradation_is_said_in_words(client, site):
    site.releases.live.recommender.degraded = ("viewer histories are unavailable right now",)
    answer = client.get("/recommend").json()
    assert answer["degraded"] is True
    assert answer["reasons"] == ["viewer histories are unavailable right now"]


def test_search_finds_titles(reader):
    found = Found.model_validate(reader.get("/search", params={"q": "star forgets"}).json())
    assert found.videos
    assert all("star forgets" in video.title for video in found.videos)
    assert len(reader.get("/search", params={"q": "the", "k": 3}).json()["videos"]) == 3


@pytest.mark.parametrize("text", ["", "   ", "zzzz", '" OR *', "NEAR(", "'; DROP TABLE x; --", "日本語", "%00"])
def test_search_survives_any_text(reader, text):
    answer = reader.get("/search", params={"q": text})
    assert answer.status_code == 200
    assert answer.json()["videos"] == []


def test_browse_lists_the_newest_of_a_category(client, site):
    found = Found.model_validate(client.get("/browse", params={"category": "Chess", "k": 100}).json())
    assert {video.category for video in found.videos} == {"Chess"}
    uploaded = [video.uploaded_at for video in found.videos]
    assert uploaded == sorted(uploaded, reverse=True)
    assert len(found.videos) == 20
    assert client.get("/browse", params={"category": "no such"}).json()["videos"] == []
    assert client.get("/browse").status_code == 422


def test_viewers_match_every_word(client, site):
    frame = site.releases.live.viewers.frame
    found = ViewersOut.model_validate(client.get("/viewers", params={"q": "DE tv", "k": 100}).json())
    wanted = frame.filter(((frame["country"] == "DE") | (frame["language"] == "de")) & (frame["device"] == "tv"))
    assert [viewer.viewer_id for viewer in found.viewers] == wanted["external_id"].to_list()
    assert len(client.get("/viewers", params={"k": 4}).json()["viewers"]) == 4
    assert client.get("/viewers", params={"q": "(["}).json()["viewers"] == []


def test_a_click_counts_on_the_next_page(client, site):
    def share() -> int:
        page = client.get("/recommend", params={"viewer_id": "3", "k": 10}).json()
        return sum(video["category"] == "Travel" for video in page["videos"])

    before = share()
    travel = client.get("/browse", params={"category": "Travel", "k": 2}).json()["videos"]
    events = [{"kind": "click", "viewer_id": "3", "video_id": video["video_id"]} for video in travel]
    receipt = Receipt.model_validate(client.post("/events?wait=true", json={"events": events}).json())
    assert receipt.applied
    assert len(receipt.accepted) == 2
    assert share() >= before + 3
    assert {row["viewer_id"] for row in site.event_log.rows} == {to_id("3")}


@pytest.mark.parametrize("path", ["/recommend", "/upnext/1"])
def test_kids_mode_is_part_of_the_request(client, site, monkeypatch, path):
    asked, toy = [], site.releases.live.recommender
    recommend = toy.recommend
    monkeypatch.setattr(toy, "recommend", lambda requests, **kw: asked.extend(requests) or recommend(requests, **kw))
    for kids in (True, False):
        assert client.get(path, params={"kids": kids}).status_code == 200
    assert [request.kids for request in asked] == [True, False]


def test_methods_and_paths_that_do_not_exist(reader):
    assert reader.post("/recommend").status_code == 405
    assert reader.get("/events").status_code == 405
    assert reader.get("/no/such/path").json()["error"] == "Not Found"


def test_the_description_names_every_answer(reader):
    api = reader.get("/openapi.json").json()
    ok = api["paths"]["/recommend"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert ok == {"$ref": "#/components/schemas/SlateOut"}
    body = api["paths"]["/events"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["example"]["events"][0]["kind"] == "click"
