"""Recorded pages decided again, later and in another process: as they were, or under other settings.

    records of a space → by release → each page again from its candidates and utilities → how like the page that was shown?
                                    → the odds of the page shown, now over then         → what would have been clicked?

As they were, every page must come out the same, with the same propensities: that is what a record promises
(`serving.counterfactual`). Other settings of the re-ranker or of exploration say what they would have changed, and by the slate
estimators of `experiments.ope` what they would have earned, or why the log cannot tell; candidates and utilities are those of
the time, so nothing else can be asked. The settings behind a page are found by its arm in `experiments.toml` and checked by
their fingerprint; where they, its release or an upload on it are gone, the page is counted and left out.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import config as configs
from core import events as ev
from core.errors import BadInput, ConfigError, ReleaseRefused
from experiments import ope, served
from experiments.assignment import HOLDOUT
from experiments.config import ExperimentsConfig
from experiments.shadow import overlap, rank_biased_overlap
from features.memory_store import MemoryStore
from pipelines.ingest import live_events
from pipelines.spaces import Space
from serving import counterfactual, odds
from serving.config import ServingConfig
from serving.fresh_videos import GrowingRelease
from serving.live import LiveRelease, go_live
from serving.releases import load_release
from serving.witness import again

ASKABLE = ("exploration.", "rerank.")
"""Settings that decide a page after its candidates were scored."""
NO_RELEASE = "its release is gone"
OTHER_SETTINGS = "the settings that served it are no longer in experiments.toml"
NO_UPLOAD = "an upload among its candidates is no longer in the log"
NO_SPREAD = "it was not recorded under Thompson sampling"
_ROUNDING = 1e-6
"""Records keep propensities in 32 bits."""

Floats = NDArray[np.float64]
Clicks = set[tuple[str, int]]
"""(request, video)"""


@dataclass(frozen=True)
class Replayed:
    """The records of one release."""

    release_id: str
    records: int
    """With candidates."""
    decided: int
    """Those that could be decided again."""
    same: int
    """… and gave the page that was shown, with its propensities."""
    overlap: float
    """Mean share of the page in common with the page shown; nan where none was decided."""
    rbo: float
    """Mean rank-biased overlap with it."""
    left_out: Mapping[str, int]
    """Why pages could not be decided, and how many."""


@dataclass(frozen=True)
class Answer:
    """What the records say."""

    releases: tuple[Replayed, ...]
    value: ope.Report | None
    """Clicks a page under the settings; None of fewer than two pages."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; nan becomes null."""
        plain = [{k: None if v != v else v for k, v in asdict(one).items()} for one in self.releases]
        return {"releases": plain, "clicks": None if self.value is None else self.value.to_json()}


@dataclass(frozen=True)
class _Page:
    """One page of k slots, decided again."""

    same: bool
    overlap: float
    rbo: float
    weight_K: Floats
    """Of the page shown: the odds of each slot's video under these settings, over those it had."""
    reward_K: Floats
    """Clicked or not, of the page shown."""


def replay(
    space: Space, settings: Sequence[str] = (), advance: Callable[[float, str], None] = lambda share, note: None
) -> Answer:
    """Decide every recorded page of a space again.

    Args:
        space: whose records.
        settings: `section.key=value` overrides of what served each page; without any, pages must be the same.
        advance: hears of progress.

    Raises:
        BadInput: there is no record with candidates.
        ConfigError: a setting that a record cannot answer.
    """
    for setting in settings:
        if not setting.startswith(ASKABLE):
            raise ConfigError(
                f"'{setting}' acts before a page's candidates are scored; a record answers {' and '.join(ASKABLE)}"
            )
    configs.override(ServingConfig(), settings)
    records = counterfactual.read(space.path, candidates=True).filter(pl.col("rows").list.len() > 0)
    if not len(records):
        raise BadInput(f"no page of '{space.name}' was recorded; set `record` in {served.EXPERIMENTS} and serve")
    experiments, clicks = served.read(space.path) or ExperimentsConfig(), _clicks(space, records)
    found, pages = list[Replayed](), list[_Page]()
    for (release_id,), part in records.group_by(c.RELEASE_ID, maintain_order=True):
        live = _opened(space, str(release_id))
        said = [_decided(live, row, experiments, settings, clicks) for row in part.iter_rows(named=True)]
        found.append(_replayed(str(release_id), said))
        pages += [page for page in said if isinstance(page, _Page)]
        advance(sum(each.records for each in found) / len(records), str(release_id))
    return Answer(tuple(found), _value(pages) if len(pages) > 1 else None)


def _clicks(space: Space, records: pl.DataFrame) -> Clicks:
    """Those of recorded pages."""
    asked = (pl.col(c.KIND) == ev.CLICK) & pl.col(c.REQUEST_ID).is_in(records[c.REQUEST_ID].implode())
    frames = (frame.filter(asked).select(c.REQUEST_ID, c.VIDEO_ID) for frame in live_events(space)[0])
    return {pair for frame in frames for pair in frame.iter_rows()}


def _opened(space: Space, release_id: str) -> LiveRelease | None:
    """The release with the uploads that came while it served, in the rows that they had; None where it cannot be opened."""
    try:
        growing = GrowingRelease(go_live(load_release(space.releases, release_id), MemoryStore(), fill_store=False))
    except ReleaseRefused:
        return None
    for events in live_events(space, growing.live.loaded.log_offset)[0]:
        growing.apply(events.filter(pl.col(c.KIND).is_in([ev.UPLOAD, ev.REMOVE])).to_arrow().cast(c.EVENTS))
    return growing.live


def _decided(
    live: LiveRelease | None, row: Mapping[str, Any], experiments: ExperimentsConfig, settings: Sequence[str], clicks: Clicks
) -> _Page | str:
    """One page, or why it cannot be decided."""
    if live is None:
        return NO_RELEASE
    before = _settings_of(live.base.config, row, experiments)
    if before is None:
        return OTHER_SETTINGS
    if max(row["rows"]) >= len(live.loaded.catalogue):
        return NO_UPLOAD
    config, (request, note) = configs.override(before, settings), counterfactual.noted(row)
    if config.exploration.kind != "thompson":
        note = replace(note, spread_K=None)
    elif note.spread_K is None:
        return NO_SPREAD
    recommender, shown = live.base.build(config), np.asarray(row["shown"], dtype=np.int64)
    chance = before.exploration.epsilon == 0 or counterfactual.by_chance(row)
    video_ids, page = again(recommender, request, note, chance=chance)
    then_K = np.asarray(row["propensities"], dtype=np.float32)
    same = video_ids.tolist() == row["shown"] and np.array_equal(page.propensities.astype(np.float32), then_K)
    weight_K = odds.of_page(recommender, request, note, shown, chance=chance) / then_K
    weight_K[np.abs(weight_K - 1) < _ROUNDING] = 1.0
    reward_K = np.array([(request.request_id, video) in clicks for video in row["shown"]], dtype=np.float64)
    return _Page(same, *_likeness(shown, video_ids), weight_K, reward_K)


def _settings_of(base: ServingConfig, row: Mapping[str, Any], experiments: ExperimentsConfig) -> ServingConfig | None:
    """What served a page, if the release and the experiments of today say so."""
    arms = dict(part.split(":") for part in row[c.ARM].split("+") if ":" in part)
    own = [setting for e in experiments.experiments for arm in e.arms if arms.get(e.name) == arm.name for setting in arm.set]
    try:
        found = configs.override(base, experiments.holdout_set if row[c.ARM] == HOLDOUT else own)
    except ConfigError:
        return None
    return found if configs.fingerprint(found) == row["policy"] else None


def _likeness(*pages: NDArray[np.int64]) -> tuple[float, float]:
    """Overlap and rank-biased overlap of two pages."""
    width = max(1, *map(len, pages))
    first, second = (np.pad(page, (0, width - len(page)), constant_values=-1)[None] for page in pages)
    return float(overlap(first, second)[0]), float(rank_biased_overlap(first, second)[0])


def _replayed(release_id: str, said: Sequence[_Page | str]) -> Replayed:
    pages = [page for page in said if isinstance(page, _Page)]
    return Replayed(
        release_id=release_id,
        records=len(said),
        decided=len(pages),
        same=sum(page.same for page in pages),
        overlap=_mean([page.overlap for page in pages]),
        rbo=_mean([page.rbo for page in pages]),
        left_out=dict(Counter(why for why in said if isinstance(why, str))),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else np.nan


def _value(pages: Sequence[_Page]) -> ope.Report:
    width = max(len(page.weight_K) for page in pages)
    reward_NK, weight_NK = np.zeros((len(pages), width)), np.ones((len(pages), width))
    for page, reward, weight in zip(pages, reward_NK, weight_NK, strict=True):
        reward[: len(page.reward_K)], weight[: len(page.weight_K)] = page.reward_K, page.weight_K
    return ope.evaluate_pages(reward_NK, weight_NK)
