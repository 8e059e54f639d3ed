"""With what probability would these settings have shown that page? Slot by slot, from what the page was chosen from.

The numerator of the weights of slate estimators (`experiments.ope`): candidates, utilities and settings give the re-ranked
page, the explorer's pool and its weights, and `experiments.policies` the probability of each slot's video given the slots
above. For settings that drew the page themselves these are its own propensities. 0 where they could not have shown it.
"""

import numpy as np
from numpy.typing import NDArray

from core.clock import DAY_MS
from core.policy import Request
from experiments import policies
from experiments.policies import Chances
from serving import explorer
from serving.recommender import Recommender
from serving.thompson import deviates
from serving.witness import Note


def of_page(
    recommender: Recommender, request: Request, note: Note, shown: NDArray[np.int64], *, chance: bool = True
) -> NDArray[np.float64]:
    """[k] probability of each slot's video given the slots above.

    Args:
        recommender: whose settings; its state plays no part.
        request: id, instant and k count.
        note: what the page was chosen from.
        shown: ids of the page, top first.
        chance: False where nothing was left to chance, as when the viewer had used up the day's cap.
    """
    parts, settings = recommender.parts, recommender.config.exploration
    ids = parts.catalogue.video_ids[note.rows_K]
    ranked = parts.order(note.utility_K, note.rows_K, request.at, request.k)
    fresh = parts.fresh(note.rows_K, request.at)
    members = explorer.pool(note.utility_K, fresh, settings.pool)
    weight_1K = np.zeros((1, len(ids)))
    weight_1K[0, members] = explorer.weights(note.utility_K[members], fresh[members], settings)
    rank_1K = np.full((1, len(ids)), -np.inf)
    rank_1K[0, ranked] = -np.arange(len(ranked))
    calm, explored = policies.epsilon_greedy(rank_1K, 0.0), policies.epsilon_greedy(rank_1K, settings.epsilon, weight_1K)
    left_1K = np.zeros(weight_1K.shape, dtype=bool)
    left_1K[0, np.union1d(ranked, members)] = True
    if settings.kind == "thompson" and settings.epsilon > 0 and note.spread_K is not None:
        noise_MK = note.spread_K * deviates(settings.seed, request.at // DAY_MS, ids)
        score_MK = note.utility_K.astype(np.float64) + settings.temperature * noise_MK
        explored = policies.thompson(score_MK[:, None], settings.epsilon, weight_1K)
    place = {video: at for at, video in enumerate(ids.tolist())}
    picks = [place.get(video, -1) for video in shown.tolist()]
    free = [chance and (not settings.slots or slot in settings.slots) for slot in range(len(picks))]
    return _walked([explored if each else calm for each in free], left_1K, picks)


def _walked(chances_S: list[Chances], left_1K: NDArray[np.bool_], picks: list[int]) -> NDArray[np.float64]:
    """Down the page: what each slot's chances say of its pick, then without it. −1 is no candidate."""
    found = np.zeros(len(picks))
    for slot, (chances, pick) in enumerate(zip(chances_S, picks, strict=True)):
        if pick >= 0:
            found[slot] = chances(left_1K)[0, pick]
            left_1K[0, pick] = False
    return found
