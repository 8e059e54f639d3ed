"""A rated log with a known truth: P(label) = σ(viewer + video + length); everything else is noise."""

from pathlib import Path

import numpy as np
import polars as pl
from scipy.special import expit


def frame(num_rows: int, num_viewers: int = 40, num_videos: int = 60, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    viewer, video = rng.integers(num_viewers, size=num_rows), rng.integers(num_videos, size=num_rows)
    taste, quality = rng.normal(size=num_viewers), rng.normal(size=num_videos)
    length_ms = np.exp(rng.normal(9.5, 0.8, num_videos))[video].astype(int)
    logit = taste[viewer] + quality[video] + 0.3 * (np.log(length_ms) - 9.5)
    played = rng.gamma(2.0, 0.3 * length_ms * expit(logit))
    return pl.DataFrame(
        {
            "user_id": viewer + 1_000,
            "video_id": video + 5_000,
            "time_ms": np.sort(rng.integers(0, 864_000_000, size=num_rows)) + 1_650_000_000_000,
            "duration_ms": length_ms,
            "is_click": (rng.random(num_rows) < expit(logit)).astype(int),
            "long_view": (rng.random(num_rows) < expit(logit - 0.5)).astype(int),
            "play_time_ms": played.astype(int),
            "label": (rng.random(num_rows) < expit(logit + 1)).astype(int),
            "comment_stay_time": rng.integers(0, 9_000, num_rows),
        }
    )


def write(folder: Path, data: pl.DataFrame, train_share: float = 0.8) -> tuple[Path, Path]:
    cut = int(len(data) * train_share)
    paths = folder / "train.tsv", folder / "held_out.tsv"
    for path, part in zip(paths, (data[:cut], data[cut:]), strict=True):
        part.write_csv(path, separator="\t")
    return paths
