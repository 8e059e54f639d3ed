"""The gates of a refreshed release. Its models are those of a release that was judged when it was trained, so it inherits that
quality; what is asked is whether the refresh has broken anything.

    models      towers and ranker are, byte for byte, those of the trained release that what is live comes from, too
    data        the snapshot passes its checks
    skew        viewers' features, as its store starts with them, are what the snapshot says at its end: no value may differ
    recall      of the exact nearest, the share that its index finds, against the live index
    agreement   with the live release, of the nearest videos and of pages (`serving.verification`), 0 as chance has it
    latency, size, memory   as for every release

That its pages are whole is asked when it goes into service (`serving.live`), which refuses it otherwise. Quality cannot be
asked: every click of its log has gone into its statistics, so it has no test period. Read `gates_of`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core import rng
from data import validation, versioning
from data.dataset import Dataset
from data.validation_report import ValidationReport
from features import offline
from features.memory_store import MemoryStore
from pipelines.gates import footprint, judge
from pipelines.gates import measure as gates_measure
from pipelines.gates.gates import Gate, GatesConfig, Verdict
from pipelines.gates.questions import CANDIDATE, snapshot_of, trained_of
from pipelines.progress import Stages
from pipelines.spaces import Space
from retrieval.encoder import VIDEO_TOWER, VIEWER_TOWER
from serving import verification
from serving.live import go_live
from serving.releases import LoadedRelease, load_release

_MODELS = (VIEWER_TOWER, VIDEO_TOWER, "ranker.onnx")
_AUDITED = 200
"""Viewers whose features are compared with the snapshot."""


def gates_of(
    space: Space, release_id: str, live_id: str | None, config: GatesConfig, stages: Stages
) -> tuple[list[Gate], dict[str, Any]]:
    """The verdicts, and what card and page show of how they came about.

    Raises:
        ReleaseRefused: a release cannot be opened, or does not work.
        BadInput: a snapshot is gone.
    """
    trained_id = trained_of(space, release_id)
    with stages("open") as stage:
        fresh, live = (load_release(space.releases, each) for each in (release_id, live_id or trained_id))
        dataset = versioning.open_snapshot(space.snapshots, snapshot_of(fresh))
        stage.note = f"{release_id}, a refresh of {trained_id}, against {live.release_id}"
    with stages("data checks") as stage:
        report = validation.check(dataset)
        stage.note = report.summary()
    with stages("skew") as stage:
        differing, audited = _skew(fresh, dataset, config)
        stage.note = f"{audited:,} values"
    with stages("agreement") as stage:
        agreed = verification.agreement(*(go_live(each, MemoryStore()) for each in (fresh, live)))
        stage.note = f"nearest {agreed.nearest:.2f}, pages {agreed.pages:.2f}"
    with stages("pages") as stage:
        viewers = rng.stream(config.seed, "gate requests").choice(fresh.viewers.viewer_ids, config.requests)
        answers = gates_measure.pages({CANDIDATE: fresh, gates_measure.LIVE: live}, viewers)
        stage.note = ", ".join(f"{name} {np.median(found.ms_B):.1f} ms" for name, found in answers.items())
    with stages("memory"):
        resident = footprint.resident_bytes(space.releases, release_id)
    times, sizes = {name: found.ms_B for name, found in answers.items()}, [gates_measure.num_bytes(r) for r in (fresh, live)]
    gates = [
        _models(fresh, load_release(space.releases, trained_id), trained_of(space, live.release_id) == trained_id),
        judge.data(report),
        _skewed(differing, audited),
        _recall(fresh, live, config),
        *_agreement(agreed, config),
        *judge.latency(times[CANDIDATE], times[gates_measure.LIVE], config),
        judge.size(sizes[0], sizes[1], config),
        judge.memory(resident, config),
    ]
    return gates, _kept(space, trained_id, report, times) | {"num_bytes": sizes[0], "resident_bytes": resident}


def _models(fresh: LoadedRelease, trained: LoadedRelease, of_live: bool) -> Gate:
    """Whether the judgement of the trained release is one of this release, too."""
    same = [(fresh.path / name).read_bytes() == (trained.path / name).read_bytes() for name in _MODELS]
    told = f"Towers and ranker are those of {trained.release_id}, which was judged when it was trained"
    if not all(same):
        told = f"Its networks are not those of {trained.release_id}, though it says so; refresh again"
    elif not of_live:
        told = f"Its models are those of {trained.release_id}, and other models are live: promote that one first, then refresh"
    passed = all(same) and of_live
    return Gate("models", float(np.mean(same)), 1.0, Verdict.PASS if passed else Verdict.FAIL, f"{told}.")


def _skew(fresh: LoadedRelease, dataset: Dataset, config: GatesConfig) -> tuple[int, int]:
    """Features of viewers that differ between the store at its start and the snapshot at its end, of how many."""
    ids = fresh.viewers.viewer_ids
    chosen = np.sort(rng.stream(config.seed, "gate audit").choice(ids, min(_AUDITED, len(ids)), replace=False))
    at = np.full(len(chosen), fresh.end_at + 1, dtype=np.int64)
    served = go_live(fresh, MemoryStore()).features.viewer_part(chosen, at)
    rows = np.zeros(len(chosen), dtype=np.int32)
    built = offline.build(
        dataset.events, fresh.catalogue, fresh.viewers,
        viewer_ids=chosen, at=at, video_rows=rows, definitions=fresh.definitions,
    )  # fmt: skip
    logged = built.viewer_part(np.arange(len(chosen)))
    pairs: Sequence[tuple[Any, Any]] = [
        (served.dense_BF, logged.dense_BF),
        (served.codes_BC, logged.codes_BC),
        (served.history_BL, logged.history_BL),
        (served.history_age_BL, logged.history_age_BL),
    ]
    return sum(int((ours != theirs).sum()) for ours, theirs in pairs), sum(ours.size for ours, _ in pairs)


def _skewed(differing: int, audited: int) -> Gate:
    told = f"{differing:,} of {audited:,} features of viewers differ from what the snapshot says at its end."
    return Gate("skew", float(differing), 0.0, Verdict.FAIL if differing else Verdict.PASS, told)


def _recall(fresh: LoadedRelease, live: LoadedRelease, config: GatesConfig) -> Gate:
    ours, theirs = (verification.recall(each.index, each.video_VD) for each in (fresh, live))
    least = theirs - config.recall_loss
    told = f"The index finds {ours:.3f} of the exact nearest, the live one {theirs:.3f}."
    return Gate("recall", ours, least, Verdict.PASS if ours >= least else Verdict.FAIL, told)


def _agreement(found: verification.Agreement, config: GatesConfig) -> list[Gate]:
    least = config.refresh_agreement
    asked = (("nearest", "What its towers find", found.nearest), ("pages", "Its pages", found.pages))
    return [
        Gate(
            f"agreement:{name}", value, least, Verdict.PASS if value >= least else Verdict.FAIL,
            f"{what} agree by {value:.2f} with the live release, 0 being chance.",
        )
        for name, what, value in asked
    ]  # fmt: skip


def _kept(space: Space, trained_id: str, report: ValidationReport, times: dict[str, Any]) -> dict[str, Any]:
    """See `pipelines.gates.result`, sizes apart; the leaderboard is that of the trained release."""
    trained = load_release(space.releases, trained_id)
    assert trained.manifest is not None, "it comes from the folder of releases"
    rounded = {name: sorted(round(float(value), 3) for value in values) for name, values in times.items()}
    return {
        "leaderboard": dict(trained.manifest.metrics),
        "data": report.to_text(),
        "groups": [],
        "page_ms": rounded[CANDIDATE],
        "live_page_ms": rounded[gates_measure.LIVE],
        "slices": None,
        "shadow": None,
    }
