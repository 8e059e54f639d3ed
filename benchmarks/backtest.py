"""Does a model's lead hold from day to day? Rolling origins over a log, expanding and sliding training windows.

    python -m benchmarks.backtest --log tiny --origins 5 --test-days 1 --window-days 6

Prints nDCG@10 per origin, its mean over origins with a t interval, its trend per day, and the difference to the first model
named, paired by origin.
"""

from typing import Any

from benchmarks import models, results_file
from core.clock import DAY_MS
from core.inference import Interval
from experiments.backtest import Backtest
from pipelines import presets
from pipelines.evaluation import backtesting
from pipelines.evaluation.leaderboard import MAIN

NAMES = ("popularity", "recent_popularity", "markov", "ease", backtesting.TWO_TOWER)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--log", choices=models.LOGS, default="tiny")
    parser.add_argument("--models", default=",".join(NAMES), help="names, separated by commas")
    parser.add_argument("--origins", type=int, default=5)
    parser.add_argument("--test-days", type=float, default=1.0, help="length of each test window")
    parser.add_argument("--window-days", type=float, default=6.0, help="length of the sliding training window")
    parser.add_argument("--gap-days", type=float, default=0.0, help="between training and test")
    arguments = parser.parse_args()
    log, config = backtesting.Log.of(models.open_log(arguments.log)), presets.tiny()
    result: dict[str, Any] = {}
    for kind, window_ms in (("expanding", None), ("sliding", int(arguments.window_days * DAY_MS))):
        found = {
            name: backtesting.run(
                log,
                name,
                config,
                origins=arguments.origins,
                test_ms=int(arguments.test_days * DAY_MS),
                window_ms=window_ms,
                gap_ms=int(arguments.gap_days * DAY_MS),
            )
            for name in arguments.models.split(",")
        }
        first = next(iter(found.values()))
        result[kind] = {
            name: backtest.to_json() | {"against_first": backtest.against(first, MAIN).to_json()}
            for name, backtest in found.items()
        }
        for name, backtest in found.items():
            _show(f"{kind} {name}", backtest, first)
    results_file.keep(f"backtest-{arguments.log}", result, arguments)


def _show(title: str, found: Backtest, first: Backtest) -> None:
    overall, trend, lead = found.over_origins(MAIN), found.trend(MAIN), found.against(first, MAIN)
    shown = " ".join(f"{origin.metrics[MAIN].mean:.4f}" for origin in found.origins)
    print(f"{title:<28} {shown}  mean {_bounds(overall)}  a day {_bounds(trend)}  against the first {_bounds(lead)}")


def _bounds(interval: Interval) -> str:
    return f"{interval.mean:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"


if __name__ == "__main__":
    main()
