"""Does a recommender with gates, canaries and a monitor do better over a year than blind retraining, and than no retraining?

    python -m benchmarks.year --weeks 52 --seeds 1

The same as `upnext lab year`, kept without the days of single weeks. Interrupted, it goes on from `var/lab`.
"""

from pathlib import Path

from benchmarks import results_file
from core import settings
from pipelines.lab import year as lab_year
from pipelines.lab import year_config, year_report, year_summary
from pipelines.progress import Stages


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--preset", choices=tuple(year_config.PRESETS), default="year")
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--arms", default=",".join(year_config.ARMS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--report", type=Path, default=None, help="write the page with the timeline here")
    arguments = parser.parse_args()
    config, arms = year_config.configure(arguments.preset, []), year_config.arms(arguments.arms.split(","))
    seeds = range(1, arguments.seeds + 1)
    root, stages = settings.load().var_dir / "lab", Stages()
    shelf = lab_year.run(config, arms, seeds, arguments.weeks, root, stages, workers=arguments.workers)
    result = year_summary.summarise(shelf, config, arms, list(seeds), arguments.weeks)
    print("\n".join(result["lead"]))
    if arguments.report is not None:
        year_report.write(result, arguments.report)
    kept = {name: part for name, part in result.items() if name != "runs"}
    spent = {arm: sum(run["seconds"]["cpu"] for run in result["runs"] if run["arm"] == arm) for arm in arms}
    results_file.keep("year", kept | {"cpu_s": spent, "stages": stages.to_json()}, arguments)


if __name__ == "__main__":
    main()
