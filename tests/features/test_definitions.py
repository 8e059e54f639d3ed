import dataclasses

import numpy as np

from core import columns as c
from features import kinds as k
from features.definitions import default_definitions, length_bucket, schema_hash
from tests.features import logs

DEFINITIONS = default_definitions()
SCHEMA = DEFINITIONS.schema(logs.catalogue(), logs.viewers())


def test_names_are_unique():
    names = [feature.name for feature in DEFINITIONS]
    assert len(names) == len(set(names))
    assert all(feature.description for feature in DEFINITIONS)


def test_every_kind_is_used():
    used = {type(feature) for feature in default_definitions(shelved=True)}
    declared = {value for value in vars(k).values() if isinstance(value, type) and issubclass(value, k.Feature)}
    assert used == declared - {k.Feature}


def test_schema():
    assert SCHEMA.viewer_codes == (*c.VIEWER_ATTRIBUTES, "hour", "weekday")
    assert SCHEMA.viewer_code_sizes == (3, 2, 2, 4, 3, 2, 24, 7)
    assert SCHEMA.video_code_sizes == (4, 5, 3)
    assert SCHEMA.cross_code_sizes == (3 * 4, 3 * 6, 4 * 4)
    assert (SCHEMA.history_length, SCHEMA.content_size) == (50, 8)


def test_hash_changes_with_names_sizes_and_declarations():
    same = schema_hash(DEFINITIONS.schema(logs.catalogue(), logs.viewers()))
    assert schema_hash(SCHEMA) == same
    assert len(same) == 16
    larger = dataclasses.replace(SCHEMA, content_size=9)
    longer = dataclasses.replace(DEFINITIONS, history=dataclasses.replace(DEFINITIONS.history, n=60))
    assert len({same, schema_hash(larger), schema_hash(SCHEMA, longer)}) == 3


def test_who_owns_a_feature_does_not_change_what_it_means():
    owned = dataclasses.replace(DEFINITIONS, history=dataclasses.replace(DEFINITIONS.history, owner="somebody else"))
    assert schema_hash(SCHEMA, owned) == schema_hash(SCHEMA)


def test_a_release_is_read_with_the_features_it_was_trained_with():
    before = dataclasses.replace(DEFINITIONS, viewer=DEFINITIONS.viewer[:-2], cross=DEFINITIONS.cross[1:])
    old = before.schema(logs.catalogue(), logs.viewers())
    assert DEFINITIONS.of(dataclasses.asdict(old)) == before
    assert DEFINITIONS.of(dataclasses.asdict(SCHEMA)) == DEFINITIONS
    assert DEFINITIONS.of({}).viewer == ()


def test_length_buckets():
    assert length_bucket(np.array([0, 1, 59, 60, 239, 240, 1799, 1800, 9e9])).tolist() == [0, 1, 1, 2, 2, 3, 4, 5, 5]
