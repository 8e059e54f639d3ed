import pytest

from monitoring import data_drift, watch
from tests.monitoring.made import DAYS, FIRST, rows, tallied


def test_a_look_needs_its_reference_behind_it_and_is_against_it():
    tallies = tallied(rows())
    end = FIRST + 24 * watch.WARM_UP_DAYS
    found = watch.look(tallies, end)
    assert found.evidence.reference == data_drift.reference_ends(end, watch.REFERENCE_DAYS, watch.GAP_DAYS)
    assert found.evidence.reference[0] == FIRST + 24
    with pytest.raises(ValueError, match="leave the hours"):
        watch.look(tallies, end - 1)


def test_quiet_days_stay_quiet():
    tallies = tallied(rows(5))
    looks = [watch.look(tallies, hour) for hour in range(FIRST + 24 * watch.WARM_UP_DAYS, FIRST + 24 * DAYS, 6)]
    assert [look.diagnosis for look in looks] == [None] * len(looks)
