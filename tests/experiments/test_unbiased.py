import numpy as np
import pytest

from experiments.unbiased import rates


def test_weights_undo_a_personal_selection():
    # Two kinds of viewers, equally many; video 0 is shown nine times out of ten to those who like it.
    action, reward = np.array([0] * 9 + [1] + [0] + [1] * 9), np.array([1.0] * 9 + [0] + [0] + [1] * 9)
    propensity = np.array([0.9] * 9 + [0.1] + [0.1] + [0.9] * 9)
    assert rates(action, reward, 2) == pytest.approx([0.9, 0.9])
    assert rates(action, reward, 2, propensity) == pytest.approx([0.5, 0.5])


def test_a_video_never_shown_has_no_rate():
    assert rates([0, 0], [0, 1], 2, [0.5, 0.25])[0] == pytest.approx(4 / 6)
    assert np.isnan(rates([0, 0], [0, 1], 2)[1])
