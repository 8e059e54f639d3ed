"""Training in the laboratory: the first release from the history, then every week a next one, warm-started.

    ranker of week w   on the impressions and clicks of that week, with the affinity of the very vectors that served it; they
                       were trained before, so it is out of sample
    towers             go on from last week's, over the latest clicks
    release            written and opened as in production (`pipelines.releases.bundle`, `serving.releases`)

What an arm may learn from: everything; a holdout arm only from the history and from pages filled by chance. For a corrected arm
the ranker's rows are drawn with replacement in proportion to min(1 / propensity, most) (sampling importance resampling, Rubin
1987), which in expectation weighs its loss that way. Propensities are given the slots above, so this corrects which video is
shown, not which slots viewers look at: that is the position bias's business.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import save_file
from safetensors.torch import load_file

from core import columns as c
from core import events as ev
from core import rng
from core.clock import DAY_MS
from core.errors import ConfigError
from data.catalogue import Catalogue, ViewerTable
from data.dataset import Dataset
from data.interactions import with_page
from data.splits import TimeSplit
from data.world.journal import HISTORY
from embeddings.id_tables import WHOLE
from pipelines import examples, fit
from pipelines.lab.config import Arm, LabConfig
from pipelines.lab.policies import HOLDOUT
from pipelines.presets import RunConfig
from pipelines.releases import bundle
from ranking import train as ranking
from ranking.batches import Impressions, RankingData
from retrieval import train as retrieval
from retrieval.towers import TwoTower
from serving.releases import LoadedRelease, open_files

RELEASE, TOWERS = "release", "towers.safetensors"
Rows = NDArray[np.int64]
_RANKER_SHARE = 0.3
"""Of the history, its end: what the first ranker learns from."""


@dataclass(frozen=True)
class Model:
    """What serves a week, and what the next training starts from."""

    loaded: LoadedRelease
    towers: TwoTower


def first(dataset: Dataset, config: LabConfig, run: RunConfig, folder: Path) -> None:
    """Train on the history as `upnext train` does, and write the files of the first release into `folder`.

    Raises:
        ConfigError: fewer rows than videos (`towers.ids`), which the files of towers do not keep.
    """
    if run.towers.ids.scheme != WHOLE:
        raise ConfigError(f"the laboratory goes on from files that hold a row per video; leave towers.ids.scheme at '{WHOLE}'")
    until = config.starts_at(1)
    ranker_from = until - int(_RANKER_SHARE * config.history_days * DAY_MS)
    material = _material(dataset, TimeSplit(ranker_from, until, until + 1))
    towers, ranker = fit.both(material, run)
    bundle.write(folder / RELEASE, material, towers, ranker, run, log_offset=0)
    _save_towers(towers, folder / TOWERS)


def next_release(dataset: Dataset, model: Model, arm: Arm, config: LabConfig, run: RunConfig, week: int, folder: Path) -> None:
    """Learn from week `week` and write the release of the one after it into `folder`.

    Args:
        dataset: everything received before the week's end, and the videos that the next release shall know.
        model: what served the week.
    """
    begin, until = config.starts_at(week), config.starts_at(week + 1)
    recent = replace(dataset, events=dataset.events.filter(pl.col(c.RECEIVED_AT) >= until - config.remember_days * DAY_MS))
    material = _material(recent, TimeSplit(begin, until, until + 1))
    lessons = _lessons(material, model, arm, config, run, (begin, until))
    ranker = ranking.train(run.ranker, material.schema, material.catalogue, lessons)
    allowed = _clicks(material, arm, (until - config.click_days * DAY_MS, until))
    towers = retrieval.train(
        run.continued_towers(),
        material.schema,
        material.catalogue,
        material.clicks.examples(allowed),
        warm_start=model.towers,
    )
    bundle.write(folder / RELEASE, replace(material, dataset=dataset), towers, ranker, run, log_offset=0)
    _save_towers(towers, folder / TOWERS)


def open_model(folder: Path, run: RunConfig) -> Model:
    """What `first` or `next_release` wrote."""
    loaded = open_files(folder / RELEASE, release_id=folder.name)
    towers, kept = TwoTower(run.towers, loaded.schema, loaded.catalogue), load_file(folder / TOWERS)
    towers.known_V = kept.pop("known").numpy()
    towers.content_scale = float(kept.pop("content_scale")[0])
    for name, sums in _accumulators(towers).items():
        sums.copy_(kept.pop(name))
    towers.load_state_dict(kept)
    return Model(loaded, towers.eval())


def _material(dataset: Dataset, split: TimeSplit) -> fit.Material:
    return fit.prepare(dataset, Catalogue.of(dataset.videos), ViewerTable.of(dataset.viewers), split)


def _lessons(
    material: fit.Material, model: Model, arm: Arm, config: LabConfig, run: RunConfig, window: tuple[int, int]
) -> RankingData:
    """The ranker's rows of a week, as the arm may see them."""
    encode, video_VD = model.loaded.encoder.encode, model.loaded.video_VD
    events = material.dataset.events
    shown = examples.impression_rows(events, material.catalogue, material.viewers, window, encode, video_VD)
    assert shown is not None, "a week has impressions"
    rows = lessons_of(_shown(events, window), arm, config, run.seed, "impressions")
    clicked = _clicks(material, arm, window)
    clicked = clicked[lessons_of(_asked(material)[clicked], arm, config, run.seed, "lists")]
    if len(clicked) > run.lists.max_lists:
        clicked = np.sort(rng.stream(run.seed, "lab lists").choice(clicked, run.lists.max_lists, replace=False))
    unknown = np.full(len(material.clicks), np.nan, dtype=np.float32)  # the impressions carry likes and dislikes
    nearest = model.loaded.index
    lists = examples.list_rows(material.clicks, clicked, encode, nearest, video_VD, run.lists, run.seed, (unknown, unknown))
    return RankingData(impressions=taken(shown, rows), lists=lists)


def _shown(events: pl.DataFrame, window: tuple[int, int]) -> pl.DataFrame:
    """Impressions of a week, in the order of `examples.impression_rows`."""
    here = (pl.col(c.KIND) == ev.IMPRESSION) & pl.col(c.RECEIVED_AT).is_between(*window, closed="left")
    return events.filter(here).unique([c.REQUEST_ID, c.VIDEO_ID], keep="first", maintain_order=True)


def _asked(material: fit.Material) -> pl.DataFrame:
    """The impression behind every click of `material.clicks`, in its order."""
    clicks = with_page(material.dataset.events).filter(pl.col(c.RECEIVED_AT) < material.split.test_from)
    clicks = clicks.filter(pl.Series(material.catalogue.rows(clicks[c.VIDEO_ID].fill_null(-1).to_numpy()) >= 0))
    pair = [c.REQUEST_ID, c.VIDEO_ID]
    shown = material.dataset.events.filter(pl.col(c.KIND) == ev.IMPRESSION).unique(pair, keep="first")
    known = [c.PROPENSITY, c.ARM, c.RELEASE_ID]
    found = clicks.select(pair).join(shown.select(*pair, *known), on=pair, how="left", maintain_order="left")
    assert len(found) == len(material.clicks), "one row per click"
    return found


def _clicks(material: fit.Material, arm: Arm, window: tuple[int, int]) -> Rows:
    """Positions of the clicks that an arm may learn from."""
    inside = material.clicks.between(*window)
    if not arm.holdout:
        return inside
    asked = _asked(material)
    allowed = (asked[c.ARM] == HOLDOUT) | (asked[c.RELEASE_ID] == HISTORY)
    return inside[allowed.fill_null(False).to_numpy()[inside]]


def lessons_of(rows: pl.DataFrame, arm: Arm, config: LabConfig, seed: int, purpose: str) -> Rows:
    """Which of the rows teach, by position."""
    if arm.holdout:
        return np.flatnonzero((rows[c.ARM] == HOLDOUT).fill_null(False).to_numpy())
    if not arm.corrected:
        return np.arange(len(rows))
    weight = np.minimum(1.0 / rows[c.PROPENSITY].fill_null(1.0).to_numpy(), config.max_weight)
    chosen = rng.stream(seed, "correction", purpose).choice(len(rows), len(rows), p=weight / weight.sum())
    return np.sort(chosen)


def taken(shown: Impressions, rows: Rows) -> Impressions:
    """Some rows, repeats welcome."""
    columns = {f.name: getattr(shown, f.name) for f in fields(shown)}
    arrays: dict[str, Any] = {name: values[rows] for name, values in columns.items() if isinstance(values, np.ndarray)}
    return replace(shown, features=lambda chosen: shown.features(rows[chosen]), **arrays)


def _accumulators(towers: TwoTower) -> dict[str, Any]:
    """What the fused tables remember of past gradients, by a name for the file; tensors of the model itself."""
    tables: Sequence[Any] = [part for part in (towers.video_tables, towers.viewer_tables) if part is not None]
    fused = [collection for table in tables for collection in table.collections if hasattr(collection, "accumulator")]
    return {f"sums/{name}": collection.accumulator(name) for collection in fused for name in collection.embedding_bags}


def _save_towers(towers: TwoTower, path: Path) -> None:
    """Everything that going on needs; `open_model` reads it."""
    tensors = towers.state_dict() | _accumulators(towers)
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    save_file(arrays | {"known": towers.known_V, "content_scale": np.array([towers.content_scale])}, path)
