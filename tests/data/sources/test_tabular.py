import polars as pl
import pytest

from core.errors import BadInput, SchemaMismatch, TooManyBrokenRows
from data.sources import registry, tabular

MAPPING = """
name = "plays"
[events]
path = "plays.csv"
viewer_id = "who"
video_id = "clip"
time = "when"
time_unit = "ms"
always = ["impression"]
watch = "played_ms"
watch_unit = "ms"
position = "slot"
propensity = "p"
[events.when]
click = "played_ms >= 1000"
like = "thumb = up"
dislike = "thumb = down"
[videos]
path = "clips.csv"
video_id = "clip"
title = "name"
categories = "tags"
category_separator = ";"
channel = "by"
duration = "length_ms"
duration_unit = "ms"
uploaded = "put_up"
[viewers]
path = "people.csv"
viewer_id = "who"
country = "land"
"""
PLAYS = """who,clip,when,played_ms,thumb,slot,p
ann,c1,1700000000000,5500,up,0,0.5
ann,c2,1700000000000,0,,1,0.25
bob,c1,1700000060000,1000,down,0,1
"""
CLIPS = """clip,name,tags,by,length_ms,put_up
c1,"Cats, dogs",pets; funny,Zoe,60000,2023-01-02
c2,,,,0,
"""
PEOPLE = "who,land\nann,NL\nbob,\n"


@pytest.fixture
def folder(write):
    return write({"mapping.toml": MAPPING, "plays.csv": PLAYS, "clips.csv": CLIPS, "people.csv": PEOPLE})


def rows(frame, *columns):
    return frame.select(columns).rows()


def test_rows_become_impressions_with_their_outcomes(folder):
    events = registry.load("csv", folder).dataset.events
    ann, bob = events["viewer_id"][0], events["viewer_id"][-1]
    first = events.filter((pl.col("viewer_id") == ann) & (pl.col("video_id") == events["video_id"][0]))
    assert rows(events.filter(pl.col("viewer_id") == bob), "kind", "value") == [
        ("impression", None),
        ("click", None),
        ("watch", 1.0),
        ("dislike", None),
    ]
    assert first["kind"].to_list() == ["impression", "click", "watch", "like"]
    assert first["request_id"].n_unique() == 1
    assert events["request_id"].n_unique() == 3
    assert rows(events.filter(kind="impression"), "position", "propensity") == [(0, 0.5), (1, 0.25), (0, 1.0)]


def test_catalogues(folder):
    dataset = registry.load("csv", folder).dataset
    videos = {row["external_id"]: row for row in dataset.videos.iter_rows(named=True)}
    assert videos["c1"]["title"] == "Cats, dogs"
    assert (videos["c1"]["category"], videos["c1"]["channel"], videos["c1"]["duration_s"]) == ("pets", "Zoe", 60.0)
    assert videos["c1"]["uploaded_at"] == 1_672_617_600_000
    assert (videos["c2"]["title"], videos["c2"]["category"], videos["c2"]["channel_id"]) == ("Video c2", "unknown", 0)
    assert (videos["c2"]["duration_s"], videos["c2"]["uploaded_at"]) == (None, None)
    assert dict(rows(dataset.viewers, "external_id", "country")) == {"ann": "NL", "bob": "unknown"}


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        (
            'video_id = "clip"\ntime',
            'video_id = "clips"\ntime',
            r"plays.csv has no column 'clips' \(events.video_id\); did you mean 'clip'",
        ),
        ('title = "name"', 'title = "nam"', r"clips.csv has no column 'nam' \(videos.title\); did you mean 'name'"),
        ('country = "land"', 'country = "Lnd"', r"people.csv has no column 'Lnd' \(viewers.country\); did you mean 'land'"),
        ("thumb = up", "thumbs = up", r"no column 'thumbs' \(events.when.like\); did you mean 'thumb'"),
    ],
)
def test_wrong_column_names_get_the_nearest_match(write, folder, right, wrong, message):
    write({"mapping.toml": MAPPING.replace(right, wrong)})
    with pytest.raises(SchemaMismatch, match=message):
        registry.load("csv", folder)


def test_a_wrong_file_name_lists_what_is_there(write, folder):
    write({"mapping.toml": MAPPING.replace("clips.csv", "clip.csv")})
    with pytest.raises(BadInput, match=r"no file 'clip.csv' in .*found: clips.csv, mapping.toml, people.csv, plays.csv"):
        registry.load("csv", folder)


def test_a_wrong_time_unit_is_explained(write, folder):
    write({"mapping.toml": MAPPING.replace('time_unit = "ms"', 'time_unit = "s"')})
    with pytest.raises(TooManyBrokenRows, match="is time_unit right"):
        registry.load("csv", folder)
    write({"mapping.toml": MAPPING.replace('time_unit = "ms"', 'time_unit = "us"')})
    assert "older than 1990" in registry.load("csv", folder).warnings[0]


def test_the_limit_of_the_future_can_be_now(folder):
    with pytest.raises(TooManyBrokenRows, match="far future"):
        registry.load("csv", folder, latest_at=1_700_000_060_000)


def test_long_titles_are_cut(write, folder):
    write({"clips.csv": CLIPS + f"c3,{'x' * 10_000_000},,,,\n"})
    found = registry.load("csv", folder)
    assert found.dataset.videos["title"].str.len_chars().max() == 500
    assert found.warnings == ("clips.csv: 1 titles were cut to 500 characters",)


def test_values_out_of_range_are_broken(write, folder):
    write({"plays.csv": PLAYS + "cid,c1,1700000060000,-1,,0,1\ncid,c1,1700000060001,1,,0,0\ncid,c1,1700000060002,1,,0,x\n"})
    found = registry.load("csv", folder, max_broken=0.6)
    assert found.quarantine.counts == {"p is not a finite number": 1, "p is not in (0, 1]": 1, "played_ms is negative": 1}


def test_kinds_from_a_column_and_requests_of_their_own(write):
    mapping = """
[events]
path = "log.tsv"
viewer_id = "u"
video_id = "v"
time = "t"
kind = "action"
request_id = "page"
[events.kinds]
show = "impression"
open = ["click"]
scroll = "ignore"
"""
    log = "u\tv\tt\taction\tpage\n1\t5\t1700000000\tshow\tr1\n1\t5\t1700000002\topen\tr1\n1\t5\t1700000001\tscroll\tr1\n"
    folder = write({"mapping.toml": mapping, "log.tsv": log})
    events = registry.load("csv", folder / "log.tsv").dataset.events
    assert rows(events, "kind", "request_id", "event_at") == [
        ("impression", "r1", 1_700_000_000_000),
        ("click", "r1", 1_700_000_002_000),
    ]
    write({"log.tsv": log + "1\t5\t1700000003\tjump\tr1\n"})
    with pytest.raises(TooManyBrokenRows, match=r"action is not among \[events.kinds\]; e.g. line 5"):
        registry.load("csv", folder)


def test_own_event_ids_are_the_key(write):
    mapping = '[events]\npath = "log.csv"\nviewer_id = "u"\nvideo_id = "v"\ntime = "t"\nevent_id = "id"\nalways = "click"\n'
    log = "id,u,v,t\na,1,5,1700000000\nb,1,5,1700000000\na,1,6,1700000000\na,1,5,1700000000\n"
    found = registry.load("csv", write({"mapping.toml": mapping, "log.csv": log}), max_broken=0.5)
    assert rows(found.dataset.events, "event_id", "video_id") == [("log:a:01", 5), ("log:b:01", 5)]
    assert found.quarantine.rows.select("line", "reason").rows() == [
        (4, "says something else than an earlier row of the same event"),
        (5, "duplicate of an earlier row"),
    ]


def test_received_is_never_before_it_happened(write):
    mapping = '[events]\npath = "log.csv"\nviewer_id = "u"\nvideo_id = "v"\ntime = "t"\nreceived = "r"\nalways = "click"\n'
    log = "u,v,t,r\n1,5,1700000000,1700000009\n1,6,1700000000,1600000000\n1,7,1700000000,\n"
    events = registry.load("csv", write({"mapping.toml": mapping, "log.csv": log})).dataset.events
    received = dict(rows(events, "video_id", "received_at"))
    assert received == {5: 1_700_000_009_000, 6: 1_700_000_000_000, 7: 1_700_000_000_000}


def test_parquet_with_lists_and_dates(write, tmp_path):
    at = pl.Series(["2024-01-02T03:04:05"] * 2).str.to_datetime()
    pl.DataFrame({"u": [1.0, 2.0], "v": [5, 6], "t": at}).write_parquet(tmp_path / "log.parquet")
    pl.DataFrame({"v": [5, 6], "tags": [["a", "b"], []]}).write_parquet(tmp_path / "videos.parquet")
    mapping = '[events]\npath = "log.parquet"\nviewer_id = "u"\nvideo_id = "v"\ntime = "t"\nalways = "click"\n'
    folder = write({"mapping.toml": mapping + '[videos]\npath = "videos.parquet"\nvideo_id = "v"\ncategories = "tags"\n'})
    dataset = registry.load("csv", folder).dataset
    assert dataset.events["event_at"].to_list() == [1_704_164_645_000] * 2
    assert dataset.viewers["viewer_id"].to_list() == [1, 2]
    assert dataset.videos["category"].to_list() == ["a", "unknown"]
    assert tabular.MAX_BROKEN == 0.05


def test_no_mapping_shows_an_example(tmp_path):
    with pytest.raises(BadInput, match=r"mapping.toml does not exist; write a mapping file like this one"):
        registry.load("csv", tmp_path)
