import numpy as np
import pytest

from core.ragged import Ragged
from data.interactions import group
from pipelines.evaluation.cases import Cases
from pipelines.opinions import Opinions, columns, panel
from retrieval.baselines import Constant
from retrieval.factorisation import Ials
from retrieval.neighbours import Ease


def cases_of(histories, num_videos):
    n = len(histories)
    return Cases(
        viewer_ids=np.arange(n),
        at=np.full(n, 10),
        histories=Ragged.of(histories),
        warm=np.ones(n, dtype=bool),
        uploaded_at=np.zeros(num_videos, dtype=np.int64),
    )


def test_standing_and_place_are_within_the_list():
    asked = Opinions({"fixed": Constant(np.array([0.0, 1.0, 2.0, 3.0, 40.0], dtype=np.float32))})
    found = np.array([[3, 1, 2, -1]], dtype=np.int32)
    affinity = np.array([[0.5, 0.5, 2.0, 0.0]], dtype=np.float32)
    towers, towers_place, fixed, fixed_place = asked.of(cases_of([[0]], 5), slice(0, 1), found, affinity)[0].T
    assert fixed == pytest.approx([np.sqrt(1.5), -np.sqrt(1.5), 0.0, 0.0])
    assert fixed_place == pytest.approx(np.log1p([0, 2, 1, 0]))
    assert towers == pytest.approx([-np.sqrt(0.5), -np.sqrt(0.5), np.sqrt(2.0), 0.0])
    assert towers_place == pytest.approx(np.log1p([1, 2, 0, 0]))  # equal ones in the order of retrieval


def test_a_flat_opinion_says_nothing():
    asked = Opinions({"fixed": Constant(np.ones(4, dtype=np.float32))})
    found = np.array([[2, 0, 1], [-1, -1, -1]], dtype=np.int32)
    said = asked.of(cases_of([[3], []], 4), slice(0, 2), found, np.zeros((2, 3), dtype=np.float32))
    assert (said[:, :, 2] == 0).all()
    assert (said[1] == 0).all()


@pytest.mark.parametrize("ordered", [True, False])
def test_every_model_of_the_panel_has_its_columns(ordered):
    rows = np.array([0, 1, 2, 3, 1, 2, 3, 0, 2, 3, 0, 1], dtype=np.int32)
    log = group(np.repeat([1, 2, 3], 4), rows, np.tile(np.arange(4), 3), 5, ordered=ordered)
    models = panel(ordered=ordered, max_ease_videos=4)
    cases = cases_of([log.history(1), log.history(2)], 5)
    found = np.array([[4, 2], [3, 1]], dtype=np.int32)
    said = Opinions.fit(models, log).of(cases, slice(0, 2), found, np.ones((2, 2), dtype=np.float32))
    assert said.shape == (2, 2, len(columns(models)))
    assert np.isfinite(said).all()


def test_models_of_a_set_have_tuned_settings():
    tuned = {"ials": {"alpha": 16.0, "decay": 1.0}, "popularity": {}}
    models = panel(ordered=False, max_ease_videos=4, tuned=tuned)
    assert models["ials"] == Ials(alpha=16.0, decay=1.0)
    assert models["ease"] == Ease(max_videos=4, decay=1.0)
