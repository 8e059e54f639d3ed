from argparse import Namespace

from benchmarks import uploads


def test_every_upload_becomes_a_candidate_and_what_was_taken_down_is_gone(trained):
    found = uploads.measure(trained[1].space, Namespace(uploads=4))
    assert found["uploads"] == 8
    assert found["seconds_until_candidate"]["most"] > 0
    assert found["shown_at_once"]["of uploads"] >= 1
    assert found["shown_after_removal"] == 0
