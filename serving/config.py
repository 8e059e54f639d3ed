"""Every number that serving can be asked to change. Saved inside a release, which so serves the way it was measured."""

from dataclasses import dataclass, field
from typing import Literal

from core.errors import ConfigError
from ranking.config import RerankConfig


@dataclass(frozen=True)
class SourceQuotas:
    """Places among the candidates that each source may claim; what one leaves empty goes to the next best of all."""

    two_tower: int = 380
    cowatch: int = 60
    trending: int = 40
    fresh: int = 20


@dataclass(frozen=True)
class ExplorationConfig:
    """How much of a page is left to chance, so that new videos are seen and off-policy estimates are possible."""

    kind: Literal["epsilon_greedy", "plackett_luce", "thompson"] = "epsilon_greedy"
    """How chance picks from the pool: evenly, in proportion to exp(utility / temperature), or evenly beside Thompson sampling,
    which fills the other explored slots instead of the ranked page (`serving.thompson`)."""
    epsilon: float = 0.05
    """Probability that an explored slot is drawn from the pool; 0 leaves nothing to chance, whatever the kind."""
    slots: tuple[int, ...] = ()
    """Positions (0-based) where this may happen, so their number is the page's budget; empty means everywhere."""
    pool: int = 100
    """Size of the pool: fresh uploads first, then the best of the rest."""
    fresh_boost: float = 1.0
    """How many times as likely as otherwise chance picks a fresh upload."""
    temperature: float = 1.0
    """In units of utility: of `plackett_luce`; of `thompson`, what a unit of log-odds is worth."""
    prior_shows: float = 20.0
    """Impressions that the prior of a video's click rate is worth, of `thompson`."""
    daily_cap: int = 0
    """Slots that chance may fill per viewer and day (UTC) before pages come without it; 0 means no cap."""
    seed: int = 0
    """Draws derive from this and the request id."""

    def __post_init__(self) -> None:
        """Raises ConfigError on values that cannot work."""
        if not 0 <= self.epsilon <= 1 or self.pool < 0:
            raise ConfigError(f"epsilon {self.epsilon} must be in [0, 1] and pool {self.pool} at least 0")
        if not (min(self.fresh_boost, self.temperature, self.prior_shows) > 0 and self.daily_cap >= 0):
            raise ConfigError("fresh_boost, temperature and prior_shows must be above 0, daily_cap at least 0")


@dataclass(frozen=True)
class StageBudgets:
    """Milliseconds that 99 of 100 pages may spend in each stage: 20 together, of a page from a million videos on two cores.

    They promise nothing and stop nothing; they say which stage to look at (`/ops`, the alert StageIsOverBudget).
    """

    viewer_features: float = 3.0
    viewer_vector: float = 1.5
    sources: float = 4.5
    filters: float = 1.0
    merge: float = 1.0
    video_features: float = 2.5
    ranker: float = 3.5
    combine: float = 0.75
    rerank: float = 1.25
    explorer: float = 1.0


@dataclass(frozen=True)
class ServingConfig:
    """The request path."""

    num_candidates: int = 500
    """Unique videos per request that reach the ranker."""
    quotas: SourceQuotas = field(default_factory=SourceQuotas)
    seen_margin: int = 500
    """Most extra candidates asked for to make up for those that the seen filter will take."""
    cowatch_seeds: int = 10
    """Latest watches whose neighbours are candidates."""
    fresh_days: float = 7.0
    """Age in days up to which an upload is fresh."""
    refresh_s: float = 60.0
    """Age in seconds that the lists of trending and fresh videos may reach."""
    exploration: ExplorationConfig = field(default_factory=ExplorationConfig)
    rerank: RerankConfig = field(default_factory=RerankConfig)
    deadline_ms: float = 500.0
    """Time for a page from its arrival on, when the client names none; later, what is optional is left out. Arms share it."""
    part_limit_ms: float = 150.0
    """When somebody waits: time after which the encoder, the index or the ranker is given up on."""
    budgets: StageBudgets = field(default_factory=StageBudgets)
    most_clickbait: float = 1.0
    """Videos whose p(clickbait) is above this are hidden; 1 hides none."""
    least_kids: float = 0.0
    """Only videos whose p(kids) is at least this are shown; 0 shows all. Videos without labels count as 0."""
    kids_mode: float = 0.8
    """The same for a request in kids mode, whatever the line above says."""
    ranker_rows: int = 0
    """Videos whose rows in the ranker's table are kept in memory, the others in a file; 0 keeps all, which is fastest."""
    impression_queue: int = 1_000
    """Pages waiting to be logged; beyond this they are dropped and counted."""
    poll_s: float = 0.25
    """How often the event log is looked at when nobody says that it grew."""
