import numpy as np
import pytest

from core.clock import DAY_MS
from core.errors import BadInput
from data.world import config as worlds
from data.world import simulate
from pipelines import presets
from pipelines.evaluation import backtesting
from pipelines.evaluation.backtesting import Log, window


@pytest.fixture(scope="module")
def log() -> Log:
    return Log.of(simulate.generate(worlds.tiny()))


def test_a_window_holds_what_happened_in_it(log: Log) -> None:
    begin, end = np.quantile(log.clicks.at, [0.3, 0.6]).astype(int)
    found = window(log.clicks, begin, end)
    assert found.at.min() >= begin
    assert found.at.max() < end
    assert len(found) == ((log.clicks.at >= begin) & (log.clicks.at < end)).sum()


@pytest.mark.parametrize("model", ["popularity", "markov", "two_tower"])
def test_every_origin_is_measured(log: Log, model: str) -> None:
    found = backtesting.run(log, model, presets.tiny(), origins=2, test_ms=DAY_MS, gap_ms=DAY_MS // 4)
    assert [origin.cut.test_from - origin.cut.train_until for origin in found.origins] == [DAY_MS // 4] * 2
    for origin in found.origins:
        assert 0.0 < origin.metrics["hr@10"].mean < 1.0
        assert origin.metrics["hr@10"].low < origin.metrics["hr@10"].mean


def test_popularity_depends_on_nothing_but_its_window(log: Log) -> None:
    """Clicks outside a cut's window do not move its figure."""
    full = backtesting.run(log, "popularity", presets.tiny(), origins=3, test_ms=DAY_MS, window_ms=4 * DAY_MS)
    again = backtesting.run(log, "popularity", presets.tiny(), origins=2, test_ms=DAY_MS, window_ms=4 * DAY_MS)
    assert [o.metrics["ndcg@10"].mean for o in full.origins[1:]] == [o.metrics["ndcg@10"].mean for o in again.origins]


def test_an_unknown_model_is_named(log: Log) -> None:
    with pytest.raises(BadInput, match="no model 'magic' to backtest; known: popularity"):
        backtesting.run(log, "magic", presets.tiny(), origins=2, test_ms=DAY_MS)
