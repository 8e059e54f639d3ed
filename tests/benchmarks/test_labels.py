import xml.etree.ElementTree as ET

import numpy as np

from benchmarks import labels


def test_reliability_is_the_true_share_by_what_was_said():
    said = np.array([0.01, 0.02, 0.5, 0.5, 0.5, 0.95, 1.0])
    truth = np.array([False, False, True, True, False, True, True])
    assert labels.reliability(said, truth) == {
        "true where 0 to 0.05": 0.0,
        "true where 0.4 to 0.6": 2 / 3,
        "true where 0.95 to 1": 1.0,
    }


def test_the_figure_draws_what_was_measured():
    interval = {"mean": 0.8, "low": 0.7, "high": 0.9}
    gains = {f"model − {other}.accuracy": interval for other in ("independent", "majority", "best function")}
    drawn = ET.fromstring(labels.figure({"kids": {**gains, "true where 0.8 to 0.95": interval}}))
    assert len(drawn.findall("{http://www.w3.org/2000/svg}circle")) == 3 + 1 + 2
