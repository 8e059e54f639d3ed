"""The two towers: one network from a viewer's features, one from a video, to vectors whose inner product is the score.

Both read a video as one *raw* vector, the sum of its id row and of what is known without clicks:

    raw v    = id[v] + channel[v] + category[v] + language[v] + content[v] @ W
    video v  = normalise(raw v + MLP([raw v, log age]))
    viewer   = normalise(Σ_p a_p · pool_p + MLP([pools, code vectors, dense])),   pool_p = Σ_l weight[p, l] · raw[history l]

or, with `similarity = dot`, without normalising; with `viewer = transformer`, its state after the history
(`retrieval.transformer`) takes the place of the pools, with `viewer = solved` the solution of its equations
(`retrieval.solved_graphs`).

id[v] is the video's own row or, in a table with fewer rows than videos, one that it shares, the sum of two, or none
(`embeddings.id_tables`).

The sums beside the MLPs make "more like what you watched" the starting point of training (YouTube's candidate generator,
Covington et al. 2016, without the residual). An empty id bag is zero: a video without clicks still has the rest of the sum.
Knows nothing of losses, sampling or files. Shapes as in `retrieval.encoder`, U distinct videos of a batch.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from core import rng
from core.errors import ConfigError
from data.catalogue import Catalogue, lookup
from embeddings import id_tables
from embeddings.id_tables import IdTable
from embeddings.jagged import KeyedJaggedTensor
from embeddings.tables import ADAM, ROWWISE_ADAGRAD, TableConfig, Tables, default_device, suited_optimizer
from features.schema import FeatureSchema
from retrieval.config import BFLOAT16, COSINE, POOLS, SOLVED, TRANSFORMER, TwoTowerConfig
from retrieval.encoder import NUM_POOLS, VIDEO_CODES
from retrieval.solved import Solution
from retrieval.solved_graphs import HistorySolver, SolvedVideo
from retrieval.transformer import HistoryTransformer

VIDEO_ID = "video_id"
_DENSE_LIMIT = 5.0
_SMALL = 0.035
"""Rows that a transformer reads, which scales them up, start within ± this: a standard deviation of .02."""


@dataclass(frozen=True)
class Bags:
    """A sparse matrix from U videos to B histories, stored both ways so that neither pass of training scatters.

    Entry e says: history `bag_H[e]` holds video `video_H[e]`. Entries are grouped by history; `by_video_H` sorts by video.
    """

    video_H: Tensor
    bag_H: Tensor
    starts_B: Tensor
    by_video_H: Tensor
    starts_U: Tensor


class _Pool(torch.autograd.Function):
    """Weighted sums of rows per bag. Torch's own backward pass is 40 times slower on CPU (it scatters row by row)."""

    @staticmethod
    def forward(ctx: Any, raw_UD: Tensor, weights_H: Tensor, bags: Bags) -> Tensor:
        ctx.bags, ctx.weights = bags, weights_H
        return functional.embedding_bag(bags.video_H, raw_UD, bags.starts_B, mode="sum", per_sample_weights=weights_H)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        bags, order = ctx.bags, ctx.bags.by_video_H
        weights = ctx.weights[order]
        grad = functional.embedding_bag(
            bags.bag_H[order], grads[0].contiguous(), bags.starts_U, mode="sum", per_sample_weights=weights
        )
        return grad, None, None


def pool(raw_UD: Tensor, weights_PH: Tensor, bags: Bags) -> Tensor:
    """Every pool of every history. [B, P · D]"""
    return torch.cat([_Pool.apply(raw_UD, weights, bags) for weights in weights_PH], dim=1)


class ViewerTower(nn.Module):
    """[summaries | code vectors | dense] → unit vector, the summaries being the pools or the transformer's state."""

    def __init__(self, config: TwoTowerConfig, num_codes: int, num_dense: int) -> None:
        super().__init__()
        self.dim, self.num_dense = config.dim, num_dense
        self.num_summaries = NUM_POOLS if config.viewer == POOLS else 1
        self.width = self.num_summaries * config.dim + num_codes * config.code_dim + num_dense
        self.layers = _mlp(self.width, config.hidden, config.dim) if config.hidden else None
        self.finish = _finish(config)
        self.mix_P = nn.Parameter(torch.full((self.num_summaries,), 1.0 / self.num_summaries))
        self.dense_mean: Tensor
        self.dense_scale: Tensor
        self.register_buffer("dense_mean", torch.zeros(num_dense))
        self.register_buffer("dense_scale", torch.ones(num_dense))

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, X] → [B, D]"""
        summaries = inputs[:, : self.num_summaries * self.dim].unflatten(1, (self.num_summaries, self.dim))
        summed = (self.mix_P[:, None] * summaries).sum(dim=1)
        if self.layers is None:
            return self.finish(summed)
        if self.num_dense:
            dense = (_log(inputs[:, -self.num_dense :]) - self.dense_mean) * self.dense_scale
            inputs = torch.cat([inputs[:, : -self.num_dense], dense.clamp(-_DENSE_LIMIT, _DENSE_LIMIT)], dim=1)
        return self.finish(summed + self.layers(inputs))

    def fit_dense(self, dense_NF: Tensor) -> None:
        """Take mean and deviation of each numeric feature (after a signed log) from a sample."""
        logged = _log(dense_NF)
        self.dense_mean.copy_(logged.mean(dim=0))
        self.dense_scale.copy_(1.0 / logged.std(dim=0, correction=0).clamp_min(1e-3))


class VideoTower(nn.Module):
    """[raw | log age] → unit vector. The graph that is exported."""

    def __init__(self, config: TwoTowerConfig) -> None:
        super().__init__()
        self.dim = config.dim
        self.layers = _mlp(config.dim + 1, config.hidden, config.dim) if config.hidden else None
        self.finish = _finish(config)

    def forward(self, inputs: Tensor) -> Tensor:
        """[N, D + 1] → [N, D]"""
        raw = inputs[:, : self.dim]
        return self.finish(raw if self.layers is None else raw + self.layers(inputs))


class TwoTower(nn.Module):
    """Tables and towers, tied to the catalogue they were built for."""

    def __init__(
        self,
        config: TwoTowerConfig,
        schema: FeatureSchema,
        catalogue: Catalogue,
        device: torch.device | None = None,
        *,
        ids: IdTable | None = None,
        video_backend: str | None = None,
    ) -> None:
        """Build anew: `ids` for this catalogue (default: as training begins), tables of videos on `video_backend`."""
        super().__init__()
        if config.viewer == SOLVED and (schema.viewer_codes or schema.viewer_dense):
            raise ConfigError(
                "a set of videos is all that `viewer = solved` reads; use pools or transformer beside other features"
            )
        self.config, self.schema = config, schema
        self.video_ids = catalogue.video_ids
        self.vocabularies = catalogue.vocabularies
        self.known_V: NDArray[np.bool_] = np.zeros(len(catalogue), dtype=np.bool_)
        """[V] whether training has clicks of the video, and a row for it: its id then means something."""
        self.ids = id_tables.begin(config.ids, catalogue.video_ids) if ids is None else ids
        self.id_row_VP = self.ids.rows(catalogue.video_ids)
        """[V, P] the rows of the table of ids whose sum describes each video's, −1 without."""
        place = device or default_device()
        tables = _video_tables(config, catalogue, self.ids.num_rows, summed=self.id_row_VP.shape[1])
        seed = rng.torch_seed(config.seed, "video tables")
        self.video_tables = Tables(tables, seed=seed, device=place, backend=video_backend)
        codes, seed = _viewer_tables(config, schema), rng.torch_seed(config.seed, "viewer tables")
        self.viewer_tables = Tables(codes, seed=seed, device=place) if codes else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng.torch_seed(config.seed, "retrieval layers"))
            self.content = nn.Linear(catalogue.content.shape[1], config.dim, bias=False) if catalogue.content.shape[1] else None
            self.history = _history(config)
            self.viewer = ViewerTower(config, len(schema.viewer_codes), len(schema.viewer_dense))
            self.video = SolvedVideo(config.dim) if config.viewer == SOLVED else VideoTower(config)
        self.content_scale = 1.0 / max(float(np.linalg.norm(catalogue.content, axis=1).mean()), 1e-6) if len(catalogue) else 1.0
        self.to(place)

    @property
    def device(self) -> torch.device:
        """Where the layers are."""
        return self.viewer.mix_P.device

    def raw(self, videos: KeyedJaggedTensor, content_UC: Tensor) -> Tensor:
        """Raw vectors of U videos; an empty `video_id` bag leaves the id out. [U, D]"""
        rows = self.video_tables(videos)
        raw = rows[VIDEO_ID] + sum(rows[name] for name in VIDEO_CODES)
        return raw if self.content is None else raw + self.content(content_UC * self.content_scale)

    def states(self, raw_UD: Tensor, history_SL: Tensor) -> Tensor:
        """The transformer's states after 0 … L videos of each history, given by indices into U. [S, L + 1, D]"""
        assert isinstance(self.history, HistoryTransformer), "only a transformer has a state after each video"
        return self.history(functional.embedding(history_SL, raw_UD))

    def code_vectors(self, codes: KeyedJaggedTensor | None) -> Tensor | None:
        """Vectors of B viewers' codes side by side; None where the schema has no codes. [B, X]"""
        if codes is None or self.viewer_tables is None:
            return None
        vectors = self.viewer_tables(codes)
        return torch.cat([vectors[name] for name in self.schema.viewer_codes], dim=1)

    def viewer_vectors(self, summaries: Tensor, code_BX: Tensor | None, dense_BF: Tensor) -> Tensor:
        """Unit vectors of B viewers. [B, D]"""
        codes = [] if code_BX is None else [code_BX]
        return self.viewer(torch.cat([summaries, *codes, dense_BF], dim=1))

    def video_vectors(self, raw_ND: Tensor, log_age_N: Tensor) -> Tensor:
        """Unit vectors of N videos. [N, D]"""
        return self.video(torch.cat([raw_ND, log_age_N[:, None]], dim=1))

    def autocast(self) -> torch.autocast:
        """The context in which layers compute in the config's precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == BFLOAT16)

    def layers(self) -> list[nn.Parameter]:
        """What comes after a raw vector and the vectors of codes: all that differs from one row of a batch to the next."""
        parts = [part for part in (self.history, self.viewer, self.video) if part is not None]
        return [parameter for part in parts for parameter in part.parameters()]

    def dense_groups(self) -> list[dict[str, Any]]:
        """Parameter groups for AdamW: matrices of layers, other layers, and small tables."""
        layers = [parameter for name, parameter in self.named_parameters() if not _in_table(name)]
        decayed = self.config.transformer.weight_decay if self.config.viewer == TRANSFORMER else 0.0
        groups = [
            {"params": [p for p in layers if p.ndim > 1], "lr": self.config.learning_rate, "weight_decay": decayed},
            {"params": [p for p in layers if p.ndim < 2], "lr": self.config.learning_rate},
        ]
        return groups + [group for tables in self._all_tables() for group in tables.adam_groups()]

    def scale_learning_rate(self, factor: float) -> None:
        """See `embeddings.tables`: the rates of the tables that Adam does not handle."""
        for tables in self._all_tables():
            tables.scale_learning_rate(factor)

    @torch.no_grad()
    def continue_from(self, before: "TwoTower") -> None:
        """Start where `before` ended. Videos and codes are matched by value, so the catalogue may have grown.

        Rows of ids go on as `self.ids` says; but for whole tables these are grown from `before.ids`.
        Viewer codes have no values here: a table whose size changed starts anew. So do layers whose shape changed.
        """
        rows = lookup(before.video_ids, self.video_ids)
        self.video_tables.copy_rows(VIDEO_ID, before.video_tables, self.ids.continues(before.ids))
        self.known_V = np.where(rows >= 0, before.known_V[rows], False)
        for name, mine, theirs in zip(VIDEO_CODES, self.vocabularies, before.vocabularies, strict=True):
            where = {value: code for code, value in enumerate(theirs.values)}
            codes = np.fromiter((where.get(value, -1) for value in mine.values), dtype=np.int32)
            self.video_tables.copy_rows(name, before.video_tables, codes)
        if self.viewer_tables is not None and before.viewer_tables is not None:
            for name, config in self.viewer_tables.configs.items():
                if name in before.viewer_tables.configs and before.viewer_tables.configs[name].rows == config.rows:
                    self.viewer_tables.copy_rows(name, before.viewer_tables, np.arange(config.rows, dtype=np.int32))
        self.content_scale = before.content_scale
        mine_now = self.state_dict()
        carried = {n: v for n, v in before.state_dict().items() if not _in_table(n) and n in mine_now}
        self.load_state_dict({n: v for n, v in carried.items() if mine_now[n].shape == v.shape}, strict=False)

    @torch.no_grad()
    def take(self, solution: Solution, content_VC: NDArray[np.float32]) -> None:
        """Become the towers that were solved for (`viewer = solved`): only ids and content make up a raw vector."""
        assert isinstance(self.history, HistorySolver), "only solved towers are made of a solution"
        self.history.take(solution)
        for name in VIDEO_CODES:
            self.video_tables.weight(name).zero_()
        if self.content is not None:
            self.content.weight.copy_(torch.from_numpy(solution.content_CD.T))
        without_id_VD = content_VC @ solution.content_CD
        self.video_tables.weight(VIDEO_ID).copy_(torch.from_numpy(solution.video_VD - without_id_VD))

    def _all_tables(self) -> list[Tables]:
        return [self.video_tables] if self.viewer_tables is None else [self.video_tables, self.viewer_tables]


def _history(config: TwoTowerConfig) -> HistoryTransformer | HistorySolver | None:
    """What reads the history video by video; None where sums are enough."""
    if config.viewer == TRANSFORMER:
        return HistoryTransformer(config.dim, config.history_length, config.transformer)
    return HistorySolver(config.dim) if config.viewer == SOLVED else None


def _in_table(name: str) -> bool:
    return name.startswith(("video_tables.", "viewer_tables."))


def _video_tables(config: TwoTowerConfig, catalogue: Catalogue, num_rows: int, summed: int) -> list[TableConfig]:
    """The table of ids, `summed` rows of which describe one, so that their sum starts as spread as a single row, and codes."""
    size = (_SMALL if config.viewer == TRANSFORMER else config.dim**-0.5) * summed**-0.5
    optimizer = suited_optimizer(num_rows) if config.dense_ids else ROWWISE_ADAGRAD
    rate = config.learning_rate if optimizer == ADAM else config.table_learning_rate
    ids = TableConfig(VIDEO_ID, num_rows, config.dim, optimizer=optimizer, learning_rate=rate, init=size)
    return [ids, *(_codes(config, n, len(v), config.dim) for n, v in zip(VIDEO_CODES, catalogue.vocabularies, strict=True))]


def _viewer_tables(config: TwoTowerConfig, schema: FeatureSchema) -> list[TableConfig]:
    named = zip(schema.viewer_codes, schema.viewer_code_sizes, strict=True)
    return [_codes(config, name, rows, config.code_dim) for name, rows in named]


def _codes(config: TwoTowerConfig, name: str, rows: int, dim: int) -> TableConfig:
    optimizer = suited_optimizer(rows)
    rate = config.code_learning_rate if optimizer == ADAM else config.table_learning_rate
    return TableConfig(name, rows, dim, optimizer=optimizer, learning_rate=rate, init=0.1 * dim**-0.5)


def _mlp(width: int, hidden: tuple[int, ...], out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU()]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, out))


class _Unit(nn.Module):
    def forward(self, vectors: Tensor) -> Tensor:
        return functional.normalize(vectors, dim=1)


def _finish(config: TwoTowerConfig) -> nn.Module:
    return _Unit() if config.similarity == COSINE else nn.Identity()


def _log(values: Tensor) -> Tensor:
    return torch.sign(values) * torch.log1p(torch.abs(values))
