import json

import pytest

from app import permits
from core import release
from core.clock import DAY_MS
from core.errors import ReleaseRefused

NOW = 100 * DAY_MS
FACTS = {"snapshot": "s", "feature_schema": "f", "config_fingerprint": "c", "git_commit": "g", "created_at": 1}
PASSED = {
    "gates": [{"name": "data", "verdict": "pass"}, {"name": "fairness", "verdict": "not measurable"}],
    "blocking": [],
    "created_at": NOW - 6 * DAY_MS,
    "config": {"fresh_days": 7.0},
}


@pytest.fixture
def root(tmp_path):
    """A folder of releases with one that is live and a candidate."""
    found = tmp_path / "releases"
    made = [release.publish(found, lambda path, text=text: (path / "x").write_text(text), **FACTS) for text in ("a", "b")]
    for pointer, each in zip(("live", "candidate"), made, strict=True):
        release.point(found, pointer, each.release_id)
    return found


def asked(root, **changes):
    live, candidate = (release.resolve(root, name) for name in ("live", "candidate"))
    file = root.parent / "gates" / f"{candidate}-against-{live}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(PASSED | changes))
    return permits.candidate(root, live, NOW)


def test_a_candidate_that_passed_may_serve(root):
    wanted = release.resolve(root, "candidate")
    assert asked(root) == (wanted, {"data": "pass", "fairness": "not measurable"})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"blocking": ["quality:live", "slices"]}, "in the way of .*: quality:live, slices; `upnext release promote`"),
        ({"created_at": NOW - 8 * DAY_MS}, "more than 7 days ago: run `upnext release gates"),
        ({"gates": None}, "have not been asked against"),
    ],
)
def test_what_did_not_pass_just_now_may_not(root, changes, said):
    with pytest.raises(ReleaseRefused, match=said):
        asked(root, **changes)


def test_gates_asked_against_another_release_do_not_count(root):
    with pytest.raises(ReleaseRefused, match="have not been asked against another"):
        permits.candidate(root, "another", NOW)


def test_without_a_candidate_there_is_nothing_to_promote(root):
    release.point(root, "candidate", release.resolve(root, "live"))
    with pytest.raises(ReleaseRefused, match="no candidate"):
        asked(root)
