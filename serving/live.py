"""One release in service: its recommender, the online state that this reads, and the way fresh events reach that state.

Made once per release and process. The state starts from the release (the store is filled with its viewers) and continues with
the event log after `loaded.log_offset`, where `LiveRelease.consumer` starts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import pyarrow as pa

from core.event_log import EventLog
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
from serving.verification import check_pages


@dataclass(frozen=True)
class LiveRelease:
    """What answers requests, and what feeds it."""

    loaded: LoadedRelease
    recommender: Recommender | ArmRecommender
    features: OnlineFeatures
    suppressed: Suppressed
    base: Base
    """What arms are made from."""
    store: OnlineStore
    policy: "Callable[[LiveRelease], Recommender | ArmRecommender]"
    """How the recommender is made from the rest."""
    writes_store: bool = True
    """Whether this process applies events to the store; of several that share one, exactly one does."""
    of_now: bool = False
    """See `go_live`."""

    def among(self, experiments: ExperimentsConfig, challengers: "Mapping[str, LiveRelease] | None" = None) -> ArmRecommender:
        """Its policy while experiments run; `challengers` are the other releases that arms name. Cheap: nothing is loaded.

        Raises:
            ReleaseRefused: see ArmRecommender.
        """
        return ArmRecommender(experiments, self.base, {name: other.base for name, other in (challengers or {}).items()})

    def over(self, loaded: LoadedRelease) -> "LiveRelease":
        """The same service over parts with more videos at their end; only the result may be fed from now on."""
        features = self.features.over(loaded.catalogue, loaded.video_state)
        suppressed = self.suppressed.over(loaded.catalogue)
        base = _base(loaded, features, LiveActivity(loaded.video_state, self.of_now), suppressed, self.base.config)
        grown = replace(self, loaded=loaded, features=features, suppressed=suppressed, base=base)
        return replace(grown, recommender=self.policy(grown))

    def apply(self, events: pa.Table) -> None:
        """Take in events in log order. Raises StoreUnavailable; apply the same events again then."""
        self.suppressed.apply(events)
        self.features.apply(events, to_store=self.writes_store)

    def consumer(
        self, log: EventLog, offset: Offset | None = None, apply: Callable[[pa.Table], None] | None = None
    ) -> Consumer:
        """A consumer that continues where the release's states end, or at `offset` for a store that is further.

        Args:
            log: what to read.
            offset: where to begin.
            apply: takes the events instead of this one's own.
        """
        start = offset or MemoryOffset(self.loaded.log_offset)
        return Consumer(log, apply or self.apply, start, poll_s=self.loaded.config.poll_s)


def go_live(
    loaded: LoadedRelease,
    store: OnlineStore,
    *,
    fill_store: bool = True,
    writes_store: bool = True,
    config: ServingConfig | None = None,
    experiments: ExperimentsConfig | None = None,
    challengers: Mapping[str, LiveRelease] | None = None,
    of_now: bool = False,
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
        of_now: whether requests come as time passes, so that what is slow and the same for everybody is made beside them.

    Raises:
        StoreUnavailable: the store could not be filled.
        ReleaseRefused: a trial request found a part that does not work, or an arm overrides something that does not exist.
    """
    if fill_store:
        store.load(loaded.viewer_states())
    features = OnlineFeatures(loaded.definitions, loaded.catalogue, loaded.viewers, store, loaded.video_state)
    suppressed = Suppressed(loaded.catalogue, loaded.removed_ids.tolist())
    base = _base(loaded, features, LiveActivity(loaded.video_state, of_now), suppressed, config or loaded.config)

    def policy(live: LiveRelease) -> Recommender | ArmRecommender:
        return live.base.usual if experiments is None else live.among(experiments, challengers)

    live = LiveRelease(loaded, base.usual, features, suppressed, base, store, policy, writes_store, of_now)
    live = replace(live, recommender=policy(live))
    check_pages(live.recommender, loaded)
    return live


def _base(
    loaded: LoadedRelease, features: OnlineFeatures, activity: LiveActivity, suppressed: Suppressed, config: ServingConfig
) -> Base:
    @cache  # everybody who serves one config shares its watchdogs, its cap, and the lists that are the same for all
    def build(chosen: ServingConfig) -> Recommender:
        return loaded.recommender(features, videos=activity, config=chosen, suppressed=suppressed)

    return Base(config, build)
