import pytest

from core.errors import BadInput
from data.sources import registry

HEADER = "user_id,video_id,time_ms,is_click,is_like,is_hate,play_time_ms,duration_ms\n"


def test_the_publishers_layout(write):
    first = HEADER + "1,10,1649346288441,1,1,0,5000,20000\n1,11,1649346289441,0,0,0,100,30000\n"
    second = HEADER + "2,10,1649346299441,1,0,1,0,20000\n"
    users = "user_id,user_active_degree\n1,full_active\n2,UNKNOWN\n"
    files = {"log_standard_1.csv": first, "log_standard_2.csv": second, "user_features_1k.csv": users, "log_random.csv": HEADER}
    dataset = registry.load("kuairand", write(files)).dataset
    kinds = dict(dataset.events.group_by("kind").len().iter_rows())
    assert kinds == {"impression": 3, "click": 2, "like": 1, "dislike": 1, "watch": 2}
    assert dataset.videos["duration_s"].to_list() == [20.0, 30.0]
    assert dataset.viewers["segment"].to_list() == ["full_active", "unknown"]


def test_an_extract_with_one_label(write):
    log = "user_id\tvideo_id\ttime_ms\tis_click\tplay_time_ms\tduration_ms\tlabel\n1\t10\t1649346288441\t1\t5000\t20000\t0\n"
    dataset = registry.load("kuairand", write({"log.tsv": log}) / "log.tsv").dataset
    assert dataset.events["kind"].to_list() == ["impression", "click", "watch", "dislike"]


def test_no_log(tmp_path):
    with pytest.raises(BadInput, match="no KuaiRand log"):
        registry.load("kuairand", tmp_path)
