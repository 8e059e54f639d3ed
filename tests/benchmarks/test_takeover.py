from benchmarks import takeover


def test_most_of_a_take_over_is_not_the_services_work(trained):
    found = takeover.measure(trained[1].space.releases, times=1)
    assert found["videos"] == 800
    assert 0 < found["left_in_the_service_s"] < found["all_in_the_service_s"]
    assert found["rehearsal_s"] > 0
    assert found["release_mib"] >= 1
