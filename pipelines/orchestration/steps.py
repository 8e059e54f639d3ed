"""What each step of `flow` does: ids of what it starts from in, the id of what it made out; the product itself is on the shelf.

    ingest ─► validate ─► rows, per span of days ─► features
        ─► ┌ train retrieval ─► index ─► train ranker ─► evaluate ┐ ─► compare seeds
           └ … once per seed …                                    ┘
        ─► register ─► gates ─► deploy ─► monitor baseline ─► track

These are the functions of `upnext train` (`run`), each between an open and a write: the same snapshot, config and code give the
same release, bit by bit. Libraries are imported by the step that needs them; torch alone costs more than most steps.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import config as configs
from core.clock import SystemClock, stamp
from pipelines.orchestration.job import Job
from pipelines.orchestration.products import Shelf
from pipelines.progress import Stages
from pipelines.spaces import Space

if TYPE_CHECKING:
    from data.catalogue import Catalogue, ViewerTable
    from data.dataset import Dataset
    from data.splits import TimeSplit
    from pipelines.fit import Material

LEADERBOARD = "leaderboard.json"
SEEDS = "seeds.json"
REPORT = "report.html"

_LOG = ("core", "data", "pipelines")
_TRAINING = (*_LOG, "features", "embeddings", "retrieval", "ranking")
_EVERYTHING = (*_TRAINING, "serving")


def ingest(job: Job) -> tuple[str, int]:
    """The source's log and the live events as a snapshot: its id, and how far into the live log it reaches."""
    from data import versioning
    from pipelines import ingest, provenance

    asked = job.request
    path, mapping = (Path(given) if given else None for given in (asked.path, asked.mapping))
    loaded = ingest.load(asked.source, path, mapping, asked.config, job.space.path.parent, job.advance)
    found = versioning.snapshot(loaded.dataset, job.space.snapshots, provenance.git_commit(), loaded.origin)
    job.note = "; ".join([found.snapshot_id, f"{found.num_events:,} events", *loaded.warnings])
    return found.snapshot_id, loaded.log_offset


def validate(job: Job, snapshot_id: str) -> list[list[int]]:
    """Refuse a snapshot that nothing should be learned from; the spans of days whose rows are made in tasks of their own."""
    from data import profile, validation, versioning
    from pipelines.orchestration import rows as training_rows

    dataset, accepted = versioning.open_snapshot(job.space.snapshots, snapshot_id), profile.accepted(job.space.snapshots)
    found = validation.check(dataset, accepted=accepted)
    found.keep(job.space.path, snapshot_id, SystemClock().now())
    job.note = found.require().summary()
    until = _split(job, dataset).test_from
    return [list(span) for span in training_rows.spans(dataset.events, until, job.request.shards)]


def rows(job: Job, snapshot_id: str, span: Sequence[int]) -> str:
    """The features of the moment before each click of some days."""

    def write(folder: Path) -> None:
        from data import versioning
        from data.catalogue import Catalogue, ViewerTable
        from pipelines.orchestration import rows as training_rows

        viewers, videos = versioning.catalogues(job.space.snapshots, snapshot_id)
        events = versioning.scan(job.space.snapshots, snapshot_id, before=span[1])
        found = training_rows.build(events, Catalogue.of(videos), ViewerTable.of(viewers), (span[0], span[1]))
        training_rows.write(found, folder)
        job.note = f"{len(found):,} clicks"

    return job.make("rows", (*_LOG, "features"), write, snapshot=snapshot_id, span=list(span)).key


def features(job: Job, snapshot_id: str) -> str:
    """The features of every viewer and video at the log's end, and the schema of them all."""

    def write(folder: Path) -> None:
        from pipelines.releases import files as release_files

        log = _open(job, snapshot_id)
        release_files.write_features(folder, log.dataset, log.catalogue, log.viewers)

    return job.make("features", (*_LOG, "features"), write, snapshot=snapshot_id, **_labels(job)).key


def train_retrieval(job: Job, snapshot_id: str, rows: Sequence[str]) -> str:
    """Both towers twice: as the ranker may see them (`first`), and trained on to the end (`last`)."""
    config = job.config

    def write(folder: Path) -> None:
        from pipelines import fit
        from retrieval import export

        log = _open(job, snapshot_id)
        material, split = _material(job, log, rows), log.split
        first = fit.towers(material, config, until=split.ranker_from, advance=_part(job.advance, 0.0, 0.7))
        last = fit.towers(material, config, until=split.test_from, warm_start=first, advance=_part(job.advance, 0.7, 1.0))
        for name, towers, at in (("first", first, split.ranker_from), ("last", last, log.dataset.end_at)):
            (folder / name).mkdir()
            export.write(towers, log.catalogue, folder / name, at=at)
        job.note = f"clicks before {stamp(split.test_from)}"

    inputs = _values(split=config.split, towers=config.towers, continue_epochs=config.continue_epochs)
    return job.make("towers", _TRAINING, write, snapshot=snapshot_id, **inputs).key


def index(job: Job, snapshot_id: str, towers: str) -> str:
    """What finds videos: nearest neighbours of the towers' vectors, videos watched together, titles."""
    vectors = job.shelf.find("towers", towers).files / "last"

    def write(folder: Path) -> None:
        from pipelines.releases import files as release_files

        log = _open(job, snapshot_id)
        built = release_files.write_index(folder, vectors, log.dataset, log.catalogue, log.split, job.config.index)
        job.note = f"{built.kind}, recall@{built.recall_at} {built.recall:.4f}"

    inputs = _values(split=job.config.split, index=job.config.index)
    return job.make("index", _EVERYTHING, write, snapshot=snapshot_id, towers=towers, **inputs).key


def train_ranker(job: Job, snapshot_id: str, rows: Sequence[str], towers: str) -> str:
    """The ranker, on rows that the first towers have not seen."""
    first = job.shelf.find("towers", towers).files / "first"

    def write(folder: Path) -> None:
        from pipelines import fit
        from ranking import export

        log = _open(job, snapshot_id)
        material = _material(job, log, rows)
        learned = fit.ranking_data_from(material, job.config, first)
        ranker = fit.ranker_on(learned, material, job.config, job.advance)
        export.export(ranker, folder, material.catalogue)
        job.note = ", ".join(ranker.heads)

    config = job.config
    inputs = _values(split=config.split, index=config.index, lists=config.lists, ranker=config.ranker, seed=config.seed)
    return job.make("ranker", _TRAINING, write, snapshot=snapshot_id, towers=towers, **(inputs | _labels(job))).key


def evaluate(
    job: Job, snapshot_id: str, log_offset: int, features: str, towers: str, index: str, ranker: str
) -> tuple[str, str]:
    """The files of the release together, and the leaderboard of the recommender that they make."""
    parts = {"features": features, "towers": towers, "index": index, "ranker": ranker}
    inputs = parts | {"snapshot": snapshot_id, "config": configs.fingerprint(job.config)}
    files = job.make(
        "release files",
        _EVERYTHING,
        lambda folder: _assemble(job, folder, snapshot_id, log_offset, parts),
        log_offset=log_offset,
        **inputs,
    )
    # Every seed is asked the same cases: those of the config as it came.
    asked = job.request.config
    board = job.make(
        "leaderboard",
        _EVERYTHING,
        lambda folder: _measure(job, folder, snapshot_id, files.files, parts),
        files=files.key,
        **_values(evaluation=asked.evaluation, split=asked.split, seed=asked.seed),
    )
    rows = _read(board.files / LEADERBOARD)["leaderboard"]
    job.note = ", ".join(f"{row['model']} {row['ndcg@10']:.4f}" for row in rows[-2:]) + " ndcg@10"
    return files.key, board.key


def _assemble(job: Job, folder: Path, snapshot_id: str, log_offset: int, parts: Mapping[str, str]) -> None:
    import shutil

    from pipelines.releases import files as release_files

    log = _open(job, snapshot_id)
    found = {name: job.shelf.find(name, key).files for name, key in parts.items()}
    for source in (found["features"], found["towers"] / "last", found["index"], found["ranker"]):
        shutil.copytree(source, folder, dirs_exist_ok=True)
    release_files.write_lineage(folder, log.dataset, log.split, job.config, log_offset)


def _measure(job: Job, folder: Path, snapshot_id: str, files: Path, parts: Mapping[str, str]) -> None:
    from core.files import write_json
    from pipelines.evaluation.compare import compare, trained_s

    log, asked = _open(job, snapshot_id), job.request.config
    took = trained_s(*(job.shelf.find(name, parts[name]).made["seconds"] for name in ("towers", "ranker")))
    board = compare(log.dataset, files, log.catalogue, log.viewers, log.split, asked, job.advance, took)
    write_json(folder / LEADERBOARD, board.to_json())


def compare_seeds(job: Job, boards: Sequence[str]) -> str:
    """One report over all seeds: every metric of every model as mean and interval, and a page with plots."""

    def write(folder: Path) -> None:
        from core.files import write_json
        from pipelines.orchestration import report as pipeline_report

        found = pipeline_report.over_seeds([_read(job.shelf.find("leaderboard", key).files / LEADERBOARD) for key in boards])
        write_json(folder / SEEDS, found)
        pipeline_report.write(found, seeds, folder / REPORT)

    seeds = job.request.seeds
    report = job.make("seeds", ("core", "pipelines"), write, boards=list(boards), seeds=list(seeds))
    job.note = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    return report.key


def seeds_page(folder: Path, key: str) -> str:
    """The page of `compare_seeds` in the run `folder`, below the folder of its space."""
    space = Space(folder.parents[1])
    return _below(space, Shelf(space.products).find("seeds", key).files / REPORT)


def page(folder: Path, name: str) -> str:
    """A step's page as HTML; one that says so where it made none."""
    from pipelines.orchestration import report as pipeline_report

    if not name:
        return pipeline_report.page("Nothing to show", "This step was not asked to measure anything.", "")
    return (folder.parents[1] / name).read_text(encoding="utf-8")


def _below(space: Space, path: Path) -> str:
    return path.relative_to(space.path).as_posix()


def register(job: Job, snapshot_id: str, files: str, board: str) -> str:
    """The files as an immutable release; nothing serves it yet."""
    from pipelines.releases import publish
    from pipelines.releases.files import Staged

    staged = Staged.of(job.shelf.find("release files", files).files)
    metrics = _read(job.shelf.find("leaderboard", board).files / LEADERBOARD)
    job.note = publish.register(staged, job.space, snapshot_id, job.config, metrics).release_id
    return job.note


def gates(job: Job, release_id: str) -> str:
    """May it serve? Stops the run where a gate stands in the way; `upnext release promote` can then waive it. Its page."""
    from core import release

    live = release.resolve(job.space.releases, "live")
    if live == release_id:
        job.note = "it serves already"
    elif not job.request.gated:
        job.note = "not asked"
    else:
        return _ask_gates(job, release_id, live)
    return ""


def _ask_gates(job: Job, release_id: str, live: str | None) -> str:
    from core.errors import ReleaseRefused
    from pipelines import provenance
    from pipelines.gates import result as gates_result
    from pipelines.gates.gates import GatesConfig
    from pipelines.releases import history
    from pipelines.releases.history import Signed

    result = gates_result.ask(job.space, release_id, live, GatesConfig(), Stages(), provenance.now())
    page = gates_result.page(job.space, release_id, live)
    if result.blocking:
        signed = Signed(f"pipeline run {job.folder.name}", provenance.now())
        history.move(job.space, "candidate", release_id, signed, "trained; its gates refused it as live")
        names = ", ".join(gate.name for gate in result.blocking)
        raise ReleaseRefused(f"release {release_id} may not serve: {names}; everything that was measured: {page}")
    job.note = f"{len(result.gates)} asked, {page.name}"
    return _below(job.space, page)


def deploy(job: Job, release_id: str) -> None:
    """The release becomes what the space serves, through the gates' own door where there are gates."""
    from pipelines.releases import publish

    who = f"pipeline run {job.folder.name}"
    if job.request.gated:
        from pipelines import promote, provenance
        from pipelines.releases.history import Signed

        promote.promote(job.space, release_id, "live", Signed(who, provenance.now()), promote.Reasons("trained"), Stages())
    publish.deploy(job.space, release_id, who)
    job.note = "live"


def monitor_baseline(job: Job, snapshot_id: str) -> None:
    """What new data will be compared with: the log that the live release learned from, whole, and its profile as accepted."""
    from data import profile, versioning

    dataset = versioning.open_snapshot(job.space.snapshots, snapshot_id, verify=True)
    profile.accept(job.space.snapshots, profile.build(dataset, snapshot_id))
    job.note = f"snapshot {snapshot_id} is whole, and accepted"


def track(job: Job, snapshot_id: str, release_id: str) -> str:
    """The run among all recorded runs (`upnext runs`), the release among the registered models. The page of its lineage."""
    from core import release
    from data.lineage import FOLDER
    from pipelines import tracking
    from pipelines.orchestration import lineage
    from pipelines.releases import registry

    rows = release.load(job.space.releases, release_id).manifest.metrics["leaderboard"]
    named = {f"{row['model']}.{metric.replace('@', '_')}": row[metric] for row in rows for metric in row["interval"]}
    metrics = {name: value for name, value in named.items() if value is not None}
    names = {"data": job.space.name, "snapshot": snapshot_id, "release": release_id}
    recorded = tracking.record(job.space.path.parent, "pipeline", job.config, metrics, job.stages, **names)
    found, page = lineage.of(job.space, release_id), job.space.path / FOLDER / f"{release_id}.html"
    lineage.keep(job.space, found)
    lineage.write(found, page)
    job.note = f"{recorded}; {registry.sync(job.space)}"
    return _below(job.space, page)


@dataclass(frozen=True)
class _Log:
    """A snapshot, arranged as every step wants it."""

    dataset: "Dataset"
    catalogue: "Catalogue"
    early: "Catalogue"
    """See `fit.Material`."""
    viewers: "ViewerTable"
    split: "TimeSplit"


def _open(job: Job, snapshot_id: str) -> _Log:
    from data import versioning
    from data.catalogue import ViewerTable
    from pipelines import labelling

    dataset = versioning.open_snapshot(job.space.snapshots, snapshot_id)
    split = _split(job, dataset)
    released, early = labelling.catalogues(dataset, split, job.space.path, wanted=job.config.labels)
    return _Log(dataset, released, early, ViewerTable.of(dataset.viewers), split)


def _split(job: Job, dataset: "Dataset") -> "TimeSplit":
    from data.splits import global_time_split

    return global_time_split(dataset.events, job.config.split.test_fraction, job.config.split.ranker_fraction)


def _material(job: Job, log: _Log, rows: Sequence[str]) -> "Material":
    """What both stages are trained from, with the rows that other tasks have made."""
    from pipelines import fit
    from pipelines.orchestration import rows as training_rows

    parts = [training_rows.read(job.shelf.find("rows", key).files) for key in rows]
    clicks = training_rows.clicks(log.dataset.events, log.early, log.viewers, log.split.test_from, parts)
    return fit.Material(log.dataset, log.catalogue, log.early, log.viewers, log.split, clicks)


def _labels(job: Job) -> dict[str, Any]:
    """What labels are made from besides the snapshot, where they are wanted."""
    from pipelines import labelling

    return _values(split=job.config.split, answers=labelling.reach(job.space.path)) if job.config.labels else {}


def _values(**sections: Any) -> dict[str, Any]:
    """Config sections and single values as plain ones."""
    return {name: configs.to_dict(value) if is_dataclass(value) else value for name, value in sections.items()}


def _part(advance: Callable[[float, str], None], begin: float, end: float) -> Callable[[float, str], None]:
    """The progress of one part as progress of the whole."""
    return lambda share, note: advance(begin + share * (end - begin), note)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())
