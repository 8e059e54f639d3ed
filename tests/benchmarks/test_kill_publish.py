from benchmarks import kill_publish
from core import release


def test_a_killed_publisher_tears_nothing(tmp_path):
    found = kill_publish.measure(tmp_path, kills=6, seed=1)
    assert sum(found["killed_while"].values()) == 6
    assert found["reads"] > 0
    assert found["torn_reads"] == found["went_back"] == 0


def test_a_torn_release_and_a_step_back_are_seen(tmp_path):
    for number in (1, 2):
        kill_publish._publish(tmp_path, number)
    seen = kill_publish.Seen()
    kill_publish._read(tmp_path, seen)
    release.point(tmp_path, "live", release.resolve(tmp_path, "previous"))
    kill_publish._read(tmp_path, seen)
    assert (seen.reads, seen.went_back, len(seen.torn)) == (2, 1, 0)
    (tmp_path / release.resolve(tmp_path, "live") / "part-1").write_text("3\n")
    kill_publish._read(tmp_path, seen)
    assert len(seen.torn) == 1
