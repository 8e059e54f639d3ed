"""Every run in one database, `var/mlflow.db`: what was asked for, what came out, where and from what.

A thin layer over MLflow's client on SQLite (`mlflow ui --backend-store-uri sqlite:///var/mlflow.db` shows the same runs). Runs
are for people to compare; nothing reads them back to decide anything, so a failure to record never fails a run.
"""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import settings
from core.config import to_dict
from core.errors import BadInput
from core.files import STAGED
from pipelines import provenance
from pipelines.evaluation.leaderboard import METRICS, Leaderboard
from pipelines.progress import Stages

DATABASE = "mlflow.db"
_EXPERIMENT = "upnext"
_AT_ONCE = 100
"""Parameters that MLflow takes in one call."""
_LONGEST = 250
"""Characters of a parameter's value that are kept."""


@dataclass(frozen=True)
class Run:
    """One recorded run."""

    run_id: str
    began_at: int
    """Milliseconds."""
    params: Mapping[str, str]
    """The config, flattened: section.key → value."""
    metrics: Mapping[str, float]
    """model.metric → value, with `_` for `@`; `seconds.<stage>`."""
    tags: Mapping[str, str]
    """What kind of run, and provenance."""


def record(var_dir: Path, kind: str, config: Any, metrics: Mapping[str, float], stages: Stages, **tags: str | None) -> str:
    """Record a run: its id in words, or, whatever goes wrong, a warning that says what did."""
    try:
        client, experiment = open_database(var_dir)
        run = client.create_run(experiment, tags=_provenance() | {"kind": kind} | {k: v for k, v in tags.items() if v})
        measured = {**metrics, **{f"seconds.{name}": seconds for name, seconds in stages.seconds}}
        _write(client, run.info.run_id, flatten(to_dict(config)), measured)
        client.set_terminated(run.info.run_id)
    except Exception as error:  # whatever a database, a disk or a library does: the run itself is worth more than its record
        return f"warning: not recorded, {type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason'}"
    return f"run {run.info.run_id[:8]}"


def measured(leaderboard: Leaderboard) -> dict[str, float]:
    """Means of the leaderboard as metrics, undefined ones left out."""
    found = {f"{e.model}.{m.replace('@', '_')}": e.mean(m) for e in leaderboard.entries for m in METRICS}
    return {name: value for name, value in found.items() if value is not None}


def digest(path: Path) -> str:
    """Names a file by its content: what a snapshot id is to a dataset."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def runs(var_dir: Path) -> list[Run]:
    """Every recorded run, newest first; none where nothing was recorded yet."""
    if not (var_dir / DATABASE).is_file():
        return []
    client, experiment = open_database(var_dir)
    found, token = [], None
    while True:
        page = client.search_runs([experiment], page_token=token)
        found += [
            Run(run.info.run_id, run.info.start_time, run.data.params, run.data.metrics, _own(run.data.tags)) for run in page
        ]
        token = page.token
        if not token:
            return found


def find(var_dir: Path, prefix: str) -> Run:
    """The run whose id begins so.

    Raises:
        BadInput: none does, or several do.
    """
    found = [run for run in runs(var_dir) if run.run_id.startswith(prefix)]
    if len(found) != 1:
        known = "none is recorded yet" if not found else "several begin so: " + ", ".join(run.run_id[:12] for run in found)
        raise BadInput(f"no single run '{prefix}' in {var_dir / DATABASE} ({known}); `upnext runs list` shows all")
    return found[0]


def differences(found: list[Run]) -> dict[str, list[str | None]]:
    """Parameters and tags that are not the same in all runs: name → value in each, None where absent."""
    tables = [{**run.tags, **run.params} for run in found]
    names = sorted(set().union(*tables))
    values = {name: [table.get(name) for table in tables] for name in names}
    return {name: row for name, row in values.items() if len(set(row)) > 1}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values as section.key → text."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value if isinstance(value, str) else json.dumps(value)
    return found


def open_database(var_dir: Path) -> tuple[Any, str]:
    """MLflow's client, for runs and registered models, and the experiment that holds all runs."""
    settings.refuse_telemetry()
    import sqlalchemy
    from mlflow.tracking import MlflowClient  # seconds to import

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    var_dir.mkdir(parents=True, exist_ok=True)
    if not (var_dir / DATABASE).exists():
        _create(var_dir / DATABASE)
    uri = f"sqlite:///{(var_dir / DATABASE).resolve()}"
    with sqlalchemy.create_engine(uri).connect() as connection:  # MLflow would try a broken database for 100 seconds
        connection.exec_driver_sql("PRAGMA schema_version")
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(_EXPERIMENT)
    if found is not None:
        return client, found.experiment_id
    return client, client.create_experiment(_EXPERIMENT, artifact_location=(var_dir / "mlflow").resolve().as_uri())


def _create(path: Path) -> None:
    """MLflow makes its tables in many steps and never opens a file again in which they were cut off: made aside, then named."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with tempfile.TemporaryDirectory(prefix=STAGED, dir=path.parent) as folder:
        staged = Path(folder).resolve() / DATABASE
        store = SqlAlchemyStore(f"sqlite:///{staged}", (path.parent / "mlflow").resolve().as_uri())
        store.engine.dispose()
        with suppress(FileExistsError):  # another process was faster
            os.link(staged, path)


def _write(client: Any, run_id: str, params: Mapping[str, str], metrics: Mapping[str, float]) -> None:
    from mlflow.entities import Metric, Param

    now = provenance.now()
    client.log_batch(run_id, metrics=[Metric(name, value, now, 0) for name, value in metrics.items()])
    found = [Param(name, value[:_LONGEST]) for name, value in params.items()]
    for begin in range(0, len(found), _AT_ONCE):
        client.log_batch(run_id, params=found[begin : begin + _AT_ONCE])


def _provenance() -> dict[str, str]:
    return {"git_commit": provenance.git_commit(), **flatten(provenance.hardware(), "hardware.")}


def _own(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if not name.startswith("mlflow.")}
