import polars as pl
import pytest

from core.errors import BadInput, TooManyBrokenRows
from data.sources import registry

DAY_S = 875_000_000
FLAGS = "|".join(["0"] * 5 + ["1"] + ["0"] * 2 + ["1"] + ["0"] * 10)


def kinds(dataset):
    return dict(dataset.events.group_by("kind").len().sort("kind").iter_rows())


def by_id(frame, key):
    return {row[key]: row for row in frame.iter_rows(named=True)}


@pytest.fixture
def layout_100k(write):
    return write(
        {
            "u.data": f"1\t10\t5\t{DAY_S}\n1\t11\t2\t{DAY_S + 1}\n2\t10\t3\t{DAY_S + 2}\n",
            "u.item": f"10|Misérables, Les (1995)|01-Jan-1995||url|{FLAGS}\n11|Heat|15-Dec-1995||url|{FLAGS}\n".encode(
                "latin-1"
            ),
            "u.user": "1|24|M|technician|85711\n2|53|F|other|94043\n",
        }
    )


@pytest.fixture
def layout_1m(write):
    return write(
        {
            "ml-1m/ratings.dat": f"1::10::4::{DAY_S}\n2::10::1::{DAY_S}\n",
            "ml-1m/movies.dat": "10::Toy Story (1995)::Animation|Children's|Comedy\n",
            "ml-1m/users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
        }
    )


@pytest.fixture
def layout_csv(write):
    return write(
        {
            "ratings.csv": f"userId,movieId,rating,timestamp\n1,10,4.0,{DAY_S}\n1,11,0.5,{DAY_S}\n",
            "movies.csv": 'movieId,title,genres\n10,"American President, The (1995)",Comedy|Drama\n11,Odd,(no genres listed)\n',
        }
    )


def test_100k(layout_100k):
    found = registry.load("movielens", layout_100k)
    dataset = found.dataset
    assert kinds(dataset) == {"click": 3, "like": 1, "dislike": 1}
    assert dataset.events["event_at"].to_list() == [(DAY_S + i) * 1000 for i in (0, 0, 1, 1, 2)]
    assert dataset.events["kind"].to_list() == ["click", "like", "click", "dislike", "click"]
    videos, viewers = by_id(dataset.videos, "video_id"), by_id(dataset.viewers, "viewer_id")
    assert videos[10]["title"] == "Misérables, Les (1995)"
    assert videos[11]["title"] == "Heat (1995)"
    assert videos[10]["category"] == "Comedy"
    assert (videos[10]["channel"], videos[10]["channel_id"], videos[10]["uploaded_at"]) == ("unknown", 0, None)
    assert 0 < len(videos[10]["content"]) <= 64
    assert (viewers[1]["age_band"], viewers[1]["gender"], viewers[1]["segment"]) == ("18-24", "male", "technician")
    assert (viewers[2]["age_band"], viewers[2]["gender"], viewers[2]["country"]) == ("50-55", "female", "unknown")
    assert found.warnings == ()


def test_1m_in_a_folder_below(layout_1m):
    dataset = registry.load("movielens", layout_1m).dataset
    assert kinds(dataset) == {"click": 2, "like": 1, "dislike": 1}
    assert dataset.videos["title"].to_list() == ["Toy Story (1995)"]
    assert dataset.videos["category"].to_list() == ["Animation"]
    assert dataset.viewers["age_band"].to_list() == ["under 18", "56+"]
    assert dataset.viewers["segment"].to_list() == ["K-12 student", "self-employed"]


def test_csv(layout_csv):
    found = registry.load("movielens", layout_csv / "ratings.csv")
    assert kinds(found.dataset) == {"click": 2, "like": 1, "dislike": 1}
    videos = by_id(found.dataset.videos, "video_id")
    assert videos[10]["title"] == "American President, The (1995)"
    assert videos[11]["category"] == "unknown"
    assert found.dataset.viewers["external_id"].to_list() == ["1"]
    assert found.warnings == ()


def test_loading_twice_gives_the_same_events(layout_100k):
    first, second = (registry.load("movielens", layout_100k).dataset for _ in range(2))
    assert first.events.equals(second.events)
    assert first.events["event_id"].is_unique().all()


def test_videos_and_viewers_that_only_the_log_knows_get_stubs(write, layout_100k):
    write({"u.data": f"1\t10\t5\t{DAY_S}\n77\t123\t3\t{DAY_S}\n"})
    found = registry.load("movielens", layout_100k)
    videos, viewers = by_id(found.dataset.videos, "video_id"), by_id(found.dataset.viewers, "viewer_id")
    assert (videos[123]["title"], videos[123]["category"], videos[123]["content"]) == ("Video 123", "unknown", None)
    assert viewers[77]["age_band"] == "unknown"
    assert found.warnings == (
        "1 videos of the log are not in u.item; they got a stub entry",
        "1 viewers of the log are not in u.user; they got a stub entry",
    )


def test_broken_rows_are_written_down(write, layout_100k, tmp_path):
    good = "".join(f"1\t10\t5\t{DAY_S + i}\n" for i in range(100))
    bad = f"1\t\t5\t{DAY_S}\n1\t10\tgood\t{DAY_S}\n1\t10\tnan\t{DAY_S}\n1\t10\t5\t-4\n1\t10\t5\t{DAY_S}\n"
    write({"u.data": good + bad + f"1\t10\t5\t99999999999\n1\t10\t5\n1\t10\t\t{DAY_S}\n"})
    found = registry.load("movielens", layout_100k, max_broken=0.1, quarantine_dir=tmp_path / "q")
    assert found.quarantine.counts == {
        "rating is not a finite number": 2,
        "3 fields where 4 belong": 1,
        "duplicate of an earlier row": 1,
        "movieId is missing": 1,
        "rating is empty": 1,
        "timestamp is negative": 1,
        "timestamp lies in the far future (is time_unit right?)": 1,
    }
    written = pl.read_csv(found.quarantine.path)
    assert written["line"].to_list() == [101, 102, 103, 104, 105, 106, 107, 108]
    assert written["raw"][1] == f"1\t10\tgood\t{DAY_S}"
    assert kinds(found.dataset)["click"] == 100
    with pytest.raises(
        TooManyBrokenRows, match=r"(?s)u.data: 7\.4% of the rows are broken, allowed are 5\.0%.*all of them, .*/q/"
    ):
        registry.load("movielens", layout_100k, quarantine_dir=tmp_path / "q")


@pytest.mark.parametrize(("data", "message"), [("", "is empty"), ("\n\n", "is empty")])
def test_empty_logs(write, data, message):
    with pytest.raises(BadInput, match=message):
        registry.load("movielens", write({"u.data": data}))


def test_header_only(write):
    with pytest.raises(BadInput, match="no usable rows"):
        registry.load("movielens", write({"ratings.csv": "userId,movieId,rating,timestamp\n"}))


def test_no_such_layout_source_or_path(tmp_path):
    with pytest.raises(BadInput, match="no MovieLens folder"):
        registry.load("movielens", tmp_path)
    with pytest.raises(BadInput, match="no source 'netflix'; known: world, movielens"):
        registry.load("netflix", tmp_path)
    with pytest.raises(BadInput, match="does not exist"):
        registry.load("movielens", tmp_path / "nowhere")
