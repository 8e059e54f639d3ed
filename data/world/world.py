"""`World`: viewers who react, and a truth that can be asked.

Policies, slates and events carry ids; questions to the truth take rows (`id − 1`), as arrays that broadcast. Answers depend on
what viewers remember (fatigue, follows, watched videos): a new World remembers nothing until it simulates its history, responds
to slates, or is told with `remember`.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from core import columns as c
from core import events as ev
from core import rng
from core.clock import DAY_MS
from core.errors import BadInput
from core.policy import Policy, Request, Slate
from data.catalogue import lookup
from data.dataset import conform
from data.world import behaviour, faults, journal
from data.world.behaviour import NUM_UNIFORMS, Pages
from data.world.catalogue import make_videos, video_frame, video_ids
from data.world.config import WorldConfig
from data.world.memory import Memory
from data.world.rhythm import plan_day
from data.world.truth import Truth
from data.world.viewers import make_viewers, viewer_frame, viewer_ids

Array = NDArray[np.float64]


class World:
    """A simulated world. `truth` and `memory` are open to whoever wants to look."""

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self.viewers = make_viewers(config)
        self.videos = make_videos(config)
        self.truth = Truth.of(config, self.viewers, self.videos)
        self.memory = Memory(self.videos, len(self.viewers), config.behaviour.fatigue_half_life_h)
        self.viewer_ids = viewer_ids(config)
        self.video_ids = video_ids(config)

    def viewer_frame(self) -> pl.DataFrame:
        """The viewer table, schema `columns.VIEWERS`."""
        return viewer_frame(self.config, self.viewers)

    def video_frame(self) -> pl.DataFrame:
        """The catalogue, schema `columns.VIDEOS`; videos uploaded during the log included."""
        return video_frame(self.config, self.videos)

    def probability_of_click(
        self, viewer_rows: ArrayLike, video_rows: ArrayLike, at: ArrayLike, position: ArrayLike = 0
    ) -> Array:
        """P(click) of a video shown at `position`: examination times attraction. All arguments broadcast."""
        viewers, videos, instants = _rows(viewer_rows), _rows(video_rows), _rows(at)
        affinity = self.truth.affinity(viewers, videos, instants)
        logit = self.truth.attraction_logit(affinity, viewers, videos, instants, self.memory)
        return np.asarray(self.truth.examination(position) * expit(logit), dtype=np.float64)

    def expected_watch_s(self, viewer_rows: ArrayLike, video_rows: ArrayLike, at: ArrayLike) -> Array:
        """E[watch seconds | click]."""
        videos = _rows(video_rows)
        affinity = self.truth.affinity(_rows(viewer_rows), videos, _rows(at))
        return np.asarray(self.videos.duration_s[videos] * self.truth.watch_share(affinity, videos), dtype=np.float64)

    def expected_satisfaction(
        self, viewer_rows: ArrayLike, video_rows: ArrayLike, at: ArrayLike, position: ArrayLike = 0
    ) -> Array:
        """E[satisfied watch seconds] of an impression: P(click) · E[watch | click] · (1 − P(regret | click))."""
        videos = _rows(video_rows)
        affinity = self.truth.affinity(_rows(viewer_rows), videos, _rows(at))
        content = 1.0 - self.truth.regret(affinity, videos)
        click = self.probability_of_click(viewer_rows, videos, at, position)
        return click * self.expected_watch_s(viewer_rows, videos, at) * content

    def true_value(self, policy: Policy, requests: Sequence[Request]) -> float:
        """Expected satisfied watch seconds per slate of `policy` on `requests`, as viewers are now. Nothing happens to them."""
        if not requests:
            raise BadInput("the value of a policy needs at least one request")
        pages = self._pages(policy.recommend(requests), requests, None)
        filled, videos = pages.video_rows_PK >= 0, np.maximum(pages.video_rows_PK, 0)
        positions = np.arange(videos.shape[1])
        value = self.expected_satisfaction(pages.viewer_rows[:, None], videos, pages.at[:, None], positions)
        return float(np.where(filled, value, 0.0).sum() / len(requests))

    def respond(
        self, slates: Sequence[Slate], requests: Sequence[Request], at: int | None = None, *, lossy: bool = False
    ) -> pa.Table:
        """What viewers do with slates shown at `at` (default: each request's own time): clicks, watches and what follows.

        Schema `columns.EVENTS`, sorted by `received_at`; impressions are the service's to log. Watches end and regrets come
        later than `at`: deliver each row when its `received_at` has come. With `lossy`, events are delayed and lost as in the
        log. Draws depend on the request id alone, so a replay from the same memory is exact. Viewers remember what they did.

        Raises:
            BadInput: slates and requests do not match, or a viewer is a stranger. Unknown videos are passed over.
        """
        if not requests:
            return c.EVENTS.empty_table()
        pages = self._pages(slates, requests, at)
        clicks = behaviour.react(self.truth, self.memory, pages, self._uniforms(requests, pages.video_rows_PK.shape[1]))
        behaviour.remember(self.memory, self.truth, clicks)
        request_ids = pl.Series([request.request_id for request in requests], dtype=pl.String)
        events = journal.outcomes(request_ids, clicks, self.viewer_ids, self.video_ids)
        batch = (requests[0].request_id, len(requests))
        events = faults.corrupt(self.config, self.viewers, events, rng.stream(self.config.seed, "live faults", *batch))
        random = rng.stream(self.config.seed, "live delivery", *batch)
        events = journal.deliver(events, self.config.delivery, random) if lossy else journal.punctual(events)
        return conform(events, c.EVENTS).sort(c.RECEIVED_AT, c.EVENT_ID).to_arrow().cast(c.EVENTS)

    def sessions(self, begin: int, end: int, rate: float = 1.0, label: str = "live") -> Iterator[Request]:
        """Pages that viewers ask for in [begin, end), in time order; `rate` times as many as is natural.

        Equal arguments and overlapping windows give equal requests, with ids `<label>-<day>-<number>`.
        """
        pages_s = self.config.slate_size
        for day in range((begin - self.config.start_at) // DAY_MS - 1, (end - 1 - self.config.start_at) // DAY_MS + 1):
            plan = plan_day(self.config, self.viewers, day, rate, label)
            for number in np.flatnonzero((plan.at >= begin) & (plan.at < end)).tolist():
                viewer_id, at = int(self.viewer_ids[plan.viewer_rows[number]]), int(plan.at[number])
                yield Request(f"{label}-{day}-{number}", viewer_id, at, k=pages_s)

    def remember(self, events: pl.DataFrame) -> None:
        """Rebuild memory from logged events (schema `columns.EVENTS`), e.g. after a restart. Strangers are ignored."""
        self.memory = Memory(self.videos, len(self.viewers), self.config.behaviour.fatigue_half_life_h)
        for kind in (ev.CLICK, ev.SUBSCRIBE):
            found = events.filter(pl.col(c.KIND) == kind)
            viewers = lookup(self.viewer_ids, found[c.VIEWER_ID].to_numpy())
            videos = lookup(self.video_ids, found[c.VIDEO_ID].fill_null(-1).to_numpy())
            known = (viewers >= 0) & (videos >= 0)
            if kind == ev.CLICK:
                self.memory.record(viewers[known], videos[known], found[c.EVENT_AT].to_numpy()[known])
            else:
                self.memory.follow(viewers[known], self.videos.channel[videos[known]])

    def _pages(self, slates: Sequence[Slate], requests: Sequence[Request], at: int | None) -> Pages:
        if [slate.request_id for slate in slates] != [request.request_id for request in requests]:
            raise BadInput("slates and requests do not match; pass one slate per request, in order")
        viewers = lookup(self.viewer_ids, [request.viewer_id for request in requests])
        if (viewers < 0).any():
            unknown = requests[int(np.argmin(viewers))].viewer_id
            raise BadInput(f"viewer {unknown} does not live in this world; ids are 1 to {len(self.viewers)}")
        width = max(len(slate.video_ids) for slate in slates)
        rows = np.full((len(slates), width), -1, dtype=np.int32)
        for row, slate in zip(rows, slates, strict=True):
            row[: len(slate.video_ids)] = lookup(self.video_ids, slate.video_ids)
        instants = [request.at if at is None else at for request in requests]
        return Pages(viewers.astype(np.int64), rows, np.array(instants, dtype=np.int64))

    def _uniforms(self, requests: Sequence[Request], width: int) -> Array:
        """[P, K, NUM_UNIFORMS], each request from its own stream: reactions replay whatever the batch."""
        streams = (rng.stream(self.config.seed, "reaction", request.request_id) for request in requests)
        return np.stack([random.random((width, NUM_UNIFORMS)) for random in streams])


def _rows(values: ArrayLike) -> NDArray[np.int64]:
    return np.asarray(values, dtype=np.int64)
