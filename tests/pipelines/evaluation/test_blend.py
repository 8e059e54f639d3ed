import numpy as np

from core import rng
from pipelines.evaluation import blend
from pipelines.evaluation.blend import Blend, Judged
from pipelines.opinions import standing

CASES, CANDIDATES = 60, 40


def judged(ranker_noise, tower_noise):
    """Candidates of whom the ten best by a hidden score are targets; ranker and towers see it through noise."""
    random = rng.stream(1, "blend")
    hidden = random.normal(size=(CASES, CANDIDATES))
    there = np.ones(hidden.shape, dtype=bool)
    seen = {
        noise: (hidden + noise * random.normal(size=hidden.shape)).astype(np.float32) for noise in (tower_noise, ranker_noise)
    }
    standings = [standing(seen[tower_noise], there), standing(random.normal(size=hidden.shape).astype(np.float32), there)]
    opinion = np.stack([column for one in standings for column in (one, np.zeros_like(one))], axis=-1).astype(np.float32)
    hit = hidden >= np.sort(hidden, axis=1)[:, -10:-9]
    return Judged(opinion, seen[ranker_noise], there, hit)


def test_a_ranker_that_knows_nothing_is_not_asked():
    assert blend.choose(2, [judged(ranker_noise=50.0, tower_noise=0.1)]) == Blend((0,), 0.0)


def test_a_ranker_that_knows_more_decides():
    assert blend.choose(2, [judged(ranker_noise=0.1, tower_noise=50.0)]).weight == 4.0


def test_scores_are_the_mean_standing_and_the_rankers_share():
    each = judged(1.0, 2.0)
    found = Blend((0, 1), 0.5).scores(each.opinion_BKF, each.relevance_BK, each.there_BK)
    wanted = each.opinion_BKF[:, :, [0, 2]].mean(axis=2) + 0.5 * standing(each.relevance_BK, each.there_BK)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_nobody_is_learned_from_and_judged_by():
    learned, judges = blend.split(23)
    assert sorted([*learned, *judges]) == list(range(23))
    assert judges.tolist() == [0, 5, 10, 15, 20]
