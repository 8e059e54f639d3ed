"""Does a record give its page again, and what does one cost? Pages of a live release, while events of other pages come between.

    python -m benchmarks.records --space world-demo --pages 300

asked_again   share of pages that come out the same when the recommender is asked a second time, by what happened in between:
              nothing, seven other requests beside it in its batch, impressions of so many other pages, its own impressions
records       share of records that give their page and its propensities, under each kind of chance; bytes a record, in one file
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results_file
from core import release, settings
from core.clock import SECOND_MS
from core.policy import Request, Slate
from features.memory_store import MemoryStore
from pipelines import spaces
from serving import counterfactual
from serving.counterfactual import Recorder, Subjects, Writer
from serving.impressions import to_table
from serving.live import LiveRelease, go_live
from serving.releases import load_release
from serving.witness import Notebook

KINDS = ("epsilon_greedy", "plackett_luce", "thompson")
_BETWEEN = (1, 3, 10)
_BATCH = 8


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--space", default=None, help="the last trained one when absent")
    parser.add_argument("--pages", type=int, default=300)
    arguments = parser.parse_args()
    space = spaces.current(settings.load().var_dir, arguments.space)
    live_id = release.resolve(space.releases, "live")
    assert live_id is not None, "publish a release first"
    live = go_live(load_release(space.releases, live_id), MemoryStore())
    found = {"asked_again": _asked_again(live, arguments.pages), "records": _records(live, arguments.pages)}
    for name, part in found.items():
        print(name, part)
    results_file.keep("records", found, arguments)


def _requests(live: LiveRelease, purpose: str, number: int) -> list[Request]:
    ids, end = live.loaded.viewers.viewer_ids, live.loaded.end_at + 1
    return [Request(f"{purpose}-{i}", int(ids[i * 7 % len(ids)]), end + i * SECOND_MS) for i in range(number)]


def _same(pairs: Sequence[tuple[Slate, Slate]]) -> float:
    """Share with the same videos from the same features."""
    same = [a.video_ids.tolist() == b.video_ids.tolist() and a.feature_hash == b.feature_hash for a, b in pairs]
    return float(np.mean(same))


def _asked_again(live: LiveRelease, number: int) -> dict[str, float]:
    policy, requests = live.recommender, _requests(live, "still", number)
    alone = [policy.recommend([request])[0] for request in requests]
    batches = [slate for i in range(0, number, _BATCH) for slate in policy.recommend(requests[i : i + _BATCH])]
    again = [policy.recommend([request])[0] for request in requests]
    found = {"nothing between": _same(list(zip(alone, again, strict=True)))}
    found["in a batch"] = _same(list(zip(alone, batches, strict=True)))
    for between in (*_BETWEEN, 0):
        pairs = []
        for request in _requests(live, f"after {between}", number):
            before = policy.recommend([request])[0]
            others = [replace(request, request_id=f"{request.request_id}:{n}", viewer_id=n + 1) for n in range(between)]
            shown = (others, policy.recommend(others)) if between else ([request], [before])
            live.apply(to_table(*shown, request.at + 1))
            pairs.append((before, policy.recommend([request])[0]))
        found[f"after {between} other pages" if between else "after its own impressions"] = _same(pairs)
    return found


def _records(live: LiveRelease, number: int) -> dict[str, Any]:
    found = {}
    for kind in KINDS:
        config = live.base.config
        config = replace(config, exploration=replace(config.exploration, kind=kind, epsilon=0.1))  # type: ignore[arg-type]
        policy, notes = live.base.build(config), Notebook()
        subjects = Subjects(lambda request, policy=policy: policy, live.loaded.viewers, None, notes)  # type: ignore[misc]
        with tempfile.TemporaryDirectory() as folder:
            writer = Writer(Path(folder) / counterfactual.FOLDER, rows=number, seconds=float("inf"))
            recorder = Recorder(lambda subjects=subjects: subjects, writer.add)  # type: ignore[misc]
            for request in _requests(live, kind, number):
                (slate,) = notes.over(policy).recommend([request])
                live.apply(to_table([request], [slate], request.at + 1))
                recorder(request, slate)
            writer.close()
            size = sum(file.stat().st_size for file in writer.files)
            replayed = counterfactual.read(Path(folder))["replayed"].mean()
        found[kind] = {"replayed": replayed, "bytes": size / number}
    return found


if __name__ == "__main__":
    main()
