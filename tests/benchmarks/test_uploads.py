from argparse import Namespace

from benchmarks import uploads


def test_every_upload_becomes_a_candidate(trained, tmp_path):
    found = uploads.measure(trained[1].space.releases, tmp_path, Namespace(uploads=2))
    assert found["uploads"] == 4
    assert found["seconds_until_candidate"]["most"] > 0
