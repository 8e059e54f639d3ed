"""Which order should serve: the one that finds the log's next click, or the one that viewers enjoy once they see it?

    python -m benchmarks.next_click --space var/world-demo

A trained release of a simulated world orders its candidates by several formulas. Each is judged in three ways: nDCG@10 on the
log's test clicks, where part of the answer is what the log's policy liked to show; satisfied seconds of the first choice on
the test period's pages of chance (`pipelines.evaluation.chance`), all that a log can say without that policy; and the truth,
the expected satisfied seconds of the pages that viewers would get on the day after the log ends. Nothing is trained.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import results_file
from core import columns as c
from core import inference, release, rng
from core.clock import DAY_MS
from core.errors import BadInput
from core.policy import Request
from data.world.world import World
from features.memory_store import MemoryStore
from pipelines.evaluation import chance, compare
from pipelines.evaluation.chance import ChancePages
from pipelines.evaluation.evaluate import TwoStage, measure
from pipelines.evaluation.leaderboard import MAIN
from pipelines.gates.questions import Questions
from pipelines.lab import measures
from pipelines.reader import OfflineReader
from pipelines.spaces import Space
from ranking.combine import combine
from ranking.config import NEXT_CLICK, CombineConfig
from serving.live import go_live
from serving.releases import LoadedRelease, load_release

Floats = NDArray[np.float64]
_BATCH = 50
FORMULAS = {
    "next click": NEXT_CLICK,
    "relevance, click, watch": CombineConfig(relevance=1.0, click=0.5, watch=0.5),
    "a quarter of relevance": CombineConfig(relevance=0.25, click=0.75, watch=1.0),
    "click": CombineConfig(click=1.0, watch=0.0, like=0.0, dislike=0.0),
    "watch": CombineConfig(click=0.0, watch=1.0, like=0.0, dislike=0.0),
    "click, watch (serves)": CombineConfig(),
}


@dataclass(frozen=True)
class Bench:
    """A release, its log, and the world that the log is of."""

    loaded: LoadedRelease
    questions: Questions
    world: World
    requests: Sequence[Request]

    @staticmethod
    def of(space: Space, num_requests: int) -> "Bench":
        """Raises BadInput where nothing is live or the log is of no world."""
        live = release.resolve(space.releases, "live")
        if live is None:
            raise BadInput(f"no release of '{space.name}' is live; run `upnext train` first")
        loaded = load_release(space.releases, live)
        questions = Questions.of(space, [loaded])
        world = World(questions.run.world)
        world.remember(questions.dataset.events)
        end = int(questions.dataset.events[c.RECEIVED_AT].max())  # type: ignore[arg-type]
        asked = list(world.sessions(end, end + DAY_MS, label="next click"))
        chosen = rng.stream(questions.run.seed, "next click").permutation(len(asked))[:num_requests]
        return Bench(loaded, questions, world, [asked[i] for i in np.sort(chosen)])

    def clicks(self, order: CombineConfig) -> Floats:
        """[N] nDCG@10 on the log's test clicks."""
        cases, dataset, loaded = self.questions.held_out.cases, self.questions.dataset, self.loaded
        features = compare.features_of(dataset, loaded.catalogue, loaded.viewers, cases, loaded.definitions)
        reader = OfflineReader(features, cases.viewer_ids, cases.at)
        return measure(TwoStage(compare.two_stage(loaded, reader, dataset, order)), self.questions.held_out)[MAIN]

    def truth(self, order: CombineConfig) -> Floats:
        """[requests] expected satisfied seconds of each page, without chance."""
        config = replace(self.loaded.config, exploration=replace(self.loaded.config.exploration, epsilon=0.0))
        live = go_live(replace(self.loaded, scorer=replace(self.loaded.scorer, combine=order)), MemoryStore(), config=config)
        begins = range(0, len(self.requests), _BATCH)
        slates = [s for i in begins for s in live.recommender.recommend(self.requests[i : i + _BATCH])]
        return measures.page_values(self.world, self.requests, slates)

    def best(self) -> Floats:
        """[requests] of the best possible page."""
        return measures.best_values(self.world, self.requests)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--space", type=Path, default=Path("var/world-demo"))
    parser.add_argument("--requests", type=int, default=1_000)
    arguments = parser.parse_args()
    bench = Bench.of(Space(arguments.space), arguments.requests)
    pages = ChancePages.of(bench.questions.dataset, [bench.loaded.catalogue], bench.questions.test_from)
    scores = chance.scored(bench.loaded, bench.questions.dataset, pages.shown)
    viewers = [request.viewer_id for request in bench.requests]
    rows = []
    for name, order in FORMULAS.items():
        asked = bench.questions.held_out.cases.viewer_ids
        row = {
            "order": name,
            "ndcg@10": inference.cluster_interval(bench.clicks(order), asked).to_json(),
            "chance_s": inference.cluster_interval(pages.chosen(combine(scores, order)), pages.viewer_P).to_json(),
            "true_s": inference.cluster_interval(bench.truth(order), viewers).to_json(),
            "formula": asdict(order),
        }
        rows.append(row)
        print(f"{name:26s}" + "  ".join(f"{key} {row[key]['mean']:9.4f}" for key in ("ndcg@10", "chance_s", "true_s")))  # type: ignore[index]
    best = inference.cluster_interval(bench.best(), viewers).to_json()
    print(f"best possible page: {best['mean']:.0f} s; of chance, any of ten: {pages.mean().mean():.1f} s")
    found = {"pages_of_chance": pages.num, "chance_mean_s": float(pages.mean().mean()), "best_s": best, "orders": rows}
    results_file.keep("next-click", found, arguments)


if __name__ == "__main__":
    main()
