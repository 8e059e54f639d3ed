import math
from itertools import pairwise

from core.space import grid
from retrieval.factorisation import Ials
from retrieval.neighbours import Ease
from retrieval.tunable import tunables


def test_every_tunable_model_gets_the_same_number_of_settings() -> None:
    twelve = {"ease": 12, "ials": 12, "item_knn": 12}
    assert {name: len(grid(t.space)) for name, t in tunables().items()} == {
        "popularity": 1, "recent_popularity": 12, "markov": 12, **twelve
    }  # fmt: skip
    bare = tunables(timed=False, ordered=False)
    assert {name: len(grid(t.space)) for name, t in bare.items()} == {"popularity": 1, **twelve}
    assert set(tunables(timed=False)) == {"popularity", "markov", *twelve}


def test_settings_in_a_row_share_a_fit_where_there_is_an_order() -> None:
    for name in ("ease", "ials", "item_knn"):
        settings = grid(tunables()[name].space)
        assert [s["decay"] for s in settings] == [1.0, 0.9, 0.8, 0.6] * 3


def test_without_order_nothing_decays_and_penalties_go_far() -> None:
    bare = tunables(ordered=False, max_ease_videos=7)
    trials = [bare["ease"].trial(s) for s in grid(bare["ease"].space)]
    assert trials[0] == Ease(l2=20.0, max_videos=7, decay=1.0)
    assert trials[-1] == Ease(l2=8_000.0, max_videos=7, decay=1.0)
    steps = [math.log(b.l2 / a.l2) for a, b in pairwise(trials)]
    assert max(steps) - min(steps) < 1e-4


def test_what_is_cheaper_in_a_trial_is_not_fitted_in_the_end() -> None:
    ials = tunables()["ials"]
    settings = {"l2": 0.5, "decay": 0.7}
    assert ials.trial(settings) == Ials(dim=64, sweeps=8, l2=0.5, decay=0.7)
    assert ials.chosen(settings) == Ials(l2=0.5, decay=0.7)
