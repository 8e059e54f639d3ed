"""Do towers trained in bfloat16 find as well as those trained in float32? The same epochs, several seeds, paired by viewer.

    python -m benchmarks.precision --interactions DIR/ml-1m/interactions.parquet

Transformer towers of a small size learn each viewer's history but the last video, and are asked for that one among all that the
viewer has not seen. The difference is of each viewer's mean over the seeds, its interval a bootstrap over viewers. Where the
processor has no instructions for bfloat16 its roundings are imitated: that answers this question, and not how fast it is.
"""

import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from benchmarks import results_file
from core import rng
from pipelines.evaluation import bare_files, held_out
from pipelines.evaluation.bare_files import Bare
from pipelines.evaluation.cases import last_out
from pipelines.evaluation.evaluate import measure
from retrieval.config import BFLOAT16, FLOAT32, TransformerConfig, TwoTowerConfig

METRIC = "ndcg@10"
_DRAWS = 2_000


def plan(epochs: int) -> TwoTowerConfig:
    """Of the kind that ordered files get, smaller, so that it learns in seconds."""
    return replace(
        TwoTowerConfig.sequence(),
        dim=32,
        history_length=50,
        uniform_negatives=256,
        id_dropout=0.0,
        learning_rate=0.005,
        epochs=epochs,
        transformer=TransformerConfig(hidden=64, batch_clicks=512),
    )


def compare(file: Path, config: TwoTowerConfig, seeds: int) -> dict[str, Any]:
    """nDCG@10 of both and their difference, with its 95 % interval."""
    train, test = last_out(held_out.read_log(file).interactions)
    log = replace(held_out.read_log(file), interactions=train)
    bare, values = Bare.of(log, config.history_length), {}
    for precision in (FLOAT32, BFLOAT16):
        found = []
        for seed in range(1, seeds + 1):
            with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
                towers = bare_files.towers_alone(bare, replace(config, precision=precision, seed=seed), seed, Path(folder))
                found.append(measure(towers, test)[METRIC])
        values[precision] = np.array(found)
    difference = (values[BFLOAT16] - values[FLOAT32]).mean(axis=0)
    drawn = rng.stream(1, "precision").integers(0, len(difference), (_DRAWS, len(difference)))
    return {
        "viewers": len(difference),
        "videos": len(log.video_ids),
        "by_seed": {name: [round(float(v), 4) for v in each.mean(axis=1)] for name, each in values.items()},
        "difference": float(difference.mean()),
        "interval": np.quantile(difference[drawn].mean(axis=1), [0.025, 0.975]).tolist(),
    }


def main() -> None:
    """Print and keep the comparison."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--interactions", type=Path, required=True, help="Parquet: viewer_id, video_id, position.")
    parser.add_argument("--viewers", type=int, default=1_500, help="The first so many viewers of the file.")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    frame = pl.read_parquet(arguments.interactions)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "few.parquet"
        viewers = frame["viewer_id"].unique().sort()[: arguments.viewers]
        frame.filter(pl.col("viewer_id").is_in(viewers.implode())).write_parquet(file)
        found = compare(file, plan(arguments.epochs), arguments.seeds)
    print(f"{METRIC}: {found['by_seed']}, difference {found['difference']:+.4f} {found['interval']}")
    results_file.keep("training-precision", found, arguments)


if __name__ == "__main__":
    main()
