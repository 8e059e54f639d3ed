"""Would 99 random negatives have chosen the same model? Full metrics of real models beside the sampled ones.

    python -m benchmarks.sampled_metrics --log ml-100k

Each test click is ranked among all candidates, and the expected metric under m uniform negatives follows from that rank in
closed form (`core.metrics.sampled_ndcg`; Krichene & Rendle, KDD 2020), so no noise of sampling enters. Reports the order of the
models under both, and every pair that changes places.
"""

from itertools import combinations
from typing import Any

import numpy as np

from benchmarks import models, results_file
from core import metrics
from data import interactions as logs
from data.catalogue import Catalogue
from data.splits import global_time_split
from pipelines.evaluation.cases import HeldOut, time_split
from pipelines.evaluation.evaluate import Model
from pipelines.presets import tiny

NEGATIVES = (99, 999)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--log", choices=models.LOGS, default=models.default_log())
    parser.add_argument("--cases", type=int, default=3_000, help="test clicks")
    arguments = parser.parse_args()
    dataset = models.open_log(arguments.log)
    catalogue = Catalogue.of(dataset.videos)
    clicks = logs.clicks(dataset.events, catalogue.video_ids)
    t0 = global_time_split(dataset.events).test_from
    held_out = time_split(clicks, t0, catalogue.uploaded_at, max_cases=arguments.cases)
    result = measure(models.fit(clicks.before(t0), catalogue, tiny().towers), held_out)
    for row in result["models"]:
        print("  ".join([f"{row['model']:<18}", *(f"{name} {row[name]:.4f}" for name in row if name != "model")]))
    print(f"order changed: {result['flips'] or 'no pair'}")
    results_file.keep(f"sampled-metrics-{arguments.log}", result, arguments)


def measure(fitted: dict[str, Model], held_out: HeldOut) -> dict[str, Any]:
    """Every model under full and sampled HR@10 and nDCG@10, and the pairs that change places."""
    rows = []
    for name, model in fitted.items():
        rank, num = models.ranks(model, held_out)
        found = np.arange(1, 11) == rank[:, None]
        values = {"hr@10": metrics.hit_rate(found, 10), "ndcg@10": metrics.ndcg(found, np.ones(len(rank)), 10)}
        for m in NEGATIVES:
            values[f"hr@10 of {m}"] = metrics.sampled_hit_rate(rank, num, m, 10)
            values[f"ndcg@10 of {m}"] = metrics.sampled_ndcg(rank, num, m, 10)
        rows.append({"model": name, **{metric: float(value.mean()) for metric, value in values.items()}})
    return {"cases": len(held_out), "videos": held_out.cases.num_videos, "models": rows, "flips": _flips(rows)}


def _flips(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pairs of models that a sampled metric puts the other way round."""
    return [
        {"metric": f"{base} of {m}", "full": better["model"], "sampled": worse["model"]}
        for base in ("hr@10", "ndcg@10")
        for m in NEGATIVES
        for pair in combinations(rows, 2)
        for better, worse in [sorted(pair, key=lambda row: -row[base])]
        if better[base] > worse[base] and better[f"{base} of {m}"] < worse[f"{base} of {m}"]
    ]


if __name__ == "__main__":
    main()
