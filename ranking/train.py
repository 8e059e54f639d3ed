"""Rows → a trained, calibrated ranker. Deterministic for a seed on one machine.

Impressions and lists are cut into the same number of steps, so that every step sees both in proportion. The last rows in time
are held out: they stop training when their loss rises, and they calibrate (`ranking.heldout`). Dense parameters train with
AdamW, the video table with its own optimiser; rows of it that no training row touched are set to zero at the end, so a video
without a past is scored by its features alone. Knows nothing of files or of where rows come from.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core import columns as c
from core.errors import BadInput
from core.rng import stream, torch_seed
from data.catalogue import Catalogue
from embeddings.tables import default_device
from features.schema import FeatureSchema
from ranking import batches, heldout, losses
from ranking.batches import Impressions, RankingData, Rows
from ranking.config import HEADS, OUTCOMES, RankerConfig
from ranking.heldout import Held, Observed
from ranking.layout import Layout, layout
from ranking.model import Ranker, RankerModel, Statistics

Indices = NDArray[np.int64]
OnStep = Callable[[int, int, float], None]
_SAMPLE = 50_000
_MAX_GRADIENT = 5.0
_CHUNK = 16_384


@dataclass(frozen=True)
class Part:
    """Collected rows of one kind and which of them train."""

    rows: Rows
    train: Indices
    held: Indices


@dataclass(frozen=True)
class Parts:
    """At least one of them is there."""

    impressions: Part | None
    lists: Part | None

    def __iter__(self) -> Iterator[Part]:
        return iter([part for part in (self.impressions, self.lists) if part])


@dataclass(frozen=True)
class Slice:
    """Some rows of a part, with all of their columns or some."""

    rows: Rows
    index: Indices
    columns: Indices | None


def train(
    config: RankerConfig, schema: FeatureSchema, catalogue: Catalogue, data: RankingData, *, on_step: OnStep | None = None
) -> Ranker:
    """Train the heads that `data` can train.

    Args:
        on_step: called with (step, most steps, loss) after each step.

    Raises:
        BadInput: no rows, too few labels for any head, or a loss that is not finite.
    """
    columns = layout(schema, config)
    parts = _collect(config, schema, catalogue, data, columns)
    heads = _trainable(parts, config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(config.seed, "ranker"))
        model = _start(config, schema, catalogue, parts, columns, heads)
        seen = _fit(model, parts, heads, config, on_step)
    model.embedder.video.forget_all_but(_touched(parts, len(catalogue)))
    held = heldout.assess(heads, [_observe(model, part) for part in parts]) if config.holdout else Held({}, 1.0, {})
    return Ranker(
        model=model,
        config=config,
        schema=schema,
        columns=columns,
        heads=heads,
        curves=held.curves,
        watch_scale=held.watch_scale,
        position_curve=_position_curve(model, parts.impressions) if "click" in heads else (),
        metrics=held.metrics,
        losses=tuple(seen),
    )


def _collect(config: RankerConfig, schema: FeatureSchema, catalogue: Catalogue, data: RankingData, columns: Layout) -> Parts:
    def part(rows: Rows) -> Part:
        before, after = rows.split(config.holdout)
        held = before if config.holdout and not len(after) else after
        return Part(replace(rows, place=default_device()), before, held)

    shown, clicked = data.impressions, data.lists
    parts = Parts(
        impressions=part(batches.impressions(shown, schema, catalogue, columns)) if shown is not None and len(shown) else None,
        lists=part(batches.lists(clicked, schema, catalogue, columns)) if clicked is not None and len(clicked) else None,
    )
    if not list(parts):
        raise BadInput("there is nothing to train the ranker on: the log has neither impressions nor clicks in its window")
    return parts


def _labels(parts: Parts, head: str) -> NDArray[np.float32]:
    """Known training labels of a head."""
    labels = np.concatenate([part.rows.labels_NO[part.train, OUTCOMES.index(head)] for part in parts])
    return labels[~np.isnan(labels)]


def _trainable(parts: Parts, config: RankerConfig) -> tuple[str, ...]:
    """Heads with enough labels."""

    def enough(head: str) -> bool:
        if head == "relevance":
            return parts.lists is not None and len(parts.lists.train) >= config.min_positives
        labels = _labels(parts, head)
        positives = int((labels > 0).sum())
        return positives >= config.min_positives and (head == "watch" or positives < len(labels))

    heads = tuple(head for head in HEADS if enough(head))
    if not heads:
        raise BadInput(f"no head has {config.min_positives} positive labels; use a longer training window")
    return heads


def _statistics(parts: Parts, catalogue: Catalogue) -> Statistics:
    """Over an evenly spaced sample of the training rows; content columns share one scale."""
    viewer, candidate = [], []
    for part in parts:
        rows = part.train[:: max(len(part.train) // _SAMPLE, 1)]
        viewer.append(part.rows.batch.viewer.dense_BF[rows].astype(np.float64))
        numbers = part.rows.numbers_NKF[rows][part.rows.mask_NK[rows]]
        candidate.append(numbers[:: max(len(numbers) // _SAMPLE, 1)].astype(np.float64))
    viewer_all, candidate_all = np.concatenate(viewer), np.concatenate(candidate)
    mean, std = np.nanmean(candidate_all, axis=0), _spread(candidate_all)
    width = catalogue.content.shape[1]
    if width:
        mean[-width:] = 0.0
        std[-width:] = max(float(np.sqrt(np.mean(np.square(catalogue.content)))), 1e-6)
    return Statistics(np.nanmean(viewer_all, axis=0), _spread(viewer_all), mean, std)


def _spread(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    std = np.nanstd(numbers, axis=0)
    return np.where(std > 1e-6, std, 1.0)


def _start(
    config: RankerConfig,
    schema: FeatureSchema,
    catalogue: Catalogue,
    parts: Parts,
    columns: Layout,
    heads: tuple[str, ...],
) -> RankerModel:
    """An untrained model in which every head predicts its base rate for everyone."""
    model = RankerModel(
        config,
        columns,
        heads,
        _statistics(parts, catalogue),
        num_videos=len(catalogue),
        num_devices=dict(zip(schema.viewer_codes, schema.viewer_code_sizes, strict=True)).get(c.DEVICE, 1),
        seed=torch_seed(config.seed, "ranker tables"),
        device=default_device(),
    )
    for column, head in enumerate(heads):
        if head != "relevance":
            mean = float(_labels(parts, head).mean())
            model.network.linear.bias.data[column] = math.log(mean) if head == "watch" else math.log(mean / (1 - mean))
    return model


def _fit(model: RankerModel, parts: Parts, heads: tuple[str, ...], config: RankerConfig, on_step: OnStep | None) -> list[float]:
    """Train until the held-out loss rises, leave the best weights in `model`, return every step's loss."""
    bias = {"params": [*model.position.parameters()], "lr": config.position_learning_rate}
    groups: list[dict[str, Any]] = [{"params": model.dense_parameters()}, bias, *model.embedder.video.tables.adam_groups()]
    optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = max(
        math.ceil(len(parts.impressions.train) / config.batch_impressions) if parts.impressions else 0,
        math.ceil(len(parts.lists.train) / config.batch_lists) if parts.lists else 0,
    )
    most = steps * config.max_epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.55 + 0.45 * math.cos(math.pi * step / most))
    best, best_weights, seen = math.inf, model.weights(), []
    mean = Mean(model, config.average)
    for epoch in range(config.max_epochs):
        model.train()
        for slices in _plan(parts, steps, config, epoch):
            loss = _step(model, slices, heads, config)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.dense_parameters(), _MAX_GRADIENT)
            optimiser.step()
            schedule.step()
            mean.add()
            seen.append(loss.item())
            if not math.isfinite(seen[-1]):
                raise BadInput(f"the ranking loss is {seen[-1]} at step {len(seen)}; check the features for infinite values")
            if on_step:
                on_step(len(seen), most, seen[-1])
        with mean.in_place():
            held = _held_loss(model, parts, heads, config) if config.holdout else -math.inf
            if config.holdout and held >= best:
                break
            best, best_weights = held, model.weights()
    model.restore(best_weights)
    model.eval()
    return seen


class Mean:
    """The running mean of a model's weights over training steps; with decay 0 the weights themselves."""

    def __init__(self, model: RankerModel, decay: float) -> None:
        self._model, self._decay = model, decay
        self._mean = model.weights() if decay else {}
        self._steps = 0

    def add(self) -> None:
        """Count the weights of this step in. Early on the mean is a short one, so that it forgets where training began."""
        if self._decay:
            self._steps += 1
            decay = min(self._decay, self._steps / (self._steps + 9))
            for name, value in self._model.weights().items():
                self._mean[name].lerp_(value, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The mean stands in the model, in evaluation mode, and afterwards the weights of the last step again."""
        last = self._model.weights() if self._decay else {}
        if self._decay:
            self._model.restore(self._mean)
        self._model.eval()
        yield
        if self._decay:
            self._model.restore(last)


def _plan(parts: Parts, steps: int, config: RankerConfig, epoch: int) -> Iterator[list[Slice]]:
    """One epoch: per step, a slice of each part, lists with a sample of their negatives."""
    rng = stream(config.seed, "ranker rows", epoch)
    cut = [np.array_split(rng.permutation(part.train), steps) for part in parts]
    for step in range(steps):
        pairs = [(part.rows, index[step]) for part, index in zip(parts, cut, strict=True)]
        yield [Slice(rows, index, _columns(rows, config, rng)) for rows, index in pairs if len(index)]


def _columns(rows: Rows, config: RankerConfig, rng: np.random.Generator) -> Indices | None:
    """The clicked column and a sample of the others; None for all."""
    others = rows.mask_NK.shape[1] - 1
    if others <= config.list_negatives:
        return None
    return np.concatenate([[0], 1 + rng.choice(others, config.list_negatives, replace=False)])


def _step(model: RankerModel, slices: list[Slice], heads: tuple[str, ...], config: RankerConfig) -> Tensor:
    """Loss of one step."""
    total = []
    for piece in slices:
        position, device = piece.rows.position(piece.index)
        hidden = torch.rand(len(position), device=position.device) < config.position_dropout
        bias = model.position(torch.where(hidden, -1, position), device)
        total.append(_loss(model(piece.rows.inputs(piece.index, piece.columns)), piece, heads, bias, config))
    return torch.stack(total).sum()


def _loss(logits_BKH: Tensor, piece: Slice, heads: tuple[str, ...], bias_B: Tensor, config: RankerConfig) -> Tensor:
    """Weighted loss of one slice of impressions or of lists."""
    rows, index = piece.rows, piece.index
    found = losses.of_outcomes(logits_BKH[:, 0], heads, rows.labels(index), bias_B)
    if rows.listed and "relevance" in heads:
        mask = rows.mask(index, piece.columns)
        found["relevance"] = losses.listwise(logits_BKH[..., heads.index("relevance")], mask)
    return losses.weighted(found, asdict(config.loss_weights))


@torch.no_grad()
def predict(model: RankerModel, rows: Rows, index: Indices) -> Tensor:
    """Raw logits [len(index), K, H], in pieces that fit the cache."""
    step = max(_CHUNK // rows.mask_NK.shape[1], 1)
    return torch.cat([model(rows.inputs(index[i : i + step])) for i in range(0, len(index), step)])


def raw_scores(ranker: Ranker, shown: Impressions, catalogue: Catalogue) -> dict[str, NDArray[np.float32]]:
    """Logits by head, [N] each: log-odds, and log seconds for watch; without position and calibration."""
    rows = batches.impressions(shown, ranker.schema, catalogue, ranker.columns)
    found = predict(ranker.model, replace(rows, place=default_device()), np.arange(len(rows)))[:, 0].cpu().numpy()
    return {head: found[:, column] for column, head in enumerate(ranker.heads)}


@torch.no_grad()
def _observe(model: RankerModel, part: Part) -> Observed:
    rows, held = part.rows, part.held
    return Observed(
        logits_NKH=predict(model, rows, held).cpu().numpy(),
        labels_NO=rows.labels_NO[held],
        offsets_N=model.position(*rows.position(held)).cpu().numpy(),
        mask_NK=rows.mask_NK[held],
        affinity_NK=rows.numbers_NKF[held, :, 0],
        listed=rows.listed,
    )


@torch.no_grad()
def _held_loss(model: RankerModel, parts: Parts, heads: tuple[str, ...], config: RankerConfig) -> float:
    total = 0.0
    for part in parts:
        logits = predict(model, part.rows, part.held)
        bias = model.position(*part.rows.position(part.held))
        total += float(_loss(logits, Slice(part.rows, part.held, None), heads, bias, config))
    return total


def _position_curve(model: RankerModel, part: Part | None) -> tuple[float, ...]:
    """Up to the last slot that a training row was shown in."""
    last = int(part.rows.position_N[part.train].max(initial=-1)) if part else -1
    return tuple(model.position.curve()[: last + 1].tolist())


def _touched(parts: Parts, num_videos: int) -> NDArray[np.bool_]:
    """[V] videos that a training row showed, listed or had in its history."""
    touched = np.zeros(num_videos + 1, dtype=bool)
    for part in parts:
        touched[part.rows.batch.video_BK[part.train]] = True
        touched[part.rows.batch.viewer.history_BL[part.train]] = True
    return touched[:-1]
