"""The request path: requests in, slates out. Read `recommend` from top to bottom; each stage is one line.

    viewer features → viewer vector → sources → filters → merge                      (`retrieve`, which evaluation also calls)
        → video features → ranker → combine → rerank → explorer → slates

A batch of B requests goes through every stage at once; one request is a batch of one. A stage that fails costs quality, never
the page: its reason is on the slate. Where somebody waits (`Request.answer_by_s`), optional stages that would begin too late
are left out, and native libraries run under a time limit. Knows nothing of HTTP, of logs, or of where its parts came from.

Shape legend: B requests, K candidates, S columns of all sources' lists, D vector size.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from core.clock import DAY_MS
from core.policy import Request, Slate
from data.catalogue import Catalogue
from features.breaker import Breaker
from features.schema import FeatureBatch, FeatureSchema, ViewerPart
from ranking.combine import combine
from ranking.config import CombineConfig
from ranking.rerank import rerank
from retrieval.sources import Query, Source, TwoTowerSource
from serving import explorer, filters, nearest, trace
from serving.candidates import CandidateSet, Lists, merge, side_by_side
from serving.config import ExplorationConfig, ServingConfig
from serving.explain import Explained, explain_page
from serving.explorer import Page
from serving.onboarding import Onboarding
from serving.stages import Encoder, FeatureReader, Filter, Floats, Instants, Rows, Scorer
from serving.trace import Trace
from serving.watchdog import Watchdog

T = TypeVar("T")
_ANY = "any"
_LAST_RESORT = 5_000
"""Videos looked through when no source found any that may be shown."""


@dataclass(frozen=True)
class Parts:
    """What a recommender is made of."""

    catalogue: Catalogue
    features: FeatureReader
    encoder: Encoder | None
    video_VD: Floats
    """Unit vectors in catalogue order."""
    sources: Sequence[Source]
    """In order of trust; the first that finds something is the main one."""
    filters: Sequence[Filter]
    scorer: Scorer | None
    onboarding: Onboarding | None = None
    """Hears what new viewers say to like."""
    schema: FeatureSchema | None = None
    """Names of feature columns, for explanations."""
    release_id: str = ""
    arm: str = "control"
    config: ServingConfig = field(default_factory=ServingConfig)

    def order(self, utility_K: Floats, rows_K: NDArray[np.int32], at: int, k: int) -> NDArray[np.int64]:
        """The re-ranker's order of min(k, K) candidates at an instant."""
        uploaded = self.catalogue.uploaded_at[rows_K]
        age_days = np.where(uploaded > 0, (at - uploaded) / DAY_MS, -1).astype(np.float32)
        return rerank(utility_K, self.video_VD, rows_K, self.catalogue.channel[rows_K], age_days, self.config.rerank, k)

    def fresh(self, rows_K: NDArray[np.int32], at: int) -> NDArray[np.bool_]:
        """[K] whether each video was uploaded lately."""
        uploaded = self.catalogue.uploaded_at[rows_K]
        return np.asarray((uploaded > 0) & (at - uploaded <= self.config.fresh_days * DAY_MS), dtype=np.bool_)


@dataclass(frozen=True)
class Decided:
    """A batch of pages, and what they were chosen from."""

    slates: list[Slate]
    candidates: CandidateSet


@dataclass(frozen=True)
class Ranked:
    """What the ranker said about a batch of candidates."""

    batch: FeatureBatch | None
    scores: Mapping[str, Floats]
    """By head, and `affinity` where there are vectors; f32[B, K] each."""
    utility_BK: Floats
    """−inf at padding."""


class Recommender:
    """The production policy (`core.policy.Policy`). Safe for many threads; its state: daily cap, watchdogs."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.config = parts.config
        self._cap = explorer.DailyCap(parts.config.exploration.daily_cap)
        limit_s = parts.config.part_limit_ms / 1e3
        self._watchdogs = {name: Watchdog(name, limit_s) for name in ("encoder", "two_tower", "ranker")}
        self._last_resort = np.argsort(parts.catalogue.uploaded_at, kind="stable")[:_LAST_RESORT].astype(np.int32)

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """By part: whether it is asked at the moment."""
        return {name: watchdog.breaker for name, watchdog in self._watchdogs.items()}

    def recommend(self, requests: Sequence[Request], *, explain: bool = False) -> list[Slate]:
        """One slate per request, in order. Never raises because of a part that fails.

        Args:
            requests: any mix of viewers, surfaces, sizes and instants; the earliest deadline among them counts for all.
            explain: fill `Slate.explanation`.
        """
        return self.decide(requests, explain=explain).slates if requests else []

    def decide(self, requests: Sequence[Request], *, explain: bool = False) -> Decided:
        """Like `recommend`, of at least one request, with the candidates."""
        log = Trace(len(requests), min((r.answer_by_s for r in requests if r.answer_by_s is not None), default=None))
        candidates = self._find(requests, log)
        with log.stage("video_features"):
            batch = self._video_features(candidates, log)
        with log.stage("ranker"):
            scores = self._score(candidates, batch, log)
        with log.stage("combine"):
            ranked = Ranked(batch, scores, self._utility(candidates, scores, log))
        with log.stage("rerank"):
            orders = [self._rerank(request, i, candidates, ranked, log) for i, request in enumerate(requests)]
        with log.stage("explorer"):
            pages = [self.explore(request, i, candidates, ranked, orders[i]) for i, request in enumerate(requests)]
        slates = [self._slate(request, i, candidates, ranked, pages[i], log, explain) for i, request in enumerate(requests)]
        return Decided(slates, candidates)

    def retrieve(self, requests: Sequence[Request]) -> CandidateSet:
        """The candidates that the ranker would see; at least one request."""
        return self._find(requests, Trace(len(requests)))

    def _find(self, requests: Sequence[Request], log: Trace) -> CandidateSet:
        viewer_ids = np.fromiter((r.viewer_id for r in requests), dtype=np.int64, count=len(requests))
        with log.stage("viewer_features"):
            query = self._viewer(requests, viewer_ids, log)
        with log.stage("viewer_vector"):
            query = replace(query, viewer_BD=self._encode(query.part, log))
        with log.stage("sources"):
            found = self._sources(requests, query, log)
        with log.stage("filters"):
            lists = side_by_side(found, len(requests))
            filtered = filters.apply(self.parts.filters, query, viewer_ids, lists.rows_BS)
        with log.stage("merge"):
            kept = filtered.kept_BS
            if not kept.any(axis=1).all():
                lists, kept = self._anything(query, viewer_ids, found, filtered, log)
            rows, sources = merge(lists, kept, [self._quota(name) for name in lists.names], self.config.num_candidates)
        return CandidateSet(query, rows, sources, lists.names, filtered.removed)

    def _watched(self, name: str, call: Callable[[], T], log: Trace) -> T:
        """The call, under the part's time limit where somebody waits and the part has one."""
        return self._watchdogs[name].call(call) if log.awaited and name in self._watchdogs else call()

    # Stages of retrieval.

    def _viewer(self, requests: Sequence[Request], viewer_ids: NDArray[np.int64], log: Trace) -> Query:
        at = np.fromiter((r.at for r in requests), dtype=np.int64, count=len(requests))
        part = log.attempt(lambda: self.parts.features.viewer_part(viewer_ids, at), trace.NO_HISTORY_STORE)
        if part is None:
            part = log.attempt(lambda: self.parts.features.blank_part(viewer_ids, at), trace.NO_HISTORY_STORE, needed=True)
            part = part and self._begun(part, requests, at, log)
        else:
            part = self._begun(part, requests, at, log)
            log.note(trace.UNKNOWN_VIEWER, (part.history_BL < 0).all(axis=1) & (part.codes_BC[:, :6] == 0).all(axis=1))
        current = self.parts.catalogue.rows([-1 if r.video_id is None else r.video_id for r in requests])
        log.note(trace.UNKNOWN_VIDEO, np.array([r.video_id is not None for r in requests]) & (current < 0))
        return Query(_watching(part or _nobody(len(requests)), current), None, at, current)

    def _begun(self, part: ViewerPart, requests: Sequence[Request], at: Instants, log: Trace) -> ViewerPart:
        """The part, with more history for viewers who have little and said what they like."""
        onboarding = self.parts.onboarding
        if onboarding is None or not any(r.topics for r in requests):
            return part
        return log.attempt(lambda: onboarding.begin(part, [r.topics for r in requests], at), trace.NO_TOPICS) or part

    def _encode(self, part: ViewerPart, log: Trace) -> Floats | None:
        encoder = self.parts.encoder
        if encoder is None:
            log.note(trace.NO_VECTOR)
            return None
        return log.attempt(lambda: self._watched("encoder", lambda: encoder.encode(part), log), trace.NO_VECTOR)

    def _sources(self, requests: Sequence[Request], query: Query, log: Trace) -> dict[str, Rows]:
        """Lists by source. Until each request has some, the next is asked, even late, for as many as the ranker takes."""
        margin = min(max((len(seen) for seen in query.part.seen), default=0), self.config.seen_margin)
        ahead, served = nearest.known(requests), np.zeros(len(query), dtype=np.bool_)
        found: dict[str, Rows] = {}
        for source in self.parts.sources:
            alone = not served.all()
            wanted = margin + (self.config.num_candidates if alone else self._quota(source.name))
            if source.name == TwoTowerSource.name and ahead.any():
                rows = self._nearest(source, requests, query, wanted, ahead, log)
            else:
                rows = self._ask(source, query, wanted, log, needed=alone)
            if rows is not None:
                found[source.name] = rows
                served |= (rows >= 0).any(axis=1)
        return found

    def _ask(
        self, source: Source, query: Query, k: int, log: Trace, where: NDArray[np.bool_] | None = None, *, needed: bool
    ) -> Rows | None:
        """A source's list for the requests of a mask, all without one; None where it fails."""
        reason = trace.source_down(source.name)
        return log.attempt(
            lambda: self._watched(source.name, lambda: source.candidates(query, k), log), reason, where, needed=needed
        )

    def _nearest(
        self, source: Source, requests: Sequence[Request], query: Query, k: int, ahead: NDArray[np.bool_], log: Trace
    ) -> Rows | None:
        """Like `_ask`, where the list of some is known ahead: for them it is taken without a search, or where that fails."""
        searching, rows = np.array([request.search for request in requests]) | ~ahead, None
        if searching.any() and query.viewer_BD is not None:
            asked = query if searching.all() else query.of(np.flatnonzero(searching))
            rows = self._ask(source, asked, k, log, searching, needed=True)
        if rows is not None and searching.all():
            return rows
        known = nearest.rows(requests, self.parts.catalogue)
        if rows is None:
            log.note(trace.NEAREST_OF_EARLIER, searching & ahead)
            return known
        return nearest.completed(known, searching, rows)

    def _anything(
        self, query: Query, viewer_ids: NDArray[np.int64], found: dict[str, Rows], filtered: filters.Filtered, log: Trace
    ) -> tuple[Lists, NDArray[np.bool_]]:
        """For requests left with nothing: what the yielding filters took, and then any video at all."""
        width = filtered.kept_BS.shape[1]
        empty: NDArray[np.bool_] = ~np.asarray(filtered.kept_BS.any(axis=1))
        rest = np.where(empty[:, None], self._last_resort[None, :], -1)
        lists = side_by_side({**found, _ANY: rest}, len(query))
        firm = filters.apply([f for f in self.parts.filters if not f.yields], query, viewer_ids, lists.rows_BS)
        kept = firm.kept_BS & empty[:, None]
        again: NDArray[np.bool_] = np.asarray(kept[:, :width].any(axis=1))
        kept[again, width:] = False
        log.note(trace.NOTHING_UNSEEN, empty & again)
        log.note(trace.NOTHING_FOUND, np.asarray(empty & ~again & kept.any(axis=1)))
        kept[:, :width] |= filtered.kept_BS
        log.note(trace.NOTHING_AT_ALL, np.asarray(~kept.any(axis=1)))
        return lists, kept

    def _quota(self, name: str) -> int:
        return int(getattr(self.config.quotas, name, self.config.num_candidates))

    # Stages of ranking.

    def _video_features(self, candidates: CandidateSet, log: Trace) -> FeatureBatch | None:
        rows = candidates.rows_BK
        if not rows.size:
            return None
        query = candidates.query
        return log.attempt(
            lambda: self.parts.features.assemble(query.part, np.where(rows >= 0, rows, 0), query.at), trace.NO_VIDEO_FEATURES
        )

    def _score(self, candidates: CandidateSet, batch: FeatureBatch | None, log: Trace) -> dict[str, Floats]:
        affinity = self._affinity(candidates)
        scores: dict[str, Floats] = {} if candidates.query.viewer_BD is None else {"affinity": affinity}
        scorer = self.parts.scorer
        if not candidates.rows_BK.size:
            return scores
        reason = trace.NO_RANKER if scores else trace.NO_ORDER
        if scorer is None or batch is None:
            log.note(trace.out_of_time("ranker") if log.late else reason)
            return scores
        said = log.attempt(lambda: self._watched("ranker", lambda: scorer.score(batch, affinity), log), reason)
        return scores | dict(said or {})

    def _affinity(self, candidates: CandidateSet) -> Floats:
        """Cosine of viewer and candidate; 0 where there is no viewer vector."""
        rows, viewer_BD = candidates.rows_BK, candidates.query.viewer_BD
        if viewer_BD is None or not rows.size:
            return np.zeros(rows.shape, dtype=np.float32)
        return (self.parts.video_VD.take(rows, axis=0) @ viewer_BD[:, :, None])[..., 0]

    def _utility(self, candidates: CandidateSet, scores: Mapping[str, Floats], log: Trace) -> Floats:
        rows = candidates.rows_BK
        formula = CombineConfig() if self.parts.scorer is None else self.parts.scorer.combine
        utility = combine(scores, formula) if scores else _found_first(rows)
        known, valid = rows >= 0, np.isfinite(utility)
        log.note(trace.BAD_SCORES, np.asarray((known & ~valid).any(axis=1)))
        return np.where(known & valid, utility, np.float32(-np.inf))

    def _rerank(self, request: Request, index: int, candidates: CandidateSet, ranked: Ranked, log: Trace) -> NDArray[np.int64]:
        rows = candidates.rows_BK[index]
        rows = rows[rows >= 0]
        utility, k = ranked.utility_BK[index, : len(rows)], max(request.k, 0)
        here = np.arange(len(candidates.query)) == index
        if len(rows) < k:
            log.note(trace.short_page(len(rows), k), here)
        order = log.attempt(lambda: self.parts.order(utility, rows, request.at, k), trace.NO_RERANK, here)
        return np.argsort(-utility, kind="stable")[:k] if order is None else order

    def explore(self, request: Request, index: int, candidates: CandidateSet, ranked: Ranked, order: NDArray[np.int64]) -> Page:
        """The page of one request, with as much chance as the viewer has left today; a `witness` looks at what it is made of.

        order: the re-ranker's, into the request's candidates.
        """
        rows, settings = candidates.rows_BK[index], self.config.exploration
        rows = rows[rows >= 0]
        if self._cap.reached(request.viewer_id, request.at):
            settings = replace(settings, epsilon=0.0)
        page = self.fill(request, rows, ranked.utility_BK[index, : len(rows)], order, settings)
        self._cap.spend(request.viewer_id, request.at, int(page.exploration.sum()))
        return page

    def fill(
        self,
        request: Request,
        rows_K: NDArray[np.int32],
        utility_K: Floats,
        order: NDArray[np.int64],
        settings: ExplorationConfig,
    ) -> Page:
        """The slots of a page by chance: the stage that another policy replaces (`thompson`)."""
        return explorer.page_of(order, utility_K, self.parts.fresh(rows_K, request.at), settings, request.request_id)

    # The answer.

    def _slate(
        self, request: Request, i: int, candidates: CandidateSet, ranked: Ranked, page: Page, log: Trace, explain: bool
    ) -> Slate:
        chosen = page.chosen
        rows = candidates.rows_BK[i, chosen]
        scores = {head: values[i, chosen] for head, values in ranked.scores.items()}
        slate = Slate(
            request_id=request.request_id,
            video_ids=self.parts.catalogue.video_ids[rows],
            propensities=page.propensities,
            exploration=page.exploration,
            sources=tuple(candidates.names[code] for code in candidates.source_BK[i, chosen]),
            scores={**scores, "utility": ranked.utility_BK[i, chosen]},
            release_id=self.parts.release_id,
            arm=self.parts.arm,
            # Topics are not logged, so features of such a page cannot be computed again.
            feature_hash=None if ranked.batch is None or request.topics else ranked.batch.fingerprint(i, chosen),
            degraded=log.degraded(i),
            stage_ms=log.stage_ms,
        )
        if not explain:
            return slate
        facts = Explained(i, chosen, candidates, ranked.batch, self.parts.schema, self.parts.catalogue, self.parts.video_VD)
        return replace(slate, explanation=explain_page(slate, facts))


def _watching(part: ViewerPart, current_B: Rows) -> ViewerPart:
    """The part with the video being watched at the head of the history, unless it is there already."""
    history = part.history_BL
    if not history.shape[1] or (current_B < 0).all():
        return part
    ahead = ((current_B >= 0) & (history[:, 0] != current_B))[:, None]
    shifted = np.concatenate([current_B[:, None], history[:, :-1]], axis=1)
    ages = np.concatenate([np.zeros((len(history), 1), dtype=np.float32), part.history_age_BL[:, :-1]], axis=1)
    return replace(
        part,
        history_BL=np.where(ahead, shifted, history).astype(np.int32),
        history_age_BL=np.where(ahead, ages, part.history_age_BL).astype(np.float32),
    )


def _nobody(num_requests: int) -> ViewerPart:
    """A part without columns, for when even attributes are not to be had: only impersonal sources can use it."""
    numbers, codes = np.zeros((num_requests, 0), dtype=np.float32), np.zeros((num_requests, 0), dtype=np.int32)
    return ViewerPart(numbers, codes, codes, numbers, (np.empty(0, dtype=np.int32),) * num_requests)


def _found_first(rows_BK: Rows) -> Floats:
    """A utility that keeps candidates in the order they were found."""
    return np.broadcast_to(-np.arange(rows_BK.shape[1], dtype=np.float32), rows_BK.shape)
