"""Everything that defines a world, as frozen dataclasses with presets. Two equal configs give the same world, event by event.

Knows nothing of how the numbers are used; `truth` holds the formulas that the coefficients belong to.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from core.clock import DAY_MS
from core.errors import ConfigError
from data.world.topics import TOPICS


class FaultKind(StrEnum):
    """What can go wrong on purpose."""

    NULL_FEATURE = "null_feature"
    """Watch events arrive without their seconds."""
    UNIT_CHANGE = "unit_change"
    """Watch seconds are reported in milliseconds."""
    TASTE_FLIP = "taste_flip"
    """Viewers like what they did not like before: concept drift."""
    BOT_TRAFFIC = "bot_traffic"
    """Some viewers ask for thirty times as many pages and click almost everything for a second."""
    SEASONAL_SHIFT = "seasonal_shift"
    """Viewers come more often, as in holidays, and otherwise behave as always: nothing is wrong."""
    BAD_RELEASE = "bad_release"
    """Viewers get pages that were made for somebody else: what a release does that joins its features to the wrong viewers."""


@dataclass(frozen=True)
class Fault:
    """One fault over a range of days of the world."""

    kind: str
    """A FaultKind."""
    from_day: float
    """Begins this many days after `start_at`."""
    until_day: float
    """Ends before this many days after `start_at`."""
    share: float = 1.0
    """Of watch events (null feature, unit change) or of viewers (all others) that are hit, 0 to 1."""
    device: str | None = None
    """Null feature and unit change only: hits watch events of viewers with this device; None means all."""

    def __post_init__(self) -> None:
        if self.kind not in set(FaultKind):
            raise ConfigError(f"no such fault: '{self.kind}'; known: {', '.join(FaultKind)}")
        if self.device is not None and self.kind not in (FaultKind.NULL_FEATURE, FaultKind.UNIT_CHANGE):
            raise ConfigError(f"'{self.kind}' cannot be limited to a device; leave device out")


@dataclass(frozen=True)
class BehaviourConfig:
    """How viewers behave. Weights are in logits unless said otherwise."""

    examination_decay: float = 0.45
    """P(examine | position) = (1 + position) ** −decay, position from 0."""
    base_attraction: float = 0.1
    """Mean P(click | examined) of a uniformly random video for a uniformly random viewer; sets the intercept."""
    taste: float = 1.3
    """Per unit of taste for the video's topics."""
    style: float = 0.7
    """Per standard deviation of agreement in style."""
    quality: float = 0.5
    """Per standard deviation of quality (viewers see part of it before the click)."""
    clickbait: float = 0.9
    """Of a video that is all clickbait (1) against none (0)."""
    freshness: float = 0.5
    """Of a video uploaded just now; falls as exp(−age / 3 days)."""
    trend: float = 0.35
    """Amplitude of the slow wave in demand for each topic."""
    weekend: float = 0.25
    """Standard deviation over topics of the change at weekends."""
    follows: float = 0.8
    """When the viewer follows the channel."""
    fatigue: float = 0.45
    """Loss per recent click on the same topic (at most 4 count)."""
    fatigue_half_life_h: float = 18.0
    """Hours after which a click weighs half."""
    watched: float = 3.0
    """Loss when the viewer has opened this very video before."""
    foreign: float = 1.2
    """Loss when the video is in another language than the viewer's (half of it when the video is in English)."""
    watch_concentration: float = 3.0
    """Share watched ~ Beta(c·m, c·(1−m)) with mean m: larger is less noisy."""


@dataclass(frozen=True)
class HistoryConfig:
    """The policy that produced the log: good enough to learn from, easy to beat."""

    random_share: float = 0.12
    """Share of pages whose slots are drawn uniformly from all available videos, without replacement."""
    followed_share: float = 0.55
    """On other pages: share of slots from followed channels or a guess of the viewer's topics; the rest is popular."""
    guess_noise: float = 0.8
    """Standard deviation of the error in the guessed taste, in units of taste."""
    order_noise: float = 1.5
    """Scale of the Gumbel noise in the order of the page."""
    half_life_days: float = 3.0
    """Days after which a click counts half for popularity."""


@dataclass(frozen=True)
class DeliveryConfig:
    """How events travel from the viewer's device to the log. Impressions are logged by the server: never late or lost."""

    delay_ms: float = 800.0
    """Mean delay of an event, milliseconds."""
    late_rate: float = 0.02
    """Share of events that wait for hours."""
    late_h: float = 6.0
    """Mean delay of late events, hours."""
    missing_rate: float = 0.005
    """Share of events that never arrive."""


@dataclass(frozen=True)
class WorldConfig:
    """A world."""

    name: str = "world"
    """Name of its dataset."""
    seed: int = 7
    """Every random stream derives from it."""
    num_viewers: int = 500
    """Viewers, those that join during the log included."""
    num_videos: int = 800
    """Videos, those uploaded during the log included."""
    num_channels: int = 60
    """Channels that upload them."""
    num_topics: int = 24
    """Topics, at most as many as have names."""
    impressions: int = 20_000
    """Expected impressions in the log."""
    days: int = 14
    """Length of the log, days."""
    start_at: int = 1_767_571_200_000
    """First instant of the log, milliseconds; a midnight UTC (default 2026-01-05, a Monday)."""
    slate_size: int = 10
    """Videos on a page."""
    content_size: int = 32
    """Width of the content vector."""
    backlog_share: float = 0.8
    """Share of videos uploaded before the log begins."""
    joining_share: float = 0.1
    """Share of viewers who come for the first time during the log."""
    drifting_share: float = 0.25
    """Share of viewers whose taste moves to new topics, over about two months."""
    behaviour: BehaviourConfig = field(default_factory=BehaviourConfig)
    """What viewers do with a page."""
    history: HistoryConfig = field(default_factory=HistoryConfig)
    """Who made the pages of the log."""
    delivery: DeliveryConfig = field(default_factory=DeliveryConfig)
    """How events reach the log."""
    survey_share: float = 0.0
    """Share of clicks about which the viewer answers a survey, five to nine days later."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong, and when."""

    def __post_init__(self) -> None:
        if not 2 <= self.num_topics <= len(TOPICS):
            raise ConfigError(f"num_topics must be 2 to {len(TOPICS)}, got {self.num_topics}")
        if min(self.num_viewers, self.num_channels, self.days, self.impressions) < 1:
            raise ConfigError("a world needs at least one viewer, channel, day and impression")
        if self.num_videos * self.backlog_share < 2 * self.slate_size:
            raise ConfigError(f"a world needs at least {2 * self.slate_size} videos before it begins; raise num_videos")
        if self.start_at % DAY_MS:
            raise ConfigError(f"start_at must be a midnight UTC, got {self.start_at}")

    @property
    def end_at(self) -> int:
        """First instant after the log, milliseconds."""
        return self.start_at + self.days * DAY_MS


def tiny() -> WorldConfig:
    """Under a second; for tests."""
    return WorldConfig(name="world-tiny")


def lab() -> WorldConfig:
    """A few seconds; for experiments that repeat."""
    return WorldConfig(name="world-lab", num_viewers=2_000, num_videos=5_000, num_channels=300, impressions=120_000, days=21)


def demo() -> WorldConfig:
    """What `upnext demo` shows."""
    return WorldConfig(name="world", num_viewers=20_000, num_videos=50_000, num_channels=2_500, impressions=1_000_000, days=28)


def full() -> WorldConfig:
    """A million of each; needs minutes and some 12 GB of memory."""
    return WorldConfig(
        name="world-full", num_viewers=1_000_000, num_videos=1_000_000, num_channels=40_000, impressions=10_000_000, days=28
    )
