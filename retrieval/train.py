"""Train the two towers on clicks: one pass of named steps, the same losses for the same seed.

Adam moves layers and small tables; the table of video ids moves itself during backward (row-wise Adagrad). Knows nothing of
evaluation or files.
"""

import math
from collections.abc import Callable

import numpy as np
import torch

from core import rng
from core.errors import BadInput
from data.catalogue import Catalogue
from features.schema import FeatureSchema
from retrieval.batches import Batcher, RetrievalExamples, StepBatch
from retrieval.config import TwoTowerConfig
from retrieval.losses import sampled_softmax
from retrieval.towers import TwoTower, pool

_DENSE_SAMPLE = 20_000
_FINAL_RATE = 0.1

OnStep = Callable[[int, int, float], None]


def train(
    config: TwoTowerConfig,
    schema: FeatureSchema,
    catalogue: Catalogue,
    examples: RetrievalExamples,
    *,
    warm_start: TwoTower | None = None,
    on_step: OnStep | None = None,
) -> TwoTower:
    """Towers fitted to the examples.

    Args:
        config: what to train, for how long.
        schema: the columns of the examples' viewer parts.
        catalogue: what the examples' rows refer to.
        examples: clicks with the features just before them.
        warm_start: towers to continue from; their catalogue may be older.
        on_step: told (steps done, steps in all, loss) after each step.

    Raises:
        BadInput: there is nothing to learn from.
    """
    if examples.num < 2 or not len(catalogue):
        raise BadInput(f"training the towers needs at least 2 clicks on known videos, got {examples.num}")
    tower = _start(config, schema, catalogue, examples, warm_start)
    batcher = Batcher(tower, catalogue, examples)
    optimizer = torch.optim.Adam(tower.dense_groups())
    rates = [group["lr"] for group in optimizer.param_groups]
    order = rng.stream(config.seed, "retrieval order")
    random = rng.stream(config.seed, "retrieval negatives")
    per_epoch = math.ceil(examples.num / config.batch_size)
    total, done = per_epoch * config.epochs, 0
    tower.train()
    for _ in range(config.epochs):
        for chosen in np.array_split(order.permutation(examples.num), per_epoch):
            factor = _rate(config.schedule, done, total)
            tower.scale_learning_rate(factor)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = factor * rate
            optimizer.zero_grad(set_to_none=True)
            loss = step_loss(tower, batcher.step(chosen, random))
            loss.backward()
            optimizer.step()
            done += 1
            if on_step is not None:
                on_step(done, total, loss.item())
    return tower.eval()


def step_loss(tower: TwoTower, batch: StepBatch) -> torch.Tensor:
    """The batch's loss, differentiable. []"""
    raw_UD = tower.raw(batch.videos, batch.content_UC)
    viewer_BD = tower.viewer_vectors(pool(raw_UD, batch.weights_PH, batch.bags), batch.codes, batch.dense_BF)
    video_CD = tower.video_vectors(raw_UD[batch.candidate_C], batch.log_age_C)
    return sampled_softmax(
        viewer_BD, video_CD, tower.config.temperature, batch.log_q_C, batch.video_C, batch.at_B, batch.uploaded_at_C
    )


def _start(
    config: TwoTowerConfig,
    schema: FeatureSchema,
    catalogue: Catalogue,
    examples: RetrievalExamples,
    warm_start: TwoTower | None,
) -> TwoTower:
    tower = TwoTower(config, schema, catalogue)
    if warm_start is not None:
        tower.continue_from(warm_start)
    elif schema.viewer_dense:
        chosen = rng.stream(config.seed, "retrieval scale").permutation(examples.num)[:_DENSE_SAMPLE]
        tower.viewer.fit_dense(torch.from_numpy(examples.viewer_part(chosen).dense_BF).to(tower.device))
    tower.known_V = tower.known_V | (np.bincount(examples.video_rows, minlength=len(catalogue)) > 0)
    return tower


def _rate(schedule: str, done: int, total: int) -> float:
    if schedule == "constant":
        return 1.0
    return _FINAL_RATE + (1.0 - _FINAL_RATE) * 0.5 * (1.0 + math.cos(math.pi * done / total))
