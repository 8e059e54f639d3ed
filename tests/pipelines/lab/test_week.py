from core.clock import DAY_MS
from core.policy import Request
from pipelines.lab.week import rounds


def test_within_a_day_a_round_has_every_viewer_once():
    visits = [(1, 0), (2, 5), (1, 7), (1, 9), (2, DAY_MS), (3, DAY_MS + 1), (2, DAY_MS + 2)]
    requests = [Request(f"r{i}", viewer, at) for i, (viewer, at) in enumerate(visits)]
    found = [[request.request_id for request in batch] for batch in rounds(requests)]
    assert found == [["r0", "r1"], ["r2"], ["r3"], ["r4", "r5"], ["r6"]]
