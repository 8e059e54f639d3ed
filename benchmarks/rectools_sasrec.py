"""RecTools' SASRec on a file, timed: run by `training_speed` under the Python that has RecTools, and by nothing else.

Imports nothing of this project, which that Python does not have. Prints one line of JSON: seconds and CPU seconds of each fit.
"""

import argparse
import json
import time
import warnings

import pandas as pd
import torch
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel


def main() -> None:
    """Fit once to warm up on a few viewers, then on all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="CSV: viewer_id, video_id, position")
    parser.add_argument("--model", type=json.loads, required=True, help="arguments of SASRecModel")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    frame = pd.read_csv(arguments.file)
    few = frame[frame["viewer_id"].isin(frame["viewer_id"].unique()[:20])]
    fit(few, arguments.model)
    print(json.dumps(fit(frame, arguments.model)))


def fit(frame: pd.DataFrame, options: dict) -> dict[str, float]:
    """One epoch."""
    events = pd.DataFrame(
        {
            Columns.User: frame["viewer_id"],
            Columns.Item: frame["video_id"],
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(frame["position"], unit="s"),
        }
    )
    dataset, model = Dataset.construct(events), SASRecModel(epochs=1, **options)
    began, cpu = time.perf_counter(), time.process_time()
    model.fit(dataset)
    return {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}


if __name__ == "__main__":
    main()
