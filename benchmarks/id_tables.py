"""What do fewer rows than videos cost, when towers are trained through them and when trained rows are folded afterwards?

    python -m benchmarks.id_tables --logs tiny ml-100k --seeds 3 [--schemes admitted --admit-after 5 20]

through   The towers train through the table (`embeddings.id_tables`): hash, quotient_remainder, and admitted, whose rows go
          to the videos clicked most lately.
after     The ids of towers that were trained with a row each, folded into as many rows (`embeddings.compression`); for
          admitted, the same videos keep their rows and the others lose theirs.
no ids    Towers that never had a row: what content, category, channel, language and age say by themselves.

Towers that pool histories and know nothing else of viewers learn from the clicks before the test period and are asked for those
in it, by full rank over what may be shown. Bytes are of the table of ids in fp32; an admitted table also has to remember whose
a row is, and since when: 16 bytes each, not counted. Means over seeds with 95 % t intervals; differences to the whole table are
paired by seed. Log and test clicks are the same for every seed, so intervals say nothing about other viewers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import models, results_file
from core import config as configs
from core import inference
from data import interactions as logs
from data.catalogue import Catalogue
from data.interactions import Interactions
from data.splits import global_time_split
from embeddings import id_tables
from embeddings.compression import HashedRows, QuotientRemainderRows, Rows
from embeddings.id_tables import ADMITTED, HASH, QUOTIENT_REMAINDER, AdmittedIds, IdTableConfig, PairedIds, Sightings
from pipelines.evaluation.cases import HeldOut, time_split
from retrieval import train as retrieval
from retrieval.config import TwoTowerConfig
from retrieval.examples import bare_schema, from_interactions
from retrieval.towers import VIDEO_ID, TwoTower

FEWER = (HASH, QUOTIENT_REMAINDER, ADMITTED)
SHARES = (1.0, 1 / 2, 1 / 4, 1 / 8)
DEPTHS = (100, 500)
NO_IDS = IdTableConfig(ADMITTED, 0.001, admit_after=1_000_000_000)
CONFIGS = {"tiny": TwoTowerConfig.tiny(), "ml-100k": replace(TwoTowerConfig.tiny(), dim=64, batch_size=1_024, epochs=3)}
Recalls = dict[str, float]


@dataclass(frozen=True)
class Bench:
    """One log: what is learned from, and what is asked."""

    catalogue: Catalogue
    clicks: Interactions
    held_out: HeldOut
    config: TwoTowerConfig

    @staticmethod
    def of(name: str) -> "Bench":
        """A log by its name, cut in time."""
        dataset = models.open_log(name)
        catalogue, test_from = Catalogue.of(dataset.videos), global_time_split(dataset.events).test_from
        clicks = logs.clicks(dataset.events, catalogue.video_ids)
        held_out = time_split(clicks, test_from, catalogue.uploaded_at)
        return Bench(catalogue, clicks.before(test_from), held_out, CONFIGS.get(name, TwoTowerConfig.tiny()))

    @cached_property
    def seen(self) -> Sightings:
        """What a table may admit videos by."""
        return Sightings(self.catalogue.video_ids[self.clicks.video_rows], self.clicks.at)

    def train(self, ids: IdTableConfig, seed: int) -> TwoTower:
        """Towers through a table."""
        config, schema = replace(self.config, ids=ids, seed=seed), bare_schema(self.catalogue, self.config.history_length)
        return retrieval.train(config, schema, self.catalogue, from_interactions(self.clicks, schema))

    def recall(self, tower: TwoTower) -> Recalls:
        """Of the test clicks, how many are among the first."""
        served = models.served(tower, self.catalogue, at=int(self.clicks.at.max()) + 1)
        rank_N, _ = models.ranks(served, self.held_out)
        return {f"recall@{depth}": float((rank_N <= depth).mean()) for depth in DEPTHS}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--logs", nargs="+", choices=models.LOGS, default=["tiny", models.default_log()])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--schemes", nargs="+", choices=FEWER, default=list(FEWER))
    parser.add_argument("--admit-after", nargs="+", type=int, default=[1], help="clicks before a video is admitted")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seeds, tables = range(1, arguments.seeds + 1), list(tables_of(arguments.schemes, arguments.admit_after))
    result = {name: measure(Bench.of(name), tables, seeds) for name in dict.fromkeys(arguments.logs)}
    for name, found in result.items():
        print(f"{name}: {found['videos']:,} videos, {found['clicks']:,} clicks, {found['test_clicks']:,} test clicks")
        for row in found["tables"]:
            cells = [_shown(row[when], depth) for when in ("through", "after") if when in row for depth in DEPTHS]
            label = f"{row['scheme']} after {row['admit_after']}" if row["admit_after"] > 1 else row["scheme"]
            print(f"  {label:<20} {row['share']:<6g} {row['bytes']:>9,} bytes  {'   '.join(cells)}")
    results_file.keep("id-tables", result, arguments)


def measure(bench: Bench, fewer: Sequence[IdTableConfig], seeds: Sequence[int]) -> dict[str, Any]:
    """Tables with fewer rows, the whole one, and none."""
    towers = [bench.train(IdTableConfig(), seed) for seed in seeds]
    whole = [bench.recall(tower) for tower in towers]
    tables: list[dict[str, Any]] = [_row(IdTableConfig(), towers[0]) | {"through": _summary(whole, whole)}]
    without = [bench.recall(bench.train(NO_IDS, seed)) for seed in seeds]
    tables.append(
        {"scheme": "no ids", "share": 0.0, "admit_after": 1, "rows": 0, "bytes": 0, "through": _summary(without, whole)}
    )
    for ids in fewer:
        through = [bench.train(ids, seed) for seed in seeds]
        after = [bench.recall(folded(tower, ids, bench)) for tower in towers]
        row = _row(ids, through[0])
        row |= {"through": _summary([bench.recall(tower) for tower in through], whole), "after": _summary(after, whole)}
        tables.append(row)
    return {
        "videos": len(bench.catalogue),
        "clicked_videos": int(towers[0].known_V.sum()),
        "clicks": len(bench.clicks),
        "test_clicks": len(bench.held_out),
        "dim": bench.config.dim,
        "epochs": bench.config.epochs,
        "tables": tables,
    }


def folded(tower: TwoTower, ids: IdTableConfig, bench: Bench) -> TwoTower:
    """A copy of towers that have a row per video, the ids of clicked ones left with the rows that `ids` allows."""
    changed = TwoTower(tower.config, tower.schema, bench.catalogue, tower.device)
    changed.continue_from(tower)
    table = id_tables.begin(ids, bench.catalogue.video_ids, bench.seen)
    if isinstance(table, AdmittedIds):
        changed.known_V = tower.known_V & (table.rows(bench.catalogue.video_ids)[:, 0] >= 0)
        return changed
    known = np.flatnonzero(tower.known_V)
    vector_KD = tower.video_tables.array(VIDEO_ID)[known]
    if isinstance(table, PairedIds):
        kept: Rows = QuotientRemainderRows.of(vector_KD, table.remainders)
    else:
        kept = HashedRows.of(vector_KD, table.num_rows)
    changed.video_tables.start_rows(VIDEO_ID, known, kept.read(np.arange(len(known))))
    return changed


def tables_of(schemes: Sequence[str], admit_after: Sequence[int]) -> Iterator[IdTableConfig]:
    """The schemes at every share, admission after each number of clicks."""
    for scheme in schemes:
        for clicks in admit_after if scheme == ADMITTED else (1,):
            yield from (IdTableConfig(scheme, share, clicks) for share in SHARES)


def _row(ids: IdTableConfig, tower: TwoTower) -> dict[str, Any]:
    rows = tower.ids.num_rows
    return {**configs.to_dict(ids), "rows": rows, "bytes": rows * tower.config.dim * 4}


def _summary(found: Sequence[Recalls], whole: Sequence[Recalls]) -> dict[str, Any]:
    """Each recall over seeds, and by how much it differs from that of the whole table with the same seed."""
    summary: dict[str, Any] = {}
    for name in found[0]:
        values, theirs = (np.array([recalls[name] for recalls in side]) for side in (found, whole))
        summary[name] = _interval(values) | {"by_seed": [round(float(value), 4) for value in values]}
        if found is not whole:
            summary[name]["difference"] = _interval(values - theirs)
    return summary


def _interval(values: NDArray[np.float64]) -> dict[str, float]:
    interval = inference.t_interval(values)
    return {key: round(float(getattr(interval, key)), 4) for key in ("mean", "low", "high")}


def _shown(summary: dict[str, Any], depth: int) -> str:
    of = summary[f"recall@{depth}"]
    return f"@{depth} {of['mean']:.3f} ± {(of['high'] - of['low']) / 2:.3f}"


if __name__ == "__main__":
    main()
