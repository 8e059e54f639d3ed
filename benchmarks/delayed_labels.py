"""Labels that come late: how wrong is training that counts them too early, and does correcting it help?

    python -m benchmarks.delayed_labels --worlds 8 --plot docs/images/delayed-labels.svg

In each world (`lab`, five weeks, a third of the clicks asked about by surveys) the present is a day in the fourth week. A click
is positive if a regret comes (about a day later), or a survey with four or five stars (five to nine days later). A softmax
regression on title and length learns from the clicks before the present:

    counted early     everything that has not come is negative
    waited            only clicks old enough to have 99 % of their labels
    weighted          observed / F(age), see `data.labels.delay`
    expected          what has not come is negative only as far as F(age) says, by EM
    complete          with labels that nobody has yet: the best that could be

F is learned from the labels that had come by then. Reported, with 95 % t intervals over worlds: the predicted rate over the
true one, beside the closed form E[F(age)] for counting early; log loss on the clicks of the day that follows, beyond that of
`complete`; and the share of positives by age of the click. Besides, which share of the ranker's own labels comes after its
training has ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks import results_file
from benchmarks.plot import Panel, Point, draw
from core import columns as c
from core import events as ev
from core.clock import DAY_MS
from core.inference import t_interval
from data.catalogue import Catalogue
from data.dataset import Dataset
from data.labels import definitions, delay, functions, logistic
from data.labels.logistic import Floats
from data.splits import global_time_split
from data.world import simulate
from data.world.config import lab

FIRST_SEED, DAYS, PRESENT = 201, 35, 24
SPANS = {"regret": 3, "survey": 14}
"""Days of clicks that each label is learned from."""
_EM_ROUNDS, _TITLE_VOTES, _GOOD_STARS = 8, 5, 4.0


@dataclass(frozen=True)
class Clicks:
    """n clicks before the present, and those of the day that follows."""

    x: Floats
    age_ms: Floats
    took_ms: Floats
    """nan where no label has come."""
    truth: np.ndarray
    later_x: Floats
    later_truth: np.ndarray

    @property
    def came(self) -> np.ndarray:
        """Whether the label is there."""
        return ~np.isnan(self.took_ms)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--worlds", type=int, default=8)
    parser.add_argument("--plot", type=Path, default=None, help="write the figure here as SVG")
    arguments = parser.parse_args()
    found = []
    for seed in range(FIRST_SEED, FIRST_SEED + arguments.worlds):
        found.append(one_world(seed))
        print(f"world {seed}: {found[-1]}", flush=True)
    result = _over_worlds(found)
    if arguments.plot is not None:
        arguments.plot.write_text(figure(result))
    results_file.keep("delayed-labels", {"world": lab().name, "spans_days": SPANS, **result}, arguments)


def one_world(seed: int) -> dict[str, Any]:
    """Ratios, losses and shares by age, by kind of label."""
    config = replace(lab(), seed=seed, days=DAYS, impressions=500_000, survey_share=1 / 3)
    data, now = simulate.generate(config), config.start_at + PRESENT * DAY_MS
    found: dict[str, Any] = {kind: _compared(_clicks(data, kind, now, days), days) for kind, days in SPANS.items()}
    return found | {"missing in the ranker's rows": _missing(data)}


def _clicks(data: Dataset, kind: str, now: int, days: int) -> Clicks:
    good = (pl.col(c.KIND) != ev.SURVEY) | (pl.col(c.VALUE) >= _GOOD_STARS)
    events, pair = data.events.filter(good), [c.REQUEST_ID, c.VIDEO_ID]
    final = delay.waits(events, kind, data.end_at).select(*pair, pl.col(delay.DELAY_MS).is_not_null().alias("truth"))
    before, after = (
        delay.waits(events, kind, at).join(final, on=pair, how="left", maintain_order="left") for at in (now, now + DAY_MS)
    )
    before, after = before.filter(pl.col(delay.AGE_MS) < days * DAY_MS), after.filter(pl.col(delay.AGE_MS) < DAY_MS)
    described = _described(data)
    return Clicks(
        x=described[Catalogue.of(data.videos).rows(before[c.VIDEO_ID])],
        age_ms=before[delay.AGE_MS].cast(pl.Float64).to_numpy(),
        took_ms=before[delay.DELAY_MS].cast(pl.Float64).fill_null(np.nan).to_numpy(),
        truth=before["truth"].to_numpy(),
        later_x=described[Catalogue.of(data.videos).rows(after[c.VIDEO_ID])],
        later_truth=after["truth"].to_numpy(),
    )


def _described(data: Dataset) -> Floats:
    """[V, D] what can be seen of every video, standardised."""
    catalogue = Catalogue.of(data.videos)
    votes = functions.votes(catalogue.frame, functions.CLICKBAIT[:_TITLE_VOTES])
    x = np.concatenate([votes, np.log1p(catalogue.duration_s)[:, None]], axis=1).astype(np.float64)
    return np.asarray((x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9))


def _compared(clicks: Clicks, days: int) -> dict[str, Any]:
    known = delay.Empirical.fit(clicks.took_ms, clicks.age_ms)
    arrived, rate = known.arrived(clicks.age_ms), float(clicks.truth.mean())
    models = _models(clicks, arrived, clicks.age_ms >= known.window(0.99))
    losses = {name: _log_loss(model.probability(clicks.later_x)[:, 1], clicks.later_truth) for name, model in models.items()}
    ratios = {name: float(model.probability(clicks.x)[:, 1].mean()) / rate for name, model in models.items()}
    return {
        "clicks": len(clicks.truth),
        "rate": rate,
        "half_within_h": known.window(0.5) / DAY_MS * 24,
        "closed_form": float(arrived.mean()),
        "ratio": ratios,
        "excess_loss": {name: loss - losses["complete"] for name, loss in losses.items() if name != "complete"},
        "by_age": _by_age(clicks, arrived, days),
    }


def _models(clicks: Clicks, arrived: Floats, is_old: np.ndarray) -> dict[str, logistic.Softmax]:
    came, weights = clicks.came.astype(np.float64), np.ones(len(clicks.came))

    def learned(target: Floats, weight: Floats) -> logistic.Softmax:
        return logistic.fit(clicks.x, logistic.two_classes(target), weight_N=weight)

    belief = learned(came, weights)
    for _ in range(_EM_ROUNDS):
        target = delay.expected_targets(clicks.came, arrived, belief.probability(clicks.x)[:, 1])
        belief = learned(target, weights)
    return {
        "counted early": learned(came, weights),
        "waited": learned(came, is_old.astype(np.float64)),
        "weighted": learned(*delay.weighted_targets(clicks.came, arrived)),
        "expected": belief,
        "complete": learned(clicks.truth.astype(np.float64), weights),
    }


def _log_loss(probability: Floats, truth: np.ndarray) -> float:
    return float(-np.log(np.where(truth, probability, 1.0 - probability)).mean())


def _by_age(clicks: Clicks, arrived: Floats, days: int) -> dict[str, dict[str, float]]:
    """Share of positives by age in twelve parts, at the middle of each in days."""
    targets, usable = delay.weighted_targets(clicks.came, arrived)
    part = np.minimum(12 * clicks.age_ms // (days * DAY_MS), 11)
    found: dict[str, dict[str, float]] = {"as counted": {}, "closed form": {}, "corrected": {}, "in the end": {}}
    for number in range(12):
        here, middle = part == number, f"{(number + 0.5) * days / 12:.3f}"
        final = float(clicks.truth[here].mean())
        found["as counted"][middle] = float(clicks.came[here].mean())
        found["closed form"][middle] = float(clicks.truth.mean() * arrived[here].mean())
        found["in the end"][middle] = final
        if usable[here].all():
            found["corrected"][middle] = float(targets[here].mean())
    return found


def _missing(data: Dataset) -> dict[str, float]:
    """Of the outcomes of the ranker's impressions, the share that comes after training has ended."""
    split = global_time_split(data.events)
    known = data.events.filter(pl.col(c.RECEIVED_AT) < split.test_from)
    early, final = (
        definitions.impression_outcomes(events).filter(pl.col(definitions.AT).is_between(split.ranker_from, split.test_from))
        for events in (known, data.events)
    )
    happened = {name: pl.col(name) for name in (definitions.CLICKED, definitions.LIKED, definitions.DISLIKED)}
    happened["watched"] = pl.col(definitions.WATCH_S) > 0
    before, after = (frame.select(**happened).sum().row(0, named=True) for frame in (early, final))
    return {name: 1.0 - before[name] / after[name] for name in happened}


def _over_worlds(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The same tree with an interval in place of each number."""

    def merged(values: list[Any]) -> Any:
        if isinstance(values[0], Mapping):
            return {name: merged([one[name] for one in values]) for name in values[0] if all(name in one for one in values)}
        return t_interval(values).to_json()

    return {name: merged([one[name] for one in found]) for name in found[0]}


def figure(result: Mapping[str, Any]) -> str:
    """Share of positives by the age of the click, one panel per kind of label."""
    panels = []
    for kind, title in (("regret", "a regret comes"), ("survey", "a survey gives 4 or 5 stars")):
        series = {
            name: [Point(float(age), one["mean"], one["low"], one["high"], f"{name}, {age} days") for age, one in ages.items()]
            for name, ages in result[kind]["by_age"].items()
        }
        ticks = {float(day): str(day) for day in range(0, SPANS[kind] + 1, max(SPANS[kind] // 7, 1))}
        panels.append(Panel(f"Share of clicks of which {title}", "age of the click, days", "share", series, ticks))
    return draw(panels)


if __name__ == "__main__":
    main()
