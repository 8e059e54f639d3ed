"""How fast the transformer tower trains beside RecTools' SASRec: clicks per second at one size, on one file, in one run.

Same width, layers, heads, history length, dropout, full softmax and optimiser family; each library batches as it does by
default (RecTools pads every viewer to the full length). A click counts once however much padding surrounds it. Rounds
alternate, so that both meet the same machine. Needs RecTools beside the project (`pip install "rectools[torch]"`), which is no
dependency of it.
"""

import os
import time
import warnings
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from benchmarks import results_file
from core.errors import BadInput
from pipelines.evaluation import held_out
from pipelines.evaluation.bare_files import Bare
from retrieval import train as retrieval
from retrieval.config import TransformerConfig, TwoTowerConfig
from retrieval.examples import from_interactions

DIM, LAYERS, HEADS, LENGTH, DROPOUT = 128, 2, 2, 200, 0.2


def ours(log: held_out.FileLog) -> float:
    """Clicks per second over one epoch."""
    config = replace(
        TwoTowerConfig.sequence(),
        dim=DIM,
        history_length=LENGTH,
        uniform_negatives=len(log.video_ids),
        epochs=1,
        transformer=TransformerConfig(layers=LAYERS, heads=HEADS, hidden=4 * DIM, dropout=DROPOUT, gated=False),
    )
    bare = Bare.of(log, LENGTH)
    examples = from_interactions(log.interactions, bare.schema)
    began = time.perf_counter()
    retrieval.train(config, bare.schema, bare.catalogue, examples)
    return _clicks(log) / (time.perf_counter() - began)


def theirs(log: held_out.FileLog) -> float:
    """The same for RecTools."""
    try:
        import pandas as pd
        from rectools import Columns
        from rectools.dataset import Dataset
        from rectools.models import SASRecModel
    except ImportError as error:
        raise BadInput(f"RecTools is needed beside the project: pip install 'rectools[torch]' ({error})") from error
    events = log.interactions
    frame = pd.DataFrame(
        {
            Columns.User: events.viewer_rows,
            Columns.Item: events.video_rows,
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(events.at, unit="s"),
        }
    )
    model = SASRecModel(
        n_blocks=LAYERS, n_heads=HEADS, n_factors=DIM, dropout_rate=DROPOUT, session_max_len=LENGTH, loss="softmax", epochs=1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = Dataset.construct(frame)
        began = time.perf_counter()
        model.fit(dataset)
    return _clicks(log) / (time.perf_counter() - began)


def _clicks(log: held_out.FileLog) -> int:
    """Clicks that one epoch trains: at most the history length of each viewer."""
    return int(np.minimum(np.diff(log.interactions.offsets) - 1, LENGTH).sum())


def main() -> None:
    """Print and keep the comparison."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--interactions", type=Path, required=True, help="Parquet: viewer_id, video_id, position.")
    parser.add_argument("--viewers", type=int, default=1_500, help="The first so many viewers of the file.")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    frame = pl.read_parquet(arguments.interactions)
    few = frame.filter(pl.col("viewer_id").is_in(frame["viewer_id"].unique().sort()[: arguments.viewers].implode()))
    with TemporaryDirectory() as folder:
        few.write_parquet(Path(folder) / "few.parquet")
        log = held_out.read_log(Path(folder) / "few.parquet")
    rounds = [(ours(log), theirs(log)) for _ in range(arguments.rounds)]
    ratios = [mine / other for mine, other in rounds]
    result = {
        "clicks": _clicks(log),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "clicks_per_s": [mine for mine, _ in rounds],
        "rectools_clicks_per_s": [other for _, other in rounds],
        "ratio": float(np.median(ratios)),
        "ratios": ratios,
    }
    print(f"ours {rounds[-1][0]:,.0f}, RecTools {rounds[-1][1]:,.0f} clicks/s; ratio {result['ratio']:.2f}")
    results_file.keep("training-speed", result, arguments)


if __name__ == "__main__":
    main()
