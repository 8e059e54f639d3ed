"""Towers for sets of videos, solved for rather than trained by steps: from interactions to vectors and settings. Torch-free.

A video's raw vector has two parts, v = [y, e], each a model of its own whose score is a dot product:

    y    iALS (`factorisation.py`), turned onto the principal axes of Σ y yᵀ. For a history h the viewer's part x solves
             (Σ_all y yᵀ + (α − 1) Σ_h y yᵀ + l2 (V + α |h|)) x = α Σ_h y
    e    EASE in its E strongest directions. With X (viewers × videos) = U S Wᵀ, e_j = W_j · s / √(s² + λ). EASE scores what is
         not in the history by Σ_h −P_ij / P_jj, P = (XᵀX + λ)⁻¹ (Steck, WWW 2019), which in these directions is
             ⟨Σ_h e, e_j⟩ / (1 − |e_j|²)
         so that no V × V matrix is ever made.

The two err differently, so that their sum, `mix` times the second, is meant to beat either. Every setting is chosen on a random
fifth of some viewers' videos, hidden while choosing. A video leans on what a ridge regression from content to vectors says of
it: by trust / (trust + n) after n interactions, for a vector solved from few is short, and wholly, `boost` times, without any;
to choose that, a tenth of the videos is hidden altogether.
The viewer's equations and the division become graphs in `retrieval.solved_graphs`.
Shapes: n viewers, V videos, F = D / 4 numbers in the first part, E = D − F in the second, C content.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core import metrics, rng
from core.ragged import Ragged
from data.catalogue import lookup
from data.interactions import Interactions, group
from retrieval.baselines import Floats, faded, top_k, watched
from retrieval.factorisation import FoldIn, Ials

_L2 = (0.004, 0.008, 0.012, 0.018, 0.027)
_ALPHA = (0.5, 1.0, 2.0)
"""Times the default, with l2 times its root: what suits one rises with the other."""
_RIDGE = (3.0, 10.0, 30.0, 100.0)
_MIX = (0.0, 0.35, 0.7, 1.4, 2.8)
"""In units of what gives the scores of both parts the same spread."""
_TRUST = (0.0, 1.0, 3.0, 10.0)
_BOOST = (1.0, 2.0, 4.0)
_CONTENT_L2 = 1.0
LEAST_LEFT = 0.05
"""Lower bound of 1 − |e|²: above 0 for what was solved, perhaps not for what content says in its place."""
_SHARE, _UNSEEN = 0.2, 0.1
"""Of a viewer's videos, and of all videos where there is content."""
_DEPTH = 20
_MOST_VIEWERS, _MOST_SCORES = 2_000, 100_000_000
_LEAST = 200
"""Interactions; with fewer there is nothing to choose on."""
_POWER_STEPS, _SPARE = 6, 16
OnTrial = Callable[[float], None]


@dataclass(frozen=True)
class Settings:
    """What is chosen."""

    alpha: float = 8.0
    l2: float = 0.008
    ridge: float = 10.0
    """λ in interactions per video."""
    mix: float = 1.0
    """Weight of the second part."""
    trust: float = 3.0
    """Interactions after which a video speaks for itself as loudly as its content does."""
    boost: float = 1.0
    """Times what content says of a video that nobody watched yet."""


@dataclass(frozen=True)
class Solution:
    """What the towers are made of."""

    settings: Settings
    video_VD: Floats
    """y and e, with what content adds."""
    content_CD: Floats
    """What content says of a video without interactions: c @ this."""
    spectrum_F: Floats
    """Diagonal of Σ y yᵀ, which has nothing beside it."""
    newcomer_F: Floats
    """x of a viewer without history: its scores are as near to popularity as y allows."""


def solve(interactions: Interactions, content_VC: Floats, dim: int, sweeps: int, settings: Settings, seed: int) -> Solution:
    """Both parts on all interactions, with content where it has any width; deterministic."""
    first = first_part(dim)
    factor_VF = _ials(interactions, first, sweeps, settings, seed).video_VD
    linear_VE = _ease(*principal(interactions, dim - first, seed), settings.ridge * _density(interactions))
    alone_VD = np.concatenate([factor_VF, linear_VE], axis=1, dtype=np.float32)
    content_CD = regression(content_VC, alone_VD, interactions.counts())
    video_VD = leaned(content_VC, content_CD, alone_VD, interactions.counts(), settings)
    content_CD *= settings.boost
    spectrum, axes = np.linalg.eigh(video_VD[:, :first].T @ video_VD[:, :first])
    for vectors in (video_VD, content_CD):
        vectors[:, :first] = vectors[:, :first] @ axes
    popularity = interactions.counts() / max(len(interactions), 1)
    newcomer = (popularity @ video_VD[:, :first]) / (spectrum + settings.l2 * interactions.num_videos)
    return Solution(settings, video_VD, content_CD, spectrum.astype(np.float32), newcomer.astype(np.float32))


def choose(interactions: Interactions, content_VC: Floats, dim: int, sweeps: int, seed: int, on_trial: OnTrial) -> Settings:
    """Settings by nDCG@20 on hidden videos; `on_trial` hears that of each of `num_trials`.

    l2 and alpha of the first part, then λ of the second, then the mix of the two, then how far to trust content.
    """
    if len(interactions) < _LEAST:
        return Settings()
    check, num_first = Check.of(interactions, seed, unseen=_UNSEEN if content_VC.shape[1] else 0.0), first_part(dim)
    directions, counts = principal(check.train, dim - num_first, seed), check.train.counts()

    def first(settings: Settings) -> Floats:
        return _ials(check.train, num_first, sweeps // 2, settings, seed).scores(check.histories)

    def second(settings: Settings) -> Floats:
        return linear_scores(_ease(*directions, settings.ridge * _density(check.train)), check.histories)

    settings, _ = check.best(first, [replace(Settings(), l2=l2) for l2 in _L2], on_trial)
    turned = [replace(settings, alpha=k * settings.alpha, l2=k**0.5 * settings.l2) for k in _ALPHA]
    settings, one = check.best(first, turned, on_trial)
    settings, two = check.best(second, [replace(settings, ridge=ridge) for ridge in _RIDGE], on_trial)
    unit = float(one.std() / max(two.std(), np.finfo(np.float32).tiny))
    mixes = [replace(settings, mix=mix * unit) for mix in _MIX]
    settings, _ = check.best(lambda tried: one + tried.mix * two, mixes, on_trial)
    if not content_VC.shape[1]:
        return settings
    factors = _ials(check.train, num_first, sweeps, settings, seed)
    alone = np.concatenate([factors.video_VD, _ease(*directions, settings.ridge * _density(check.train))], axis=1)
    content_CD = regression(content_VC, alone, counts)

    def with_content(tried: Settings) -> Floats:
        video_VD = leaned(content_VC, content_CD, alone, counts, tried)
        solved = replace(factors, video_VD=np.ascontiguousarray(video_VD[:, :num_first])).scores(check.histories)
        return solved + tried.mix * linear_scores(video_VD[:, num_first:], check.histories)

    settings, _ = check.best(with_content, [replace(settings, trust=trust) for trust in _TRUST], on_trial)
    return check.best(with_content, [replace(settings, boost=boost) for boost in _BOOST], on_trial)[0]


def first_part(dim: int) -> int:
    """Numbers in the first part, which costs their square to solve; the second is the better the more it has."""
    return dim // 4


def num_trials(content_VC: Floats) -> int:
    """How many settings `choose` tries."""
    return len(_L2) + len(_ALPHA) + len(_RIDGE) + len(_MIX) + (len(_TRUST) + len(_BOOST)) * (content_VC.shape[1] > 0)


def regression(content_VC: Floats, vector_VD: Floats, counts_V: NDArray[np.int64]) -> Floats:
    """The ridge regression from content to vectors of videos with interactions. [C, D]"""
    known = counts_V > 0
    content, vectors = content_VC[known].astype(np.float64), vector_VD[known]
    left = content.T @ content + _CONTENT_L2 * np.eye(content.shape[1])
    return np.linalg.solve(left, content.T @ vectors).astype(np.float32)


def leaned(
    content_VC: Floats, content_CD: Floats, vector_VD: Floats, counts_V: NDArray[np.int64], settings: Settings
) -> Floats:
    """The vectors with content's part added: `boost` of it without interactions, trust / (trust + n) of it after n. [V, D]"""
    trust = settings.trust
    weight_V = np.where(counts_V > 0, trust / (trust + np.maximum(counts_V, 1)), settings.boost)
    return (vector_VD + weight_V[:, None] * (content_VC @ content_CD)).astype(np.float32)


@dataclass(frozen=True)
class Check:
    """A fifth of every viewer's videos, hidden, and some viewers who are asked for them."""

    train: Interactions
    histories: Ragged
    hidden: Ragged
    """Of the same viewers."""

    @staticmethod
    def of(interactions: Interactions, seed: int, *, unseen: float = 0.0) -> "Check":
        """Deterministic. `unseen` is the share of videos of which everything is hidden."""
        random, log = rng.stream(seed, "solved check"), interactions
        out = random.random(len(log)) < _SHARE
        out |= (random.random(log.num_videos) < unseen)[log.video_rows]
        train, rest = (_only(log, chosen) for chosen in (~out, out))
        both = np.intersect1d(train.viewer_ids, rest.viewer_ids)
        most = int(np.clip(_MOST_SCORES // max(log.num_videos, 1), 100, _MOST_VIEWERS))
        asked = np.sort(random.permutation(both)[:most])
        return Check(train, *(_histories(part, asked) for part in (train, rest)))

    def ndcg(self, scores_NV: Floats) -> float:
        """Mean nDCG@20 without what is in the history."""
        shown = scores_NV.copy()
        shown[self.histories.owners, self.histories.values] = -np.inf
        found = top_k(shown, _DEPTH)
        wanted = self.hidden.owners * scores_NV.shape[1] + self.hidden.values
        hits = np.isin(np.arange(len(found))[:, None] * scores_NV.shape[1] + found, wanted) & (found >= 0)
        return float(metrics.ndcg(hits, self.hidden.counts, _DEPTH).mean())

    def best(
        self, model: Callable[[Settings], Floats], tried: Sequence[Settings], on_trial: OnTrial
    ) -> tuple[Settings, Floats]:
        """The settings whose scores have the highest nDCG, and the scores."""
        found, settings, scores = -1.0, tried[0], np.zeros((0, 0), dtype=np.float32)
        for one in tried:
            its_scores = model(one)
            value = self.ndcg(its_scores)
            on_trial(value)
            if value > found:
                found, settings, scores = value, one, its_scores
        return settings, scores


def principal(interactions: Interactions, num: int, seed: int) -> tuple[Floats, Floats]:
    """The largest singular values of viewers × videos and their directions among videos. [E], [V, E]

    By subspace iteration (Halko et al., SIAM Review 2011); directions beyond the rank are zero.
    """
    pairs = watched(interactions)
    width = min(num + _SPARE, *pairs.shape)
    basis = rng.stream(seed, "principal directions").normal(size=(pairs.shape[1], width)).astype(np.float32)
    for _ in range(_POWER_STEPS):
        basis, _ = np.linalg.qr(pairs.T @ (pairs @ basis))
    _, strength, axes = np.linalg.svd(pairs @ basis, full_matrices=False)
    kept = min(num, width)
    strength_E, direction_VE = np.zeros(num, np.float32), np.zeros((pairs.shape[1], num), np.float32)
    strength_E[:kept], direction_VE[:, :kept] = strength[:kept], basis @ axes[:kept].T
    return strength_E, direction_VE


def linear_scores(linear_VE: Floats, histories: Ragged) -> Floats:
    """Of all videos for each history, by the second part alone. [n, V]"""
    summed = faded(histories, 1.0, len(linear_VE)) @ linear_VE
    return (summed @ linear_VE.T) / np.maximum(1.0 - (linear_VE**2).sum(axis=1), LEAST_LEFT)


def _ials(interactions: Interactions, dim: int, sweeps: int, settings: Settings, seed: int) -> FoldIn:
    return Ials(dim=dim, alpha=settings.alpha, l2=settings.l2, sweeps=sweeps, decay=1.0, seed=seed).fit(interactions)


def _ease(strength_E: Floats, direction_VE: Floats, ridge: float) -> Floats:
    return direction_VE * (strength_E / np.sqrt(strength_E**2 + ridge))


def _only(log: Interactions, chosen: NDArray[np.bool_]) -> Interactions:
    viewer_ids = log.viewer_ids[log.viewer_rows[chosen]]
    return group(viewer_ids, log.video_rows[chosen], log.at[chosen], log.num_videos, ordered=False)


def _histories(log: Interactions, viewer_ids: NDArray[np.int64]) -> Ragged:
    rows = lookup(log.viewer_ids, viewer_ids)
    return Ragged.slices(log.video_rows, log.offsets[rows], log.offsets[rows + 1])


def _density(interactions: Interactions) -> float:
    return len(interactions) / max(interactions.num_videos, 1)
