"""How much of a result is luck? A whole training run on one world, repeated with other seeds.

    python -m benchmarks.seeds --preset tiny --seeds 5

The world and the test clicks stay the same; towers, ranker, negatives and tuning are drawn anew.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from benchmarks import results_file
from pipelines import presets
from pipelines.evaluation import seeds as repetition
from pipelines.evaluation.leaderboard import Leaderboard
from pipelines.presets import RunConfig
from pipelines.progress import Stages
from pipelines.run import run


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--preset", choices=("tiny", "demo"), default="tiny")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    config = presets.configure(arguments.preset, [])
    config = replace(config, evaluation=replace(config.evaluation, max_cases=1_000_000))  # a sample would differ by seed
    leaderboard, repeated = repetition.repeat(_train, config, range(1, arguments.seeds + 1))
    console = Console(width=120)
    console.print(leaderboard.to_table())
    console.print(repeated.to_table())
    result = {"leaderboard": leaderboard.to_json()["leaderboard"], "seeds": repeated.to_json()}
    results_file.keep(f"seeds-{arguments.preset}", result, arguments)


def _train(config: RunConfig) -> Leaderboard:
    with TemporaryDirectory() as folder:
        return run("world", None, None, config, Path(folder), Stages()).leaderboard


if __name__ == "__main__":
    main()
