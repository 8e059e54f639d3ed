from xml.etree import ElementTree

import numpy as np

from benchmarks.indexes import Contender, _ours, compare, picture
from core import rng


def test_a_contender_that_finds_too_little_is_not_among_the_best():
    vectors = rng.stream(1, "vectors").normal(size=(600, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    blind = Contender("blind", lambda vectors, k: lambda query, effort: np.arange(k), (0,))
    result = compare(vectors, vectors[:300], 100, [Contender("exact", lambda v, k: _ours(v, k, "exact"), (0,)), blind])
    assert result["indexes"]["exact"]["points"][0]["recall@100"] == 1.0
    assert 0.1 < result["indexes"]["blind"]["points"][0]["recall@100"] < 0.25  # by chance 100 of 600
    assert list(result["best"]) == ["exact"]
    assert result["gap"] == {"fastest": "exact", "served": "exact", "times": 1.0}


def test_a_picture_holds_what_finds_enough():
    points = [{"recall@100": 0.5, "per_s": 9_000.0}, {"recall@100": 0.95, "per_s": 800.0}, {"recall@100": 1.0, "per_s": 90.0}]
    drawn = ElementTree.fromstring(picture({"videos": 1_000, "k": 5, "indexes": {"lists": {"points": points}}}))
    dots = [dot.attrib for dot in drawn.iter("{http://www.w3.org/2000/svg}circle")]
    assert len(dots) == 2  # .5 is not worth a place
    assert float(dots[0]["cx"]) < float(dots[1]["cx"])  # further right finds more
    assert float(dots[0]["cy"]) < float(dots[1]["cy"])  # further up is faster
