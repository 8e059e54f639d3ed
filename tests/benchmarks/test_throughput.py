from benchmarks.throughput import LIMIT_MS, NARROW, Tried, climb, share_ahead


def service(capacity):
    """Waits double the limit as soon as more comes than it can take."""
    return lambda rate: Tried(rate, int(rate), 0, 1.0, LIMIT_MS / 2 if rate <= capacity else LIMIT_MS * 2)


def test_the_highest_rate_that_holds_is_found_from_either_side():
    for start in (25.0, 400.0, 90.0):
        tried = climb(service(137.0), start)
        best = max(one.rate for one in tried if one.holds)
        assert 137.0 / (1 + NARROW) <= best <= 137.0
        assert len(tried) < 15


def test_a_rate_holds_only_when_everybody_is_answered():
    assert not Tried(10, 9, 1, 1.0, 2.0).holds
    assert climb(lambda rate: Tried(rate, 0, 1, 0.0, 0.0), 25.0)[-1].rate <= 1


def test_the_share_of_pages_made_ahead_is_read_off_the_stages():
    count = 'upnext_stage_seconds_count{{stage="{}"}}'.format
    assert share_ahead({count("ranker"): 5.0}, {count("ranker"): 15.0, count("precomputed"): 30.0}) == 0.75
    assert share_ahead({}, {}) == 0.0
