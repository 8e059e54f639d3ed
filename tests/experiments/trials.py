"""A simulated experiment whose effects are known: viewers with lasting differences, over four weeks."""

import numpy as np

from core import rng
from experiments.config import AnalysisConfig, ExperimentConfig, MetricConfig
from experiments.panel import Panel

MONDAY = 20_458
"""2026-01-05, days since 1970."""
EXPERIMENT = ExperimentConfig(
    "ranker",
    analysis=AnalysisConfig(
        primary=MetricConfig("watch_s"),
        secondary=(MetricConfig("ctr", "clicks", "impressions"), MetricConfig("likes")),
        guardrails=(
            MetricConfig("page_ms", "ms", "pages", "lower", 0.05),
            MetricConfig("retention", "returned", "returnable", margin=0.1),
        ),
        planned_viewers=4_000,
    ),
)


def trial(*, watch=1.0, page_ms=1.0, days=14, num_viewers=4_000, seed=0, fade=0.0, share=0.5, before=7):
    """Treatment multiplies watch seconds (by `watch`, drifting by −`fade` a day) and page times (by `page_ms`)."""
    random = rng.stream(seed, "trial")
    arm = (random.random(num_viewers) < share).astype(int)
    lasting = random.gamma(2.0, 0.5, num_viewers)
    viewer, day = (each.ravel() for each in np.meshgrid(np.arange(num_viewers), np.arange(-before, days), indexing="ij"))
    active = random.random(len(viewer)) < 0.5
    viewer, day = viewer[active], day[active]
    treated = (arm[viewer] == 1) & (day >= 0)
    factor = np.where(treated, watch - fade * day, 1.0)
    impressions = 10.0 + random.poisson(10, len(viewer))
    columns = {
        "watch_s": 100 * lasting[viewer] * factor * random.gamma(4.0, 0.25, len(viewer)),
        "impressions": impressions,
        "clicks": random.binomial(impressions.astype(int), 0.1).astype(float),
        "likes": random.poisson(0.2, len(viewer)).astype(float),
        "pages": np.ones(len(viewer)),
        "ms": np.where(treated, page_ms, 1.0) * random.gamma(16.0, 50 / 16, len(viewer)),
        "returned": (random.random(len(viewer)) < 0.8).astype(float),
        "returnable": np.ones(len(viewer)),
    }
    names = np.array(["control", "treatment"], dtype=object)
    arms = np.where(day < 0, None, names[arm[viewer]])
    return viewer, day + MONDAY, arms.tolist(), columns


def panel(**settings):
    return Panel.of(*trial(**settings), EXPERIMENT.arm_names)
