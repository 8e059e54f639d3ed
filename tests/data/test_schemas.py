import pandera.errors
import polars as pl
import pytest

from core import columns as c
from data import schemas
from data.schemas import KEYS

FAULTS = {
    "events": [
        (c.KIND, "peek"),
        (c.EVENT_AT, -5),
        (c.RECEIVED_AT, 0),
        (c.VIEWER_ID, None),
        (c.VIDEO_ID, -1),
        (c.VIDEO_ID, None),
        (c.POSITION, -1),
        (c.VALUE, float("nan")),
        (c.VALUE, -3.0),
        (c.VALUE, None),
        (c.PROPENSITY, 1.5),
        (c.REQUEST_ID, None),
    ],
    "viewers": [(c.VIEWER_ID, -1), (c.COUNTRY, None)],
    "videos": [(c.DURATION_S, float("inf")), (c.UPLOADED_AT, -1), (c.TITLE, None), (c.CONTENT, [float("nan")])],
}


def verdict_of_pandera(table, frame):
    """Rule → broken rows, as pandera itself finds them; uniqueness is no row rule."""
    found = {}
    try:
        schemas.schema(table).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        for error in errors.schema_errors:
            if error.check == "field_uniqueness":
                continue
            name = getattr(error.schema, "name", None)
            what = "is never empty" if error.check == "not_nullable" else error.check.error
            found[f"{name} {what}" if name else what] = len(error.failure_cases)
    return found


@pytest.mark.parametrize(("table", "fault"), [(table, fault) for table in FAULTS for fault in FAULTS[table]])
@pytest.mark.parametrize("rows", [1, 2])
def test_the_rules_and_pandera_agree(dataset, table, fault, rows):
    frame, (column, value) = getattr(dataset, table), fault
    hit = (
        pl.int_range(pl.len()) >= pl.len() - rows
        if table == "events" and column != c.REQUEST_ID
        else pl.int_range(pl.len()) < rows
    )
    wrong = pl.when(hit).then(pl.lit(value, dtype=frame.schema[column])).otherwise(pl.col(column))
    broken = frame.with_columns(wrong.alias(column))
    ours = {rule.what: broken.select(rule.broken.sum()).item() for rule in schemas.rules(schemas.schema(table))}
    assert {what: count for what, count in ours.items() if count} == verdict_of_pandera(table, broken)


def test_nothing_is_wrong_with_a_good_dataset(dataset):
    for table in KEYS:
        frame = getattr(dataset, table)
        assert verdict_of_pandera(table, frame) == {}
        assert (
            frame.select(rule.broken.any().alias(rule.what) for rule in schemas.rules(schemas.schema(table))).row(0).count(True)
            == 0
        )
