"""One release in service: its recommender, the online state that this reads, and the way fresh events reach that state.

Made once per release and process. The state starts from the release (the store is filled with its viewers) and continues with
the event log after `loaded.log_offset`, where `LiveRelease.consumer` starts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from core.errors import ReleaseRefused
from core.event_log import EventLog
from core.policy import Request
from experiments.config import ExperimentsConfig
from features.online import OnlineFeatures
from features.store import OnlineStore
from serving.activity import LiveActivity
from serving.arms import ArmRecommender, Base
from serving.config import ServingConfig
from serving.consumer import Consumer, MemoryOffset, Offset
from serving.recommender import Recommender
from serving.releases import LoadedRelease
from serving.suppressed import Suppressed

_TRIALS = 3
"""Pages tried: a busy machine may miss the store's few milliseconds once, a broken part fails every time."""


@dataclass(frozen=True)
class LiveRelease:
    """What answers requests, and what feeds it."""

    loaded: LoadedRelease
    recommender: Recommender | ArmRecommender
    features: OnlineFeatures
    suppressed: Suppressed
    base: Base
    """What arms are made from."""
    writes_store: bool = True
    """Whether this process applies events to the store; of several that share one, exactly one does."""

    def among(self, experiments: ExperimentsConfig, challengers: "Mapping[str, LiveRelease] | None" = None) -> ArmRecommender:
        """Its policy while experiments run; `challengers` are the other releases that arms name. Cheap: nothing is loaded.

        Raises:
            ReleaseRefused: see ArmRecommender.
        """
        return ArmRecommender(experiments, self.base, {name: other.base for name, other in (challengers or {}).items()})

    def apply(self, events: pa.Table) -> None:
        """Take in events in log order. Raises StoreUnavailable; apply the same events again then."""
        self.suppressed.apply(events)
        self.features.apply(events, to_store=self.writes_store)

    def consumer(self, log: EventLog, offset: Offset | None = None) -> Consumer:
        """A consumer that continues where the release's states end, or at `offset` for a store that is further."""
        return Consumer(log, self.apply, offset or MemoryOffset(self.loaded.log_offset), poll_s=self.loaded.config.poll_s)


def go_live(
    loaded: LoadedRelease,
    store: OnlineStore,
    *,
    fill_store: bool = True,
    writes_store: bool = True,
    config: ServingConfig | None = None,
    experiments: ExperimentsConfig | None = None,
    challengers: Mapping[str, LiveRelease] | None = None,
) -> LiveRelease:
    """Put a release into service.

    Args:
        loaded: its parts; its video state is fed from now on.
        store: viewers' states.
        fill_store: load the release's viewer states into the store; False where another process did.
        writes_store: see LiveRelease.
        config: instead of the release's own.
        experiments: what runs; every request gets the arm of its viewer.
        challengers: releases in service that its arms name; each has a store and a consumer of its own.

    Raises:
        StoreUnavailable: the store could not be filled.
        ReleaseRefused: a trial request found a part that does not work, or an arm overrides something that does not exist.
    """
    if fill_store:
        store.load(loaded.viewer_states())
    features = OnlineFeatures(loaded.definitions, loaded.catalogue, loaded.viewers, store, loaded.video_state)
    suppressed = Suppressed(loaded.catalogue)
    base = _base(loaded, features, suppressed, config or loaded.config)
    live = LiveRelease(loaded, base.build(base.config), features, suppressed, base, writes_store)
    if experiments is not None:
        live = replace(live, recommender=live.among(experiments, challengers))
    _try(live.recommender, loaded)
    return live


def _base(loaded: LoadedRelease, features: OnlineFeatures, suppressed: Suppressed, config: ServingConfig) -> Base:
    activity = LiveActivity(loaded.video_state)

    def build(chosen: ServingConfig) -> Recommender:
        return loaded.recommender(features, videos=activity, config=chosen, suppressed=suppressed)

    return Base(config, build)


def _try(recommender: Recommender | ArmRecommender, loaded: LoadedRelease) -> None:
    """One page: it warms every part up, and a part that fails shows here, not to a viewer."""
    if not len(loaded.catalogue):
        raise ReleaseRefused("the release has no videos; check the log it was trained from")
    viewer_id = int(loaded.viewers.viewer_ids[0]) if len(loaded.viewers) else 0
    for _ in range(_TRIALS):
        slate = recommender.recommend([Request("trial", viewer_id, loaded.end_at + 1, k=10)])[0]
        broken = [reason for reason in slate.degraded if "right now" in reason or "no valid score" in reason]
        if not broken:
            return
    raise ReleaseRefused(f"the release does not work: {'; '.join(broken)}")
