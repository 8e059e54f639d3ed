"""Towers for sets of videos, solved for rather than trained by steps: from interactions to vectors and settings. Torch-free.

A video's raw vector has two parts, v = [y, e], each a model of its own whose score is a dot product:

    y    iALS (`factorisation.py`), turned onto the principal axes of Σ y yᵀ. For a history h the viewer's part x solves
             (Σ_all y yᵀ + (α − 1) Σ_h y yᵀ + l2 (V + α |h|)) x = α Σ_h y
    e    EASE in its E strongest directions. With X (viewers × videos) = U S Wᵀ, e_j = W_j · s / √(s² + λ). EASE scores what is
         not in the history by Σ_h −P_ij / P_jj, P = (XᵀX + λ)⁻¹ (Steck, WWW 2019), which in these directions is
             ⟨Σ_h e, e_j⟩ / (1 − |e_j|²)
         so that no V × V matrix is ever made.

The two err differently, so that their sum, `mix` times the second, is meant to beat either. Every setting that the config
leaves open is chosen on a random fifth of the viewers' videos, hidden while choosing; iALS alone is among what is tried. A
video leans on what a ridge regression from content to vectors says of it: by trust / (trust + n) after n interactions, for a
vector solved from few is short, and wholly, `boost` times, without any; to choose that, a tenth of the videos is hidden
altogether.
The viewer's equations and the division become graphs in `retrieval.solved_graphs`.
Shapes: n viewers, V videos, F = D / 4 numbers in the first part, E = D − F in the second, C content.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core import metrics, rng
from core.ragged import Ragged
from data.catalogue import lookup
from data.interactions import Interactions, group
from retrieval.baselines import Floats, faded, top_k, watched
from retrieval.config import SolvedConfig
from retrieval.factorisation import FoldIn, Ials

_L2 = (0.002, 0.004, 0.008, 0.012, 0.018, 0.027)
_ALPHA = (0.5, 1.0, 2.0, 4.0)
"""Times the default, with l2 times its root: what suits one rises with the other."""
_RIDGE = (3.0, 10.0, 30.0, 100.0, 300.0)
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
_MOST_VIEWERS, _MOST_SCORES = 6_000, 100_000_000
_LEAST = 200
"""Interactions; with fewer there is nothing to choose on."""
_POWER_STEPS, _SPARE = 6, 16
_FIXED = ("alpha", "l2", "ridge", "mix")
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


def choose(
    interactions: Interactions, content_VC: Floats, dim: int, config: SolvedConfig, seed: int, on_trial: OnTrial
) -> Settings:
    """Settings by nDCG@20 on hidden videos, but for those that `config` fixes; `on_trial` hears that of each of `num_trials`.

    l2 and alpha of the first part, then λ of the second, then the mix of the two, then how far to trust content.
    """
    fixed = {name: value for name, value in asdict(config).items() if name in _FIXED and value is not None}
    start = replace(Settings(), **fixed)
    if len(interactions) < _LEAST:
        return start
    trial = _Trial(
        Check.of(interactions, seed, unseen=_UNSEEN if content_VC.shape[1] else 0.0), dim, config.sweeps, seed, on_trial
    )
    settings = trial.parts(start, config)
    return trial.content(settings, content_VC) if content_VC.shape[1] else settings


class _Trial:
    """Both parts learned from what is not hidden, with settings that are tried one after the other."""

    def __init__(self, check: "Check", dim: int, sweeps: int, seed: int, on_trial: OnTrial) -> None:
        self._check, self._first, self._sweeps, self._seed, self._on_trial = check, first_part(dim), sweeps, seed, on_trial
        self._directions = principal(check.train, dim - self._first, seed)

    def parts(self, start: Settings, config: SolvedConfig) -> Settings:
        """The best l2, alpha, λ and mix."""
        tried = [start] if config.l2 is not None else [replace(start, l2=l2) for l2 in _L2]
        settings, one = self._best(self._by_first, tried)
        if config.alpha is None:
            rises = 0.5 if config.l2 is None else 0.0
            tried = [replace(settings, alpha=k * settings.alpha, l2=k**rises * settings.l2) for k in _ALPHA]
            settings, one = self._best(self._by_first, tried)
        tried = [settings] if config.ridge is not None else [replace(settings, ridge=ridge) for ridge in _RIDGE]
        settings, two = self._best(self._by_second, tried)
        unit = float(one.std() / max(two.std(), np.finfo(np.float32).tiny))
        mixes = _MIX if config.mix is None else (config.mix,)
        return self._best(lambda one_of: one + one_of.mix * two, [replace(settings, mix=mix * unit) for mix in mixes])[0]

    def content(self, settings: Settings, content_VC: Floats) -> Settings:
        """How far to trust what content says, and how loudly it speaks for a video never seen."""
        counts, histories = self._check.train.counts(), self._check.histories
        factors = _ials(self._check.train, self._first, self._sweeps, settings, self._seed)
        alone = np.concatenate([factors.video_VD, self._second(settings)], axis=1)
        content_CD = regression(content_VC, alone, counts)

        def model(tried: Settings) -> Floats:
            video_VD = leaned(content_VC, content_CD, alone, counts, tried)
            solved = replace(factors, video_VD=np.ascontiguousarray(video_VD[:, : self._first])).scores(histories)
            return solved + tried.mix * linear_scores(video_VD[:, self._first :], histories)

        settings, _ = self._best(model, [replace(settings, trust=trust) for trust in _TRUST])
        return self._best(model, [replace(settings, boost=boost) for boost in _BOOST])[0]

    def _by_first(self, settings: Settings) -> Floats:
        part = _ials(self._check.train, self._first, self._sweeps // 2, settings, self._seed)
        return part.scores(self._check.histories)

    def _by_second(self, settings: Settings) -> Floats:
        return linear_scores(self._second(settings), self._check.histories)

    def _second(self, settings: Settings) -> Floats:
        return _ease(*self._directions, settings.ridge * _density(self._check.train))

    def _best(self, model: Callable[[Settings], Floats], tried: Sequence[Settings]) -> tuple[Settings, Floats]:
        return self._check.best(model, tried, self._on_trial)


def first_part(dim: int) -> int:
    """Numbers in the first part, which costs their square to solve; the second is the better the more it has."""
    return dim // 4


def num_trials(content_VC: Floats, config: SolvedConfig) -> int:
    """How many settings `choose` tries."""
    parts = (len(_L2) if config.l2 is None else 1) + (len(_ALPHA) if config.alpha is None else 0)
    parts += (len(_RIDGE) if config.ridge is None else 1) + (len(_MIX) if config.mix is None else 1)
    return parts + (len(_TRUST) + len(_BOOST)) * (content_VC.shape[1] > 0)


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
