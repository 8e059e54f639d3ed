import io

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from core import columns as c
from core import rng
from core.clock import DAY_MS, HOUR_MS
from core.ragged import Ragged
from data import dataset as datasets
from data.catalogue import Catalogue, ViewerTable
from pipelines.evaluation import slices
from pipelines.evaluation.cases import Cases, HeldOut


def planted(n: int = 600) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, np.ndarray]]:
    """A model that is better by .3 for "old" viewers and as good for the others; the second label means nothing."""
    random = rng.stream(0, "slices")
    baseline = random.random(n)
    old = np.arange(n) % 2 == 0
    model = baseline + 0.3 * old + random.normal(0, 0.2, n)
    labels = {"age": np.where(old, "old", "young"), "coin": np.where(random.random(n) < 0.5, "heads", "tails")}
    return {"new": model, "base": baseline}, np.arange(n) // 2, labels


def test_a_planted_difference_is_found_where_it_is() -> None:
    values, viewers, labels = planted()
    found = {row.value: row for row in slices.compare(values, viewers, labels, metric="ndcg@10").slices}
    assert found["old"].difference.mean == pytest.approx(0.3, abs=0.03)
    assert found["old"].q < 1e-6
    assert found["young"].q > 0.05
    assert found["young"].difference.low < 0 < found["young"].difference.high
    assert found["old"].model.mean - found["old"].baseline.mean == pytest.approx(found["old"].difference.mean)
    assert (found["old"].cases, found["old"].viewers) == (300, 300)


def test_small_slices_are_counted_and_nothing_more() -> None:
    values, viewers, labels = planted()
    rare = np.where(np.arange(600) < 99, "rare", "common")
    found = slices.compare(values, viewers, {**labels, "size": rare}, metric="ndcg@10")
    assert found.too_small == (("size", "rare", 99),)
    assert "rare" not in {row.value for row in found.slices}


def test_many_slices_without_a_difference_stay_quiet() -> None:
    """Forty slices of noise: uncorrected, two would pass for real."""
    random = rng.stream(1, "slices")
    labels = {f"coin {i}": np.where(random.random(2_000) < 0.5, "heads", "tails") for i in range(20)}
    values = {"a": random.random(2_000), "b": random.random(2_000)}
    rows = slices.compare(values, np.arange(2_000), labels, metric="hr@10").slices
    assert len(rows) == 40
    assert min(row.q for row in rows) > 0.05
    assert all(row.q >= row.difference.p for row in rows)


def held_out() -> HeldOut:
    """Viewer 1 twice and a stranger; histories of 0, 2 and 5 clicks; targets 0, 1, 2."""
    cases = Cases(
        viewer_ids=np.array([1, 1, 9]),
        at=np.array([100 * DAY_MS, 100 * DAY_MS + 7 * HOUR_MS, 100 * DAY_MS + 23 * HOUR_MS]),
        histories=Ragged.of([[], [0, 0], [0, 0, 1, 1, 1]]),
        warm=np.array([True, True, False]),
        uploaded_at=np.array([99 * DAY_MS, 60 * DAY_MS, 0]),
    )
    return HeldOut(cases, Ragged.of([[0], [1], [2]]))


def test_labels_of_viewers_targets_and_hours() -> None:
    videos = pl.DataFrame(
        {
            c.VIDEO_ID: [1, 2, 3], c.EXTERNAL_ID: ["1", "2", "3"], c.TITLE: ["a", "b", "c"], c.CHANNEL_ID: [0, 0, 0],
            c.CHANNEL: ["x"] * 3, c.CATEGORY: ["music", "news", "news"], c.LANGUAGE: ["en"] * 3,
            c.UPLOADED_AT: [99 * DAY_MS, 60 * DAY_MS, None],
        }
    )  # fmt: skip
    viewers = pl.DataFrame({c.VIEWER_ID: [1], c.EXTERNAL_ID: ["1"], **{name: ["some"] for name in c.VIEWER_ATTRIBUTES}})
    catalogue = Catalogue.of(datasets.conform(videos, c.VIDEOS))
    found = slices.label(held_out(), catalogue, ViewerTable.of(datasets.conform(viewers, c.VIEWERS)))
    assert found["activity"].tolist() == ["new", "light (1 to 3)", "heavy (from 4)"]
    assert found["age band"].tolist() == ["some", "some", "unknown"]
    assert found["category"].tolist() == ["music", "news", "news"]
    assert found["video age"].tolist() == ["up to 1 day", "older", "unknown"]
    assert found["hour (UTC)"].tolist() == ["00-05", "06-11", "18-23"]
    assert set(slices.label(held_out())) == {"activity"}


def test_as_a_table_and_as_json() -> None:
    values, viewers, labels = planted()
    found = slices.compare(values, viewers, labels, metric="ndcg@10")
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(found.to_table())
    text = console.export_text()
    assert all(word in text for word in ("new − base", "old", "+0.3", "[+0."))
    row = found.to_json()["slices"][0]
    assert (row["by"], row["difference"]["mean"] > 0.25) == ("age", True)
