"""The ranker in the server: a batch of features and two-tower affinities in, one score per head and candidate out. Torch-free.

    relevance   raw logit of the listwise softmax; only differences within a request mean something
    click       P(click) at a typical position of the training log
    watch       expected seconds watched: P(click) · E[seconds | click]
    like        P(click) · P(like | click); the same for dislike

A head that the log could not train is absent. Without a click head (a log without impressions) like and dislike are given a
click, since nothing better can be known. Gathers embeddings with numpy, then runs the network in ONNX Runtime on one thread.
What never changes of a video (its content, its own vector, those of its category, channel and language) lies side by side in a
file of the release, which is mapped: one gather, and processes that open the same release share it.

Shape legend as in `ranking.layout`; H heads.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from core import config as configs
from core import tensors
from core.blocks import blocks
from core.errors import BadInput, ReleaseRefused
from data.catalogue import Catalogue
from embeddings.host_table import HostTable
from features.schema import FeatureBatch
from ranking import layout as lay
from ranking.calibrate import Curve
from ranking.config import CombineConfig, RankerConfig
from ranking.layout import Layout
from ranking.rows import Cached, Rows, Whole

Floats = NDArray[np.float32]
GRAPH, TABLES, FACTS, VIDEOS = "ranker.onnx", "ranker_tables.safetensors", "ranker.json", "ranker_videos.npy"
_INPUTS = {"viewer", "numbers", "video", "cross"}
_LARGEST = 65_536
"""Most candidates per run of the network, which bounds memory in offline evaluation."""


@dataclass(frozen=True)
class Scorer:
    """A loaded ranker. Safe to share between threads."""

    heads: tuple[str, ...]
    combine: CombineConfig
    """The utility formula that was released with these scores."""
    columns: Layout
    videos: Rows
    """[V, C + E + 3d] each video's content, normalised, its vector, then those of its category, channel and language."""
    content_mean: Floats
    content_std: Floats
    """[C] what content is normalised by."""
    codes_TD: Floats
    curves: dict[str, Curve]
    watch_scale: float
    session: ort.InferenceSession

    @staticmethod
    def load(release_dir: Path, catalogue: Catalogue, *, threads: int = 1, rows_in_memory: int = 0) -> "Scorer":
        """Open the four files that `ranking.export` wrote.

        Args:
            release_dir: where they are.
            catalogue: of the same release.
            threads: of the network.
            rows_in_memory: videos whose rows are kept in memory, the others read when asked for; 0 maps all.

        Raises:
            ReleaseRefused: a file is missing or broken, or it was trained for another catalogue.
        """
        try:
            facts, codes_TD = _trained(release_dir)
            file = release_dir / VIDEOS
            videos = Cached(HostTable(file), rows_in_memory) if rows_in_memory else Whole(tensors.mapped_npy(file))
            scorer = _assemble(facts, codes_TD, videos, _session(release_dir / GRAPH, threads))
        except ReleaseRefused:
            raise
        except Exception as error:
            raise ReleaseRefused(f"the ranker in {release_dir} cannot be opened: {error}") from error
        if videos.shape != (len(catalogue), scorer.columns.video_width):
            raise ReleaseRefused(
                f"the ranker knows {videos.shape[0]} videos by {videos.shape[1]} numbers; the catalogue has {len(catalogue)}, "
                f"and its network wants {scorer.columns.video_width}"
            )
        if not np.isfinite(codes_TD).all():
            raise ReleaseRefused(f"the ranker's tables in {release_dir} hold values that are not finite")
        return scorer

    def require_videos(self, catalogue: Catalogue) -> None:
        """Read the table of videos through: numbers, and those of this catalogue. Raises ReleaseRefused."""
        own = slice(self.columns.content_dim, self.columns.content_dim + self.columns.video_dim)
        for rows in blocks(len(catalogue)):
            found = self.videos.take(np.arange(rows.start, rows.stop, dtype=np.int32))
            if not np.isfinite(found).all():
                raise ReleaseRefused("the ranker's table of videos holds values that are not finite")
            if not np.array_equal(found, self._rows(catalogue, rows, found[:, own])):
                raise ReleaseRefused("the ranker's table of videos was made from another catalogue")

    def score(self, batch: FeatureBatch, affinity_BK: Floats) -> dict[str, Floats]:
        """Scores by head, each f32[B, K]; the meaning of each is at the top of this file.

        Raises:
            BadInput: affinity or features do not have the shape of the batch.
        """
        logits = self.logits(batch, affinity_BK)
        raw = {head: logits[..., column] for column, head in enumerate(self.heads)}
        scores = {head: self.curves[head](raw[head]) for head in raw if head in self.curves}
        click = scores.get("click", np.float32(1.0))
        for head in ("like", "dislike"):
            if head in scores:
                scores[head] = scores[head] * click
        if "watch" in raw:
            scores["watch"] = np.exp(np.minimum(raw["watch"], 20.0)) * np.float32(self.watch_scale) * click
        return scores | ({"relevance": raw["relevance"]} if "relevance" in raw else {})

    def with_videos(self, new: Catalogue) -> "Scorer":
        """The ranker with rows for videos that it never saw at their end: content and codes, and a zero vector of their own."""
        own = np.zeros((len(new), self.columns.video_dim), dtype=np.float32)
        return replace(self, videos=self.videos.longer(self._rows(new, slice(0, len(new)), own)))

    def logits(self, batch: FeatureBatch, affinity_BK: Floats) -> Floats:
        """Uncalibrated output of the network. [B, K, H]"""
        num_requests, num_candidates = batch.video_BK.shape
        if affinity_BK.shape != (num_requests, num_candidates):
            raise BadInput(f"affinity is {affinity_BK.shape} for {batch.video_BK.shape} candidates")
        if not batch.video_BK.size:
            return np.empty((num_requests, num_candidates, len(self.heads)), dtype=np.float32)
        inputs = self.inputs(batch, affinity_BK)
        step = max(_LARGEST // num_candidates, 1)
        pieces = [
            self.session.run(None, {name: values[i : i + step] for name, values in inputs.items()})[0]
            for i in range(0, num_requests, step)
        ]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def inputs(self, batch: FeatureBatch, affinity_BK: Floats) -> dict[str, Floats]:
        """What the network reads, by name: one row per request, or one per candidate in three pieces."""
        return {"viewer": self._viewer(batch), **self._candidate(batch, affinity_BK)}

    def _viewer(self, batch: FeatureBatch) -> Floats:
        """[B, X] numbers, mean of the history's vectors, code vectors."""
        history = batch.viewer.history_BL
        present = (history >= 0).astype(np.float32)[:, None]
        begin = self.columns.content_dim
        vectors = self.videos.take(np.maximum(history, 0))[..., begin : begin + self.columns.video_dim]
        bag = np.matmul(present, vectors)[:, 0] / np.maximum(present.sum(axis=2), 1)
        codes = self.codes_TD[lay.viewer_codes(batch, self.columns)].reshape(len(history), -1)
        return np.concatenate([batch.viewer.dense_BF, bag, codes], axis=1, dtype=np.float32)

    def _rows(self, catalogue: Catalogue, rows: slice, own_NE: Floats) -> Floats:
        """See `Scorer.videos`."""
        return _of_videos(catalogue, rows, own_NE, self.codes_TD, self.columns, (self.content_mean, self.content_std))

    def _candidate(self, batch: FeatureBatch, affinity_BK: Floats) -> dict[str, Floats]:
        """The candidates' columns in three pieces, by input of the network. [B, K, …] each"""
        rows, crossed = batch.video_BK, lay.cross_codes(batch, self.columns)
        numbers = (affinity_BK[..., None], batch.video_dense_BKF, batch.cross_dense_BKF)
        return {
            "numbers": np.concatenate(numbers, axis=-1, dtype=np.float32),
            "video": self.videos.take(rows),
            "cross": self.codes_TD.take(crossed, axis=0).reshape(*rows.shape, -1),
        }


def write_videos(release_dir: Path, catalogue: Catalogue, own_VE: Floats) -> None:
    """Write the table of videos beside the ranker's other files.

    Args:
        release_dir: where they are.
        catalogue: of the same release.
        own_VE: what the ranker learned of each video itself; zeros for those that it never saw.
    """
    facts, codes_TD = _trained(release_dir)
    columns, numbers = _columns(facts)
    shape = len(catalogue), columns.video_width
    table = np.lib.format.open_memmap(release_dir / VIDEOS, mode="w+", dtype=np.float32, shape=shape)
    for rows in blocks(len(catalogue)):
        table[rows] = _of_videos(catalogue, rows, own_VE[rows], codes_TD, columns, numbers)
    table.flush()


def own_vectors(release_dir: Path) -> Floats:
    """[V, E] what the ranker learned of each video itself."""
    columns, _ = _columns(_trained(release_dir)[0])
    return tensors.mapped_npy(release_dir / VIDEOS)[:, columns.content_dim : columns.content_dim + columns.video_dim]


def _trained(release_dir: Path) -> tuple[dict[str, Any], Floats]:
    return json.loads((release_dir / FACTS).read_text()), tensors.mapped(release_dir / TABLES)["codes"]


def _columns(facts: dict[str, Any]) -> tuple[Layout, tuple[Floats, Floats]]:
    """The layout, and what content is normalised by: mean and deviation."""
    columns, numbers = configs.from_dict(Layout, facts["layout"]), facts["normalisation"]
    mean, std = (np.array(numbers[f"candidate_{name}"], dtype=np.float32)[columns.pair_numbers :] for name in ("mean", "std"))
    return columns, (mean, std)


def _assemble(facts: dict[str, Any], codes_TD: Floats, videos: Rows, session: ort.InferenceSession) -> Scorer:
    if {found.name for found in session.get_inputs()} != _INPUTS:
        raise ReleaseRefused("the ranker was exported by an earlier version of this program: train a new release")
    columns, (mean, std) = _columns(facts)
    return Scorer(
        heads=tuple(facts["heads"]),
        combine=configs.from_dict(RankerConfig, facts["config"]).combine,
        columns=columns,
        videos=videos,
        content_mean=mean,
        content_std=std,
        codes_TD=codes_TD,
        curves={head: configs.from_dict(Curve, curve) for head, curve in facts["curves"].items()},
        watch_scale=float(facts["watch_scale"]),
        session=session,
    )


def _of_videos(
    catalogue: Catalogue, rows: slice, own_NE: Floats, codes_TD: Floats, columns: Layout, numbers: tuple[Floats, Floats]
) -> Floats:
    """See `Scorer.videos`. [N, S]"""
    of_codes = codes_TD[lay.video_codes(catalogue.codes[rows], columns)].reshape(len(own_NE), -1)
    content_NC = lay.normalised(catalogue.content[rows], *numbers)
    return np.concatenate([content_NC, own_NE, of_codes], axis=1, dtype=np.float32)


def _session(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
