"""Does the ranker gain from p(clickbait) and p(kids)?

    python -m benchmarks.label_features --world tiny --seeds 5

The ranker is trained with both, and again with both hidden (`ablation`): same towers, same rows, same test clicks. Labels are
those of the labelling functions, known before the ranker's rows in training and before t0 when it serves. Reported: nDCG@10 end
to end and given what was retrieved, with intervals of the paired difference over viewers. What a label is worth as a filter, or
against regret, is not measured here.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import ablation, models, results_file
from pipelines import presets
from pipelines.evaluation.leaderboard import GIVEN_RETRIEVED, MAIN


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--world", choices=tuple(models.WORLDS), default="tiny")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    config, seeds = replace(presets.tiny(), labels=True), range(1, arguments.seeds + 1)
    with TemporaryDirectory() as folder:
        bench = ablation.prepare(arguments.world, config, Path(folder))
        schema = bench.material.schema
        labels = frozenset(f"video_{question}" for question in bench.material.catalogue.labels)
        groups = [ablation.Hidden("nothing", schema), ablation.Hidden("labels", schema, labels)]
        found = {hidden.name: bench.measure(hidden, config, seeds) for hidden in groups}
    rows = ablation.table(found, bench.held_out.cases.viewer_ids)
    for row in rows:
        print(row["hidden"], row[MAIN], row[GIVEN_RETRIEVED])
    by_seed = {name: [float(value) for value in values[MAIN].mean(axis=1)] for name, values in found.items()}
    results_file.keep(
        f"label-features-{arguments.world}", {"cases": len(bench.held_out), "by_seed": by_seed, "rows": rows}, arguments
    )


if __name__ == "__main__":
    main()
