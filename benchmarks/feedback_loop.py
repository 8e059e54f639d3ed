"""What does exploration cost now, and what does it earn later? Weeks of serve → log → retrain on a world with known truth.

    python -m benchmarks.feedback_loop --weeks 8 --seeds 3

The same as `upnext lab feedback-loop`, kept without the pictures of single weeks. Interrupted, it goes on from `var/lab`.
"""

from benchmarks import results_file
from core import settings
from pipelines.lab import config as lab_config
from pipelines.lab import loop as lab
from pipelines.lab import summary as lab_summary
from pipelines.progress import Stages


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--preset", choices=tuple(lab_config.PRESETS), default="lab")
    parser.add_argument("--policies", default="none,epsilon,thompson,holdout,ips")
    parser.add_argument("--weeks", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    config, names = lab_config.configure(arguments.preset, []), arguments.policies.split(",")
    seeds = range(1, arguments.seeds + 1)
    root, arms = settings.load().var_dir / "lab", lab_config.arms(names)
    shelf = lab.run(config, arms, seeds, arguments.weeks, root, Stages(), workers=arguments.workers)
    result = lab_summary.summarise(shelf, names, list(seeds), arguments.weeks)
    print("\n".join(result["lead"]))
    results_file.keep("feedback-loop", {name: part for name, part in result.items() if name != "runs"}, arguments)


if __name__ == "__main__":
    main()
