"""Measuring a release against the live one and the baselines: the evidence that gates are judged on. Read `evidence` first.

Test clicks give quality, slices, exposure and opportunity; test impressions give calibration; logged viewers, each asking both
releases for one page in turn, give times and the agreement of the pages. Times are processor time in process, the store a
dictionary: what a page costs, however busy the machine is.
"""

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import rng
from core.policy import Request
from data import validation, versioning
from data.catalogue import ViewerTable
from data.dataset import Dataset
from data.labels import definitions as labels
from experiments import fairness, shadow
from experiments.fairness import Disparity, Support
from experiments.shadow import Answers
from features.memory_store import MemoryStore
from pipelines.evaluation import chance, slices
from pipelines.evaluation.chance import ChancePages
from pipelines.evaluation.evaluate import measure
from pipelines.evaluation.leaderboard import MAIN, Entry, Leaderboard
from pipelines.gates import footprint
from pipelines.gates.gates import GatesConfig
from pipelines.gates.judge import Choice, Evidence, Head, Measured
from pipelines.gates.questions import CANDIDATE, TOP, Answered, Questions, leaderboard, snapshot_of, trained_of
from pipelines.progress import Stages
from pipelines.spaces import Space
from serving.live import go_live
from serving.releases import LoadedRelease, load_release

LIVE = "live"
_WARM_UP = 20
_APART_MS = 1_000
"""Between the requests that are timed."""
_LABELS = {"click": labels.CLICKED, "watch": labels.WATCH_S, "like": labels.LIKED, "dislike": labels.DISLIKED}


def evidence(space: Space, candidate_id: str, live_id: str | None, config: GatesConfig, stages: Stages) -> Evidence:
    """Measure everything.

    Raises:
        ReleaseRefused: a release cannot be opened.
        BadInput: a snapshot is gone, or its log has no test clicks.
    """
    with stages("open") as stage:
        # A refreshed release has no test period: the one whose models it has stands in for it.
        ids = {CANDIDATE: candidate_id} | ({} if live_id is None else {LIVE: trained_of(space, live_id)})
        opened = {name: load_release(space.releases, release_id) for name, release_id in ids.items()}
        questions = Questions.of(space, list(opened.values()))
        stage.note = f"{len(questions.held_out):,} test clicks; {candidate_id} against {ids.get(LIVE, 'the baselines alone')}"
    with stages("data checks") as stage:
        report = validation.check(versioning.open_snapshot(space.snapshots, snapshot_of(opened[CANDIDATE])))
        stage.note = report.summary()
    with stages("test clicks") as stage:
        board, entries, served_NK = _answers(questions, opened)
        stage.note = ", ".join(f"{name} {entry.mean(MAIN):.4f}" for name, entry in entries.items())
    with stages("test impressions") as stage:
        shown = impressions(questions.dataset, questions.test_from, list(opened.values()), config)
        heads = {name: heads_of(loaded, questions.dataset, shown) for name, loaded in opened.items()}
        choices = choices_of(opened, questions)
        stage.note = f"{len(shown):,}"
    with stages("pages") as stage:
        viewers = rng.stream(config.seed, "gate requests").choice(questions.held_out.cases.viewer_ids, config.requests)
        answers = pages(opened, viewers)
        stage.note = ", ".join(f"{name} {np.median(found.ms_B):.1f} ms" for name, found in answers.items())
    with stages("memory") as stage:
        resident = footprint.resident_bytes(space.releases, candidate_id)
        stage.note = "unknown" if resident is None else f"{resident / (1 << 20):,.0f} MiB"
    with stages("fairness"):
        disparities = _disparities(questions, served_NK, shown, heads[CANDIDATE], config)
    measured = {
        n: Measured(ids[n], entries[n], heads[n], answers[n].ms_B, num_bytes(opened[n]), choice=choices.get(n)) for n in opened
    }
    ours = replace(measured[CANDIDATE], resident_bytes=resident)
    agreement = shadow.compare(answers[LIVE], answers[CANDIDATE])[0] if live_id is not None else None
    found = slices_of(board, entries.get(LIVE) or board.best_baseline, config)
    return Evidence(ours, measured.get(LIVE), board, report, disparities, agreement, found)


def _answers(
    questions: Questions, opened: Mapping[str, LoadedRelease]
) -> tuple[Leaderboard, dict[str, Entry], NDArray[np.int32]]:
    """Who finds the next click: the board of candidate and baselines, the row of each release; and the candidate's pages."""
    ours = {order: Answered(opened[CANDIDATE], questions, order) for order in chance.orders(opened[CANDIDATE])}
    board = leaderboard(questions, ours)
    entries = {CANDIDATE: board.entry(CANDIDATE)}
    if LIVE in opened:
        entries[LIVE] = Entry(LIVE, measure(Answered(opened[LIVE], questions).model, questions.held_out), 0.0)
    return board, entries, ours.get(chance.SERVED, ours[CANDIDATE]).pages_NK


def num_bytes(loaded: LoadedRelease) -> int:
    """Size on disk."""
    return sum(file.stat().st_size for file in loaded.path.rglob("*") if file.is_file())


def slices_of(board: Leaderboard, other: Entry | None, config: GatesConfig) -> slices.Slices | None:
    """The candidate against another model, group by group; None without one."""
    if other is None:
        return None
    values = {CANDIDATE: board.entry(CANDIDATE).values[MAIN], other.model: other.values[MAIN]}
    viewers = board.held_out.cases.viewer_ids
    return slices.compare(values, viewers, board.about.labels, metric=MAIN, min_cases=config.slice_cases)


def impressions(dataset: Dataset, test_from: int, releases: list[LoadedRelease], config: GatesConfig) -> pl.DataFrame:
    """Impressions of the test period, from `test_from` (ms) on, with outcomes, of videos that every release knows."""
    found = labels.impression_outcomes(dataset.events).filter(pl.col(labels.AT) >= test_from)
    known = np.ones(len(found), dtype=bool)
    for loaded in releases:
        known &= loaded.catalogue.rows(found[c.VIDEO_ID].to_numpy()) >= 0
    found = found.filter(pl.Series(known))
    if len(found) <= config.max_impressions:
        return found
    chosen = rng.stream(config.seed, "gate impressions").choice(len(found), config.max_impressions, replace=False)
    return found[np.sort(chosen)]


def heads_of(loaded: LoadedRelease, dataset: Dataset, shown: pl.DataFrame) -> dict[str, Head]:
    """What each head says about the impressions, from features of the moment before."""
    if not len(shown):
        return {}
    scores, viewer_ids = chance.scored(loaded, dataset, shown), shown[c.VIEWER_ID].to_numpy()
    heads = {}
    for name in _LABELS.keys() & scores.keys():
        observed = shown[_LABELS[name]].cast(pl.Float64).to_numpy()
        known = np.isfinite(observed)
        heads[name] = Head(scores[name].astype(np.float64)[known], observed[known], viewer_ids[known])
    return {name: heads[name] for name in _LABELS if name in heads}


def choices_of(opened: Mapping[str, LoadedRelease], questions: Questions) -> dict[str, Choice]:
    """What each release would have put first on the same pages of chance of the test period; empty where there are few."""
    pages = ChancePages.of(questions.dataset, [loaded.catalogue for loaded in opened.values()], questions.test_from)
    if pages.num < chance.MIN_PAGES or not pages.satisfied_R.any():
        return {}
    return {n: Choice(chance.served(loaded, questions.dataset, pages), pages.viewer_P) for n, loaded in opened.items()}


def pages(opened: Mapping[str, LoadedRelease], viewers: NDArray[np.int64]) -> dict[str, Answers]:
    """What each release answers when these viewers ask, one page after the other, asked in turn and without chance."""
    since = max(loaded.end_at for loaded in opened.values()) + 1
    requests = [Request(f"gate-{i}", int(v), since + i * _APART_MS, k=TOP) for i, v in enumerate(viewers)]
    services = {}
    for name, loaded in opened.items():
        greedy = replace(loaded.config, exploration=replace(loaded.config.exploration, epsilon=0.0))
        services[name] = go_live(loaded, MemoryStore(), config=greedy).recommender
        services[name].recommend(requests[:_WARM_UP])
    answers = {name: _empty(len(requests)) for name in opened}
    for i, request in enumerate(requests):
        for name, recommender in services.items():
            began = time.process_time()
            slate = recommender.recommend([request])[0]
            answer, k = answers[name], len(slate.video_ids)
            answer.ms_B[i] = 1_000 * (time.process_time() - began)
            answer.video_BK[i, :k], answer.score_BK[i, :k] = slate.video_ids, slate.scores["utility"]
            answer.failed_B[i] = bool(slate.degraded) or not k
    return answers


def _empty(num: int) -> Answers:
    pages, scores = np.full((num, TOP), -1, dtype=np.int64), np.full((num, TOP), np.nan)
    return Answers(pages, scores, np.zeros(num), np.zeros(num, dtype=bool))


def _disparities(
    questions: Questions, pages_NK: NDArray[np.int32], shown: pl.DataFrame, heads: Mapping[str, Head], config: GatesConfig
) -> list[Disparity]:
    """Every measure over every attribute that the log knows."""
    support, held_out = Support(config.group_cases, config.group_viewers), questions.held_out
    found: NDArray[np.bool_] = np.any(held_out.hits(pages_NK, slice(0, len(held_out))), axis=1)
    liked, names = liked_cases(questions), questions.catalogue.vocabularies[0].values
    codes_NK = np.where(pages_NK >= 0, questions.catalogue.category[pages_NK], 0)
    exposed = {names[code]: (codes_NK == code).any(axis=1) for code in range(1, len(names))}
    disparities = []
    for attribute in config.attributes:
        cases, known = _grouped(questions.viewers, attribute, held_out.cases.viewer_ids)
        if len(np.unique(cases.group_N)) > 1:
            disparities += fairness.exposure({name: of[known] for name, of in exposed.items()}, cases, support)
            asked, known = _grouped(questions.viewers, attribute, held_out.cases.viewer_ids[liked])
            disparities.append(fairness.opportunity(found[liked][known], asked, support))
            if "click" in heads:
                cases, known = _grouped(questions.viewers, attribute, shown[c.VIEWER_ID].to_numpy())
                click = heads["click"]
                disparities.append(fairness.calibration("click", click.observed[known], click.predicted[known], cases, support))
    return disparities


def liked_cases(questions: Questions) -> NDArray[np.bool_]:
    """[N] whether what the viewer chose was also liked (`labels.SATISFIED`); all, where the log does not say of any."""
    dataset, held_out = questions.dataset, questions.held_out
    outcomes = (labels.impression_outcomes if dataset.has_impressions else labels.clicked_feedback)(dataset.events)
    pair = [c.VIEWER_ID, c.VIDEO_ID]
    satisfied = labels.graded(outcomes, dataset.videos).filter(labels.SATISFIED).select(*pair, labels.SATISFIED).unique()
    chosen = {
        c.VIEWER_ID: held_out.cases.viewer_ids[held_out.targets.owners],
        c.VIDEO_ID: questions.catalogue.video_ids[held_out.targets.values],
    }
    said = pl.DataFrame(chosen).join(satisfied, on=pair, how="left", maintain_order="left")[labels.SATISFIED]
    liked = said.fill_null(False).to_numpy()
    return liked if liked.any() else np.ones(len(liked), dtype=np.bool_)


def _grouped(viewers: ViewerTable, attribute: str, viewer_ids: NDArray[np.int64]) -> tuple[fairness.Cases, NDArray[np.bool_]]:
    """The cases of viewers whose group is known, and which ones those are."""
    column = c.VIEWER_ATTRIBUTES.index(attribute.replace(" ", "_"))
    codes = viewers.attributes(viewer_ids)[:, column]
    known = codes > 0
    return fairness.Cases(attribute, np.array(viewers.vocabularies[column].values)[codes[known]], viewer_ids[known]), known
