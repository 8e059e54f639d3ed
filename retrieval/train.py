"""Train the two towers on clicks: one pass of named steps, the same losses for the same seed.

A step is a batch of clicks, each with its pooled history (`retrieval.batches`), or of runs of clicks read in order
(`retrieval.sequences`). Towers that are solved take no steps (`retrieval.solved`). Adam moves layers and small tables; a large
table of video ids moves itself during backward (row-wise Adagrad). Several processes can share each step
(`retrieval.parallel`); what is drawn at random does not depend on how many. Knows nothing of evaluation or files.
"""

import itertools
import math
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.nn import functional

from core import rng
from core.errors import BadInput, ConfigError
from data.catalogue import Catalogue
from data.interactions import group
from embeddings import id_tables
from embeddings.id_tables import IdTable, Sightings
from features.schema import FeatureSchema
from retrieval import parallel, solved
from retrieval.batches import Batcher, StepBatch
from retrieval.config import BFLOAT16, POOLS, SOLVED, TRANSFORMER, TwoTowerConfig
from retrieval.examples import RetrievalExamples
from retrieval.losses import sampled_softmax
from retrieval.parallel import ALONE, Peers
from retrieval.runs import RunSampler
from retrieval.sequences import SequenceBatcher, sequence_loss
from retrieval.solved_graphs import HistorySolver
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
    video_backend: str | None = None,
) -> TwoTower:
    """Towers fitted to the examples, by `config.processes` or under torchrun: every process returns the same ones.

    Args:
        config: what to train, for how long.
        schema: the columns of the examples' viewer parts.
        catalogue: what the examples' rows refer to.
        examples: clicks with the features just before them.
        warm_start: towers to continue from; their catalogue may be older.
        on_step: told (steps done, steps in all, loss) after each step.
        video_backend: where tables of videos are kept (`embeddings.tables`); divided ones start anew, without `warm_start`.

    Raises:
        BadInput: there is nothing to learn from.
        ConfigError: `ids` with too few rows, or other ones than those of `warm_start`.
    """
    if examples.num < max(2, config.processes) or not len(catalogue):
        raise BadInput(f"training the towers needs at least 2 clicks on known videos, and one per process, got {examples.num}")
    tower = _start(config, schema, catalogue, examples, warm_start, video_backend)
    if config.viewer == SOLVED:
        return _solve(tower, catalogue, examples, warm_start, on_step).eval()
    if config.precision == BFLOAT16 and not has_bfloat16(tower.device):
        warnings.warn(f"this {tower.device.type} has no bfloat16: it is imitated, and slower than float32", stacklevel=2)
    return parallel.together(config.processes, lambda peers: _steps(tower, catalogue, examples, peers, on_step))


def _steps(
    tower: TwoTower, catalogue: Catalogue, examples: RetrievalExamples, peers: Peers, on_step: OnStep | None
) -> TwoTower:
    config = tower.config
    optimizer = torch.optim.AdamW(tower.dense_groups(), weight_decay=0.0)
    rates = [group["lr"] for group in optimizer.param_groups]
    losses = {POOLS: _pool_losses, TRANSFORMER: _sequence_losses}[config.viewer]
    with torch.random.fork_rng(devices=[]):  # dropout draws from torch's own stream
        torch.manual_seed(rng.torch_seed(config.seed + peers.rank, "retrieval dropout"))
        for done, steps, loss in losses(tower.train(), catalogue, examples, peers):
            factor = _rate(config, done / steps)
            tower.scale_learning_rate(factor)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = factor * rate
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            peers.sum_gradients(tower.layers())
            if tower.history is not None:
                torch.nn.utils.clip_grad_norm_(tower.parameters(), config.transformer.max_gradient)
            optimizer.step()
            whole = peers.total(loss.detach())
            if on_step is not None and not peers.copy:
                on_step(done + 1, steps, whole.item())
    return tower.eval()


Losses = Iterator[tuple[int, int, torch.Tensor]]


def _pool_losses(tower: TwoTower, catalogue: Catalogue, examples: RetrievalExamples, peers: Peers) -> Losses:
    """(steps done before, steps in all, this process's part of the loss) of every step; each epoch sees every click once."""
    config, batcher = tower.config, Batcher(tower, catalogue, examples, peers)
    order, random = rng.stream(config.seed, "retrieval order"), rng.stream(config.seed, "retrieval negatives")
    per_epoch = math.ceil(examples.num / config.batch_size)
    for epoch in range(config.epochs):
        for i, chosen in enumerate(np.array_split(order.permutation(examples.num), per_epoch)):
            yield epoch * per_epoch + i, config.epochs * per_epoch, step_loss(tower, batcher.step(chosen, random), peers)


def _sequence_losses(tower: TwoTower, catalogue: Catalogue, examples: RetrievalExamples, peers: Peers) -> Losses:
    """The same; each epoch sees one run of every viewer's clicks."""
    config, batcher = tower.config, SequenceBatcher(tower, catalogue, examples, peers)
    order, random = rng.stream(config.seed, "retrieval order"), rng.stream(config.seed, "retrieval negatives")
    sampler = RunSampler(examples, config.history_length + 1)
    for epoch in range(config.epochs):
        batches = sampler.epoch(config.transformer.batch_clicks, order)
        for i, runs in enumerate(batches):
            loss = sequence_loss(tower, batcher.step(runs, random), peers)
            yield epoch * len(batches) + i, config.epochs * len(batches), loss


def _solve(
    tower: TwoTower, catalogue: Catalogue, examples: RetrievalExamples, warm_start: TwoTower | None, on_step: OnStep | None
) -> TwoTower:
    """Towers that need no steps, with the settings of `warm_start` or chosen ones: `on_step` is told 1 − nDCG of each trial."""
    config, heard = tower.config, itertools.count(1)
    pairs = np.unique(np.stack([examples.viewer_ids, examples.video_rows.astype(np.int64)]), axis=1)
    log = group(pairs[0], pairs[1].astype(np.int32), np.zeros(pairs.shape[1], np.int64), len(catalogue), ordered=False)
    content_VC = tower.content_scale * catalogue.content

    def on_trial(ndcg: float) -> None:
        if on_step is not None:
            on_step(next(heard), solved.num_trials(content_VC, config.solved), 1.0 - ndcg)

    if warm_start is not None and isinstance(warm_start.history, HistorySolver):
        settings = warm_start.history.chosen()
    else:
        settings = solved.choose(log, content_VC, config.dim, config.solved, config.seed, on_trial)
    tower.take(solved.solve(log, content_VC, config.dim, config.solved.sweeps, settings, config.seed), content_VC)
    return tower


def step_loss(tower: TwoTower, batch: StepBatch, peers: Peers = ALONE) -> torch.Tensor:
    """This process's part of the batch's loss, differentiable. []"""
    raw_UD = peers.shared(tower.raw(batch.videos, batch.content_UC))
    code_BX = tower.code_vectors(batch.codes)
    code_BX = None if code_BX is None else peers.shared(code_BX)[batch.clicks]
    with tower.autocast():
        viewer_BD = tower.viewer_vectors(pool(raw_UD, batch.weights_PH, batch.bags), code_BX, batch.dense_BF).float()
        # Not raw_UD[…]: its backward pass adds rows that recur in an order that differs from run to run.
        raw_CD = functional.embedding(batch.candidate_C, raw_UD)
        part_CD = tower.video_vectors(raw_CD, batch.log_age_C).float()
    num = len(batch.video_C)
    return sampled_softmax(
        viewer_BD,
        peers.gathered(part_CD, peers.share(num), num),
        tower.config.temperature,
        batch.log_q_C,
        batch.video_C,
        batch.at_B,
        batch.uploaded_at_C,
        first=batch.clicks.start,
        num=batch.num_clicks,
    )


def has_bfloat16(device: torch.device) -> bool:
    """Whether matrix products of bfloat16 are instructions there."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _start(
    config: TwoTowerConfig,
    schema: FeatureSchema,
    catalogue: Catalogue,
    examples: RetrievalExamples,
    warm_start: TwoTower | None,
    video_backend: str | None,
) -> TwoTower:
    ids = _ids(config, catalogue, examples, warm_start)
    tower = TwoTower(config, schema, catalogue, ids=ids, video_backend=video_backend)
    if warm_start is not None:
        tower.continue_from(warm_start)
    elif schema.viewer_dense:
        chosen = rng.stream(config.seed, "retrieval scale").permutation(examples.num)[:_DENSE_SAMPLE]
        tower.viewer.fit_dense(torch.from_numpy(examples.viewer_part(chosen).dense_BF).to(tower.device))
    clicked_V = np.bincount(examples.video_rows, minlength=len(catalogue)) > 0
    tower.known_V = (tower.known_V | clicked_V) & (tower.id_row_VP[:, 0] >= 0)
    return tower


def _ids(config: TwoTowerConfig, catalogue: Catalogue, examples: RetrievalExamples, warm_start: TwoTower | None) -> IdTable:
    """The rows of videos' ids: begun with these clicks, or as they were, for the catalogue and the clicks since."""
    seen = Sightings(catalogue.video_ids[examples.video_rows], examples.at)
    if warm_start is None:
        return id_tables.begin(config.ids, catalogue.video_ids, seen)
    if warm_start.config.ids != config.ids:
        raise ConfigError("a warm start keeps the ids of the towers that it goes on from; to change `ids`, train from nothing")
    return warm_start.ids.grown(catalogue.video_ids, seen)


def _rate(config: TwoTowerConfig, progress: float) -> float:
    """Factor on every learning rate after a share of the steps: a linear warm-up (transformer), then the schedule."""
    warmup = config.transformer.warmup if config.viewer == TRANSFORMER else 0.0
    rising = min(1.0, progress / warmup + 0.01) if warmup else 1.0
    if config.schedule == "constant":
        return rising
    return rising * (_FINAL_RATE + (1.0 - _FINAL_RATE) * 0.5 * (1.0 + math.cos(math.pi * progress)))
