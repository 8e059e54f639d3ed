"""Does a spam filter's blind spot come back, and does a holdout close it? Filters on worlds with known truth.

python -m benchmarks.filter_loop --seeds 20
"""

from benchmarks import results_file
from pipelines.lab import filter_loop as lab_filter
from pipelines.progress import Silent, Stage


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--weeks", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    config = lab_filter.FilterConfig(weeks=arguments.weeks)
    result = lab_filter.compare(config, range(1, arguments.seeds + 1), Stage("filters", Silent()))
    print("\n".join(result["lead"]))
    results_file.keep("filter-loop", result, arguments)


if __name__ == "__main__":
    main()
