"""Every number that ranking can be asked to change: the model and its training, the utility formula, the final order.

Frozen dataclasses, torch-free, saved inside a release and read back by the server. Presets: `tiny` (seconds, tests),
`demo` (a laptop) and `full` (a large log).
"""

from dataclasses import dataclass, field

OUTCOMES = ("click", "watch", "like", "dislike", "long_view")
"""Heads that predict what comes of one shown video; each has one column of labels, in this order."""
HEADS = (*OUTCOMES, "relevance")
"""All heads, in the order of the network's output columns."""


@dataclass(frozen=True)
class CombineConfig:
    """Weights of the utility formula in `ranking.combine`. A head that is absent is skipped."""

    relevance: float = 0.0
    """Per unit of the relevance logit, beside a click head. Its lists hold what was clicked against what was retrieved and
    perhaps never shown, so it learns what the logging policy likes to show, and pages would teach it that once more."""
    unshown: float = 1.0
    """The same where the log does not say what was shown and could train no click head."""
    affinity: float = 10.0
    """Per unit of cosine, where there is neither click nor relevance."""
    click: float = 0.5
    """Per unit of log-odds of a click."""
    watch: float = 1.0
    """Per unit of log(1 + expected seconds); the expectation counts the click, too."""
    like: float = 0.1
    """Per unit of log-odds of a like."""
    dislike: float = 0.1
    """Taken off per unit of log-odds of a dislike."""


NEXT_CLICK = CombineConfig(relevance=1.0, click=0.0, watch=0.0, like=0.0, dislike=0.0)
"""The order that answers the question of a leaderboard, which video is clicked next in this log; not what serves."""


@dataclass(frozen=True)
class RerankConfig:
    """What the final order trades against utility in `ranking.rerank`."""

    diversity: float = 0.15
    """MMR trade-off in [0, 1]: 0 is pure utility, 1 pure dissimilarity."""
    channel_cap: int = 3
    """Most videos of one known channel on a page; 0 means no cap."""
    freshness: float = 0.0
    """Utility added to a video uploaded this instant."""
    freshness_half_life_days: float = 3.0
    """Age in days at which that bonus has halved."""
    pool: int = 100
    """How many of the best candidates diversity looks at."""


@dataclass(frozen=True)
class LossWeights:
    """How much each head's mean loss counts in the sum that is minimised."""

    click: float = 1.0
    watch: float = 0.2
    like: float = 0.2
    dislike: float = 0.2
    long_view: float = 1.0
    relevance: float = 1.0


@dataclass(frozen=True)
class RankerConfig:
    """The multi-task model and how it is trained."""

    seed: int = 0
    video_dim: int = 16
    """Width of the ranker's own video table."""
    code_dim: int = 8
    """Width of every categorical embedding."""
    cross_layers: int = 2
    """DCN-v2 layers."""
    cross_rank: int = 32
    """Rank of their weight matrices."""
    hidden: tuple[int, ...] = (128, 64)
    """Widths of the shared trunk."""
    head_hidden: int = 32
    """Width of each head's small tower."""
    batch_impressions: int = 1024
    """Impressions per step; lists are spread over the same steps."""
    batch_lists: int = 128
    """Most lists per step."""
    list_negatives: int = 16
    """Most negatives per list and step, drawn anew each step from those given: half the time for the same order."""
    max_epochs: int = 3
    """Passes over the training rows, fewer when the held-out loss rises."""
    learning_rate: float = 2e-3
    """Adam, everything but the video table; falls to a tenth of itself along a half cosine."""
    table_learning_rate: float = 0.05
    """Row-wise Adagrad on the video table."""
    position_learning_rate: float = 0.01
    """Adam on the position biases: a handful of numbers that must arrive before the trunk explains them away."""
    weight_decay: float = 1e-5
    """Decoupled (AdamW)."""
    dropout: float = 0.0
    """Share of the trunk's activations that a training step leaves out; for small logs."""
    average: float = 0.0
    """Decay per step of the running mean of weights, which replaces them in the end (Polyak & Juditsky 1992); 0: no mean."""
    holdout: float = 0.1
    """Last share of the rows in time, kept for early stopping and calibration; with 0 all rows train for all epochs."""
    position_dropout: float = 0.1
    """Share of training impressions whose position is hidden from the position-bias tower."""
    max_position: int = 50
    """Positions from here on share one bias."""
    min_positives: int = 20
    """A head with fewer positive labels in the training rows is left out."""
    loss_weights: LossWeights = field(default_factory=LossWeights)
    combine: CombineConfig = field(default_factory=CombineConfig)
    """Saved in the release with the model whose scores it weighs."""


def tiny() -> RankerConfig:
    """Seconds on one core, for tests."""
    return RankerConfig(
        video_dim=8,
        code_dim=4,
        cross_layers=1,
        cross_rank=8,
        hidden=(32, 16),
        head_hidden=8,
        batch_impressions=256,
        batch_lists=32,
    )


def demo() -> RankerConfig:
    """The built-in world on a laptop: half the arithmetic of the defaults, for .001 of click AUC (docs/log.md)."""
    return RankerConfig(cross_rank=16, hidden=(96, 48), head_hidden=16)


def full() -> RankerConfig:
    """A large log."""
    return RankerConfig(video_dim=32, cross_layers=3, cross_rank=64, hidden=(256, 128), batch_impressions=4096, batch_lists=256)
