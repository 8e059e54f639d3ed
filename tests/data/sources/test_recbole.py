import pytest

from core.errors import BadInput, SchemaMismatch
from data.sources import registry

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t10\t4.0\t875000000\n2\tabc\t2\t875000001\n"
ITEM = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n10\tToy Story\t1995\tAnimation Children's\n"
USER = "user_id:token\tage:token\tgender:token\toccupation:token\n1\t24\tM\ttechnician\n2\t53\tF\tother\n"


def test_three_files(write):
    found = registry.load("recbole", write({"x.inter": INTER, "x.item": ITEM, "x.user": USER}))
    dataset = found.dataset
    assert dataset.name == "x"
    assert dataset.events["kind"].to_list() == ["click", "like", "click", "dislike"]
    assert dataset.videos["title"].to_list() == ["Toy Story (1995)", "Video abc"]
    assert dataset.videos["category"].to_list() == ["Animation", "unknown"]
    assert dataset.viewers["segment"].to_list() == ["technician", "other"]
    assert found.warnings == ("1 videos of the log are not in x.item; they got a stub entry",)


def test_the_log_alone_and_labels(write):
    inter = "user_id:token\titem_id:token\tlabel:float\ttimestamp:float\n1\t10\t1\t875000000\n1\t11\t0\t875000001\n"
    dataset = registry.load("recbole", write({"x.inter": inter}) / "x.inter").dataset
    assert dataset.events.select("kind", "video_id").rows() == [("click", 10)]


def test_movielens_in_this_form_is_found_too(write):
    assert registry.load("movielens", write({"ml-100k.inter": INTER})).dataset.name == "ml-100k"


def test_mistakes_are_named(write, tmp_path):
    with pytest.raises(BadInput, match=r"no NAME\.inter file"):
        registry.load("recbole", tmp_path)
    write({"x.inter": "user_id\titem_id:token\n1\t2\n"})
    with pytest.raises(SchemaMismatch, match="'user_id' has no type"):
        registry.load("recbole", tmp_path)
    write({"x.inter": "user_id:token\tthing:token\ttimestamp:float\n1\t2\t3\n"})
    with pytest.raises(SchemaMismatch, match="no video column under a usual name"):
        registry.load("recbole", tmp_path)
    write({"y.inter": INTER})
    with pytest.raises(BadInput, match=r"several logs: x\.inter, y\.inter"):
        registry.load("recbole", tmp_path)
