"""Sets of videos without order: every model on a random fifth, and what content adds for videos seen rarely or never.

    python -m benchmarks.sets --data DIR/ml-1m                     the leaderboard of `upnext evaluate` on a held-out fifth
    python -m benchmarks.sets --data DIR/ml-1m --few               the same with 6 to 18 videos left to each viewer
    python -m benchmarks.sets --data DIR/ml-1m --few --content     towers alone with and without content

DIR has interactions.parquet (viewer_id, video_id) and, for content, videos.csv (video_id, title with a year, genres). With
`--content` a tenth of the videos is taken out of training altogether. Recall@20 is then given by how often a target was seen in
training; content is genres and decade, and beside them a stand-in for a good encoder: directions of the whole log with noise.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks import results_file
from cli.console import TerminalListener, console
from core import rng
from data.interactions import group
from pipelines import presets
from pipelines.evaluation import bare_files, cases
from pipelines.evaluation.bare_files import Bare
from pipelines.evaluation.held_out import read_log, read_pairs
from pipelines.presets import RunConfig
from pipelines.progress import Stages
from retrieval.solved import principal

_SHARE, _UNSEEN, _TOP = 0.2, 0.1, 20
_DIRECTIONS, _NOISE = 32, 0.7
_SLICES = {"never seen": (0, 0), "1 to 5 times": (1, 5), "6 to 20 times": (6, 20), "more": (21, 1 << 30)}


def thinned(pairs: pl.DataFrame, seed: int) -> pl.DataFrame:
    """6 to 18 random videos of each viewer."""
    random = rng.stream(seed, "sets, few")
    keyed = pairs.with_columns(pl.Series("key", random.random(len(pairs)))).sort("viewer_id", "key")
    viewers = keyed["viewer_id"].unique().sort()
    left = dict(zip(viewers.to_list(), random.integers(6, 19, len(viewers)).tolist(), strict=True))
    place = pl.int_range(pl.len()).over("viewer_id")
    return keyed.filter(place < pl.col("viewer_id").replace_strict(left)).drop("key")


def split(pairs: pl.DataFrame, unseen: float, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """To learn from, and a random fifth held out with all pairs of a share of the videos."""
    random = rng.stream(seed, "sets, split")
    videos = pairs["video_id"].unique().sort().to_numpy()
    never = videos[random.random(len(videos)) < unseen]
    out = pl.Series(random.random(len(pairs)) < _SHARE) | pairs["video_id"].is_in(never.tolist())
    return pairs.filter(~out), pairs.filter(out)


def content(pairs: pl.DataFrame, videos: pl.DataFrame, seed: int) -> dict[str, NDArray[np.float32]]:
    """Row i belongs to video_id i: nothing, genres and decade, and the same with noisy directions of the whole log."""
    num = int(max(pairs["video_id"].max(), videos["video_id"].max())) + 1  # type: ignore[arg-type,type-var]
    decade = videos["title"].str.extract(r"\((\d{3})\d\)").fill_null("")
    marks = videos["genres"].str.replace_all(r"\|", "\t") + "\t" + decade
    words = marks.str.split("\t").to_list()
    column = {word: place for place, word in enumerate(sorted({word for line in words for word in line}))}
    known = np.zeros((num, len(column)), dtype=np.float32)
    for video, line in zip(videos["video_id"], words, strict=True):
        known[video, [column[word] for word in line]] = 1.0
    log = group(
        pairs["viewer_id"].to_numpy(),
        pairs["video_id"].to_numpy().astype(np.int32),
        np.zeros(len(pairs), np.int64),
        num,
        ordered=False,
    )
    _, direction = principal(log, _DIRECTIONS, seed)
    direction = direction / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    noise = rng.stream(seed, "sets, noise").normal(scale=_NOISE / _DIRECTIONS**0.5, size=direction.shape)
    told = np.concatenate([known, 2.0 * (direction + noise)], axis=1, dtype=np.float32)
    return {"none": known[:0], "genres and decade": known, "and noisy directions": told}


def by_sightings(train: Path, held_out: Path, vectors: Path | None, config: RunConfig) -> dict[str, float]:
    """Recall@20 of the towers alone: of all targets and by how often they were seen in training."""
    log = read_log(train, vectors)
    plan = config.files.unordered
    bare, asked = Bare.of(log, plan.history_length), read_pairs(held_out, log)
    test = cases.held_out(log.interactions, asked.viewer_ids, asked.video_rows)
    with TemporaryDirectory() as folder:
        towers = bare_files.towers_alone(bare, plan, config.seed, Path(folder))
    counts, targets = log.interactions.counts(), test.targets
    found = np.concatenate([towers.rank(test.cases, slice(b, b + 512))[:, :_TOP] for b in range(0, len(test), 512)])
    hit = (found[targets.owners] == targets.values[:, None]).any(axis=1)
    seen = np.where(targets.values >= 0, counts[targets.values], 0)
    result = {"all": float(hit.mean())}
    return result | {name: float(hit[(seen >= low) & (seen <= high)].mean()) for name, (low, high) in _SLICES.items()}


def leaderboard(pairs: pl.DataFrame, config: RunConfig, seed: int) -> dict[str, object]:
    """What `upnext evaluate` says."""
    with TemporaryDirectory() as folder:
        paths = _written(split(pairs, 0.0, seed), Path(folder))
        board = bare_files.evaluate(*paths, None, config, Stages(TerminalListener()))
    console.print(board.to_table())
    return board.to_json()


def with_content(pairs: pl.DataFrame, videos: pl.DataFrame, config: RunConfig, seed: int) -> dict[str, object]:
    """Recall@20 for each kind of content."""
    found: dict[str, object] = {}
    with TemporaryDirectory() as folder:
        paths, vectors = _written(split(pairs, _UNSEEN, seed), Path(folder)), Path(folder) / "vectors.npy"
        for name, array in content(pairs, videos, seed).items():
            np.save(vectors, array, allow_pickle=False)
            found[name] = by_sightings(*paths, vectors if len(array) else None, config)
            console.print(name, found[name])
    return found


def _written(frames: tuple[pl.DataFrame, pl.DataFrame], folder: Path) -> tuple[Path, Path]:
    paths = folder / "train.parquet", folder / "held_out.parquet"
    for frame, path in zip(frames, paths, strict=True):
        frame.write_parquet(path)
    return paths


def main() -> None:
    """Print and keep the result."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Folder with interactions.parquet.")
    parser.add_argument("--few", action="store_true", help="Leave each viewer 6 to 18 videos.")
    parser.add_argument("--content", action="store_true", help="Compare kinds of content instead of models.")
    parser.add_argument("--viewers", type=int, default=None, help="Only this many viewers, drawn at random.")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    config = replace(presets.demo(), seed=arguments.seed)
    pairs = _pairs(arguments)
    if arguments.content:
        result = with_content(pairs, pl.read_csv(arguments.data / "videos.csv"), config, arguments.seed)
    else:
        result = leaderboard(pairs, config, arguments.seed)
    name = "sets" + "-few" * arguments.few + "-content" * arguments.content
    results_file.keep(f"{name}-{arguments.data.name}", result, arguments)


def _pairs(arguments: argparse.Namespace) -> pl.DataFrame:
    pairs = pl.read_parquet(arguments.data / "interactions.parquet", columns=["viewer_id", "video_id"]).sort(
        "viewer_id", "video_id"
    )
    if arguments.viewers is not None:
        viewers = rng.stream(arguments.seed, "sets, viewers").permutation(pairs["viewer_id"].unique().sort().to_numpy())
        pairs = pairs.filter(pl.col("viewer_id").is_in(viewers[: arguments.viewers].tolist()))
    return thinned(pairs, arguments.seed) if arguments.few else pairs


if __name__ == "__main__":
    main()
