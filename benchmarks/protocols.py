"""Leave-one-out beside a global time split: the same models, the same log, two ways to ask.

    python -m benchmarks.protocols --log ml-100k

Leave-one-out holds out each viewer's last click and trains on all others, also on those that happened later (Ji et al., TOIS
2023). The time split trains on what came before t0 and asks about every first click from t0 on. Reports nDCG@10 and HR@10 with
intervals over viewers, the order of the models under both, what the leak detector says, and how much of the first ten is
"from the future": videos that nobody had clicked at the instant of the case.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import models, results_file
from core import inference
from data import interactions as logs
from data.catalogue import Catalogue
from data.interactions import Interactions
from data.splits import Pairs, find_leaks, global_time_split
from pipelines.evaluation.cases import HeldOut, last_out, time_split
from pipelines.evaluation.evaluate import Model, measure
from pipelines.presets import tiny

_SHOWN = ("hr@10", "ndcg@10")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--log", choices=models.LOGS, default=models.default_log())
    parser.add_argument("--cases", type=int, default=3_000, help="test clicks of the time split")
    arguments = parser.parse_args()
    dataset = models.open_log(arguments.log)
    catalogue = Catalogue.of(dataset.videos)
    clicks = logs.clicks(dataset.events, catalogue.video_ids)
    t0 = global_time_split(dataset.events).test_from
    last_at = clicks.at[clicks.offsets[1:] - 1]
    train, asked = last_out(clicks, max_cases=len(last_at))
    asked_at = last_at[np.searchsorted(clicks.viewer_ids, asked.cases.viewer_ids)]
    later = time_split(clicks, t0, catalogue.uploaded_at, max_cases=arguments.cases)
    result = {
        "leave_one_out": _protocol(train, asked, asked_at, clicks, catalogue),
        "time_split": _protocol(clicks.before(t0), later, later.cases.at, clicks, catalogue),
    }
    for name, found in result.items():
        print(name, f"{found['cases']} cases", *found["leaks"], sep="\n  ")
        for row in found["models"]:
            numbers = ", ".join(f"{metric} {row[metric]['mean']:.4f}" for metric in _SHOWN)
            print(f"    {row['model']:<18} {numbers}, {row['from_the_future']:.1%} of the first ten from the future")
    results_file.keep(f"protocols-{arguments.log}", result, arguments)


def _protocol(
    train: Interactions, asked: HeldOut, at: NDArray[np.int64], clicks: Interactions, catalogue: Catalogue
) -> dict[str, Any]:
    """One way to ask; `at` is when each case's answer really happened."""
    fitted = models.fit(train, catalogue, tiny().towers)
    viewer_ids = asked.cases.viewer_ids
    targets = asked.targets.values[asked.targets.offsets[:-1]]
    first_at = np.full(clicks.num_videos, np.iinfo(np.int64).max)
    np.minimum.at(first_at, clicks.video_rows, clicks.at)
    rows: list[dict[str, Any]] = []
    for name, model in fitted.items():
        values = measure(model, asked)
        shown = {metric: inference.cluster_interval(values[metric], viewer_ids).to_json() for metric in _SHOWN}
        rows.append({"model": name, **shown, "from_the_future": _from_the_future(model, asked, at, first_at)})
    leaks = find_leaks(Pairs.of(train), Pairs(viewer_ids, targets, at))
    order = sorted(rows, key=lambda row: -row["ndcg@10"]["mean"])
    return {
        "cases": len(asked),
        "leaks": [leak.text for leak in leaks],
        "models": rows,
        "order": [row["model"] for row in order],
    }


def _from_the_future(model: Model, asked: HeldOut, at: NDArray[np.int64], first_at: NDArray[np.int64]) -> float:
    """Share of the first ten that nobody had clicked before the case."""
    shares = []
    for begin in range(0, len(asked), 512):
        rows = slice(begin, min(begin + 512, len(asked)))
        page = model.rank(asked.cases, rows)[:, :10]
        shares.append(np.where(page >= 0, first_at[page] > at[rows, None], False).mean(axis=1))
    return float(np.concatenate(shares).mean())


if __name__ == "__main__":
    main()
