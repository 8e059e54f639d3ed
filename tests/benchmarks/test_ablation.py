import numpy as np

from benchmarks.ablation import Hidden, hidden_groups, table
from core import rng
from features.schema import FeatureBatch, FeatureSchema, ViewerPart
from pipelines.evaluation.leaderboard import GIVEN_RETRIEVED, MAIN

SCHEMA = FeatureSchema(
    viewer_dense=("clicks",), viewer_codes=("age", "hour"), viewer_code_sizes=(3, 24), video_dense=("video_ctr", "video_age"),
    cross_dense=("match",), cross_codes=("age_x_category",), cross_code_sizes=(9,), history_length=2, content_size=0,
    video_code_sizes=(1, 1, 1),
)  # fmt: skip


def batch() -> FeatureBatch:
    viewer = ViewerPart(np.ones((1, 1)), np.ones((1, 2), dtype=np.int32), np.array([[4, 5]]), np.ones((1, 2)), ())
    return FeatureBatch(viewer, np.array([[7, 8]]), np.ones((1, 2, 2)), np.ones((1, 2, 1)), np.ones((1, 2, 1), dtype=np.int32))


def test_each_group_hides_itself_and_nothing_else() -> None:
    left = {}
    for hidden in hidden_groups(SCHEMA):
        seen = hidden.batch(batch())
        numbers = (seen.viewer.dense_BF, seen.viewer.codes_BC, seen.video_dense_BKF, seen.cross_dense_BKF, seen.cross_codes_BKC)
        left[hidden.name] = (*(int(x.sum()) for x in numbers), seen.viewer.history_BL.tolist() == [[4, 5]])
    assert left == {
        "nothing": (1, 2, 4, 2, 2, True),
        "viewer numbers": (0, 2, 4, 2, 2, True),
        "attributes, context": (1, 0, 4, 2, 2, True),
        "video counters": (1, 2, 2, 2, 2, True),
        "video age and length": (1, 2, 2, 2, 2, True),
        "match with history": (1, 2, 4, 0, 2, True),
        "crossed codes": (1, 2, 4, 2, 0, True),
        "history": (1, 2, 4, 2, 2, False),
        "score of the towers": (1, 2, 4, 2, 2, True),
    }
    assert Hidden("towers", SCHEMA, affinity=True).scores(np.ones(3)).sum() == 0
    assert Hidden("nothing", SCHEMA).scores(np.ones(3)).sum() == 3


def test_a_group_that_matters_is_told_from_one_that_does_not() -> None:
    full = rng.stream(0, "full").random((2, 300))
    full[:, ::10] = np.nan
    noise = rng.stream(1, "noise").normal(0, 0.1, (2, 300))
    found = {name: {MAIN: np.nan_to_num(x), GIVEN_RETRIEVED: x} for name, x in (
        ("nothing", full), ("useless", full + noise), ("useful", full - 0.2 + noise),
    )}  # fmt: skip
    rows = {row["hidden"]: row for row in table(found, np.arange(300))}
    assert "difference" not in rows["nothing"][MAIN]
    assert rows["useful"][GIVEN_RETRIEVED]["q"] < 0.001 < 0.05 < rows["useless"][GIVEN_RETRIEVED]["q"]
    assert abs(rows["useful"][GIVEN_RETRIEVED]["difference"]["mean"] + 0.2) < 0.02
