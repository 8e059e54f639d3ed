"""One week of a closed loop: a policy fills pages, the world's viewers react, and the log of it feeds the online features.

Every day in rounds: everybody's first page, then every second page, and so on, as in the world's own history: a batch is large
and each viewer still lives one page after the other. Counters of videos so know the day's earlier rounds, not its later hours.
Requests and reactions depend on ids alone, so policies are compared under the same visits and the same luck.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import rng
from core.clock import DAY_MS
from core.policy import Policy, Request, Slate
from data.world.world import World
from pipelines.lab import measures
from serving.impressions import to_table

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Served:
    """A week of pages."""

    events: pl.DataFrame
    """Impressions and what came of them, schema `columns.EVENTS`; some of it is received after the week's end."""
    value_P: Floats
    """True satisfied seconds of every page."""
    shown_S: Floats
    """The same of the sampled pages …"""
    greedy_S: Floats
    """… of the page that the same release would have shown without chance …"""
    best_S: Floats
    """… and of the best possible one."""


def serve(
    world: World,
    policy: Policy,
    greedy: Policy,
    window: tuple[int, int],
    observe: Callable[[pl.DataFrame], None],
    *,
    sample: int,
    label: str,
    logged: Collection[str] = (),
) -> Served:
    """Let viewers come from window[0] until window[1].

    Args:
        world: reacts, and remembers.
        policy: fills the pages.
        greedy: the same release without chance, for comparison only.
        window: instants, ms.
        observe: told what happened after every round.
        sample: pages on which greedy and best are computed, too.
        label: of the request ids; equal labels give equal requests.
        logged: scores that the log keeps; all of them would be most of its bytes.
    """
    requests = list(world.sessions(*window, label=label))
    chosen = rng.stream(world.config.seed, "lab sample", label, window[0]).permutation(len(requests))[:sample]
    sampled = {requests[i].request_id for i in chosen}
    frames, values, compared = [], [], []
    for batch in rounds(requests):
        slates = policy.recommend(batch)
        values.append(measures.page_values(world, batch, slates))
        compared.append(_compare(world, greedy, batch, slates, sampled))
        events = _logged(world, batch, slates, logged)
        observe(events)
        frames.append(events)
    shown, without, best = np.concatenate(compared, axis=1)
    return Served(pl.concat(frames), np.concatenate(values), shown, without, best)


def rounds(requests: Sequence[Request]) -> Iterator[list[Request]]:
    """Per day, everybody's first page, then every second page, …; requests are in time order."""
    by_day: dict[int, list[Request]] = defaultdict(list)
    for request in requests:
        by_day[request.at // DAY_MS].append(request)
    for day in sorted(by_day):
        turns: list[list[Request]] = []
        seen: dict[int, int] = defaultdict(int)
        for request in by_day[day]:
            turn = seen[request.viewer_id]
            seen[request.viewer_id] += 1
            if turn == len(turns):
                turns.append([])
            turns[turn].append(request)
        yield from turns


def _compare(world: World, greedy: Policy, requests: Sequence[Request], slates: Sequence[Slate], sampled: set[str]) -> Floats:
    """[3, S] true values of the sampled pages of a batch: shown, without chance, best."""
    at = [i for i, request in enumerate(requests) if request.request_id in sampled]
    if not at:
        return np.zeros((3, 0))
    asked = [requests[i] for i in at]
    return np.stack(
        [
            measures.page_values(world, asked, [slates[i] for i in at]),
            measures.page_values(world, asked, greedy.recommend(asked)),
            measures.best_values(world, asked),
        ]
    )


def _logged(world: World, requests: Sequence[Request], slates: Sequence[Slate], logged: Collection[str]) -> pl.DataFrame:
    """What the log gets of a batch: impressions at once, the rest when it happens."""
    bare = [replace(slate, scores={name: slate.scores[name] for name in logged if name in slate.scores}) for slate in slates]
    shown = pl.DataFrame(pl.from_arrow(to_table(requests, bare, max(request.at for request in requests))))
    shown = shown.with_columns(pl.col(c.EVENT_AT).alias(c.RECEIVED_AT))
    came = pl.DataFrame(pl.from_arrow(world.respond(slates, requests)))
    return pl.concat([shown, came]).sort(c.RECEIVED_AT, c.EVENT_ID)
