import numpy as np

from ranking import config
from ranking.layout import candidate_codes, candidate_numbers, layout, viewer_codes
from tests.ranking import planted


def test_widths_and_offsets():
    truth = planted.world(60)
    columns = layout(truth.schema, config.RankerConfig(video_dim=8, code_dim=4))
    assert columns.viewer_width == 2 + 8 + 8 * 4
    assert columns.candidate_numbers == 1 + 2 + 1 + 4
    assert columns.candidate_width == 8 + 8 + 4 * 4
    assert columns.viewer_offsets == (0, 4, 7, 12, 15, 18, 20, 44)
    assert columns.candidate_offsets == (51, 51 + 6, 51 + 6 + 18, 51 + 6 + 18 + 2)
    assert columns.num_codes == 51 + 6 + 18 + 2 + 20


def test_columns_are_where_the_top_of_the_file_says():
    truth = planted.world(60)
    columns = layout(truth.schema, config.tiny())
    batch = truth.batch(np.random.default_rng(0), np.array([[3, 5], [7, 3]]))
    affinity = np.array([[0.1, 0.2], [0.3, 0.4]], dtype=np.float32)
    numbers = candidate_numbers(batch, affinity, truth.videos)
    assert (numbers[..., 0] == affinity).all()
    assert (numbers[..., 1:3] == batch.video_dense_BKF).all()
    assert (numbers[..., 3:4] == batch.cross_dense_BKF).all()
    assert (numbers[..., 4:] == truth.videos.content[batch.video_BK]).all()
    codes = candidate_codes(batch, truth.videos, columns)
    assert (codes[0, 0, :3] - columns.candidate_offsets[:3] == truth.videos.codes[3]).all()
    assert (codes[..., 3] - columns.candidate_offsets[3] == batch.cross_codes_BKC[..., 0]).all()
    assert (viewer_codes(batch, columns) - columns.viewer_offsets == batch.viewer.codes_BC).all()


def test_no_two_fields_share_a_row():
    truth = planted.world(60)
    columns = layout(truth.schema, config.tiny())
    starts = (*columns.viewer_offsets, *columns.candidate_offsets)
    assert len(set(starts)) == len(starts)
    sizes = (*truth.schema.viewer_code_sizes, *truth.schema.video_code_sizes, *truth.schema.cross_code_sizes)
    assert [b - a for a, b in zip(starts, (*starts[1:], columns.num_codes), strict=True)] == list(sizes)
