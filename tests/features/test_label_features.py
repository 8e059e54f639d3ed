"""Labels of the catalogue as features: declared only where there are any, and read alike in training and service."""

from dataclasses import replace

import numpy as np
import polars as pl

from data.catalogue import LABEL
from features import offline
from features.definitions import default_definitions, schema_hash
from features.video_matrix import VideoMatrix
from features.video_state import VideoState
from tests.features import logs

PLAIN, VIEWERS, T = logs.catalogue(), logs.viewers(), logs.START_AT
LABELLED = replace(
    PLAIN, frame=PLAIN.frame.with_columns(pl.Series(LABEL + "kids", np.linspace(0, 1, logs.NUM_VIDEOS), dtype=pl.Float64))
)


def test_a_catalogue_without_labels_declares_what_it_always_did():
    assert default_definitions(PLAIN.labels) == default_definitions()
    with_labels = default_definitions(LABELLED.labels)
    assert [feature.name for feature in with_labels.video] == [*(f.name for f in default_definitions().video), "video_kids"]
    hashes = {schema_hash(d.schema(PLAIN, VIEWERS), d) for d in (default_definitions(), with_labels)}
    assert len(hashes) == 2


def test_training_and_service_read_the_same_label():
    rows, at = np.array([[3, 11]], dtype=np.int32), np.array([T])
    built = offline.build(logs.frame([]), LABELLED, VIEWERS, viewer_ids=np.array([1]), at=at, video_rows=rows)
    definitions = default_definitions(LABELLED.labels)
    served = VideoMatrix(definitions, LABELLED, VideoState.empty(LABELLED, definitions)).read(rows, at)
    assert built.schema.video_dense[-1] == "video_kids"
    np.testing.assert_array_equal(built.batch(np.array([0])).video_dense_BKF[0, :, -1], LABELLED.labels["kids"][[3, 11]])
    np.testing.assert_array_equal(served, built.video_dense(rows, at))
