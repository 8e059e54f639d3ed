"""Logs by the name of their source: what `--source` and `--path` on the command line mean."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from core.errors import BadInput
from data.sources import convert, kuairand, movielens, recbole, tabular
from data.sources import mapping as mappings
from data.sources.tabular import LoadResult

_LOADERS: dict[str, Callable[[Path, tabular.Limits], LoadResult]] = {
    "movielens": movielens.load,
    "recbole": recbole.load,
    "kuairand": kuairand.load,
}
SOURCES = (*_LOADERS, "csv")


def check(source: str, path: Path) -> None:
    """Raises BadInput for a source or a path that does not exist, before anything is made for it."""
    if source not in SOURCES:
        raise BadInput(f"no source '{source}'; known: world, {', '.join(SOURCES)}")
    if not path.exists():
        raise BadInput(f"{path} does not exist")


def load(
    source: str,
    path: Path,
    *,
    mapping: Path | None = None,
    max_broken: float = tabular.MAX_BROKEN,
    quarantine_dir: Path | None = None,
    latest_at: int = convert.YEAR_2100_AT,
) -> LoadResult:
    """Load the log at `path`.

    Args:
        source: movielens, recbole, kuairand, or csv (any CSV, TSV or Parquet files with a mapping).
        path: the folder of the log, or one file in it.
        mapping: for csv; default `mapping.toml` beside the log.
        max_broken: highest share of broken rows per file.
        quarantine_dir: where broken rows are written down; None keeps them in the result only.
        latest_at: events from this instant on are broken, e.g. tomorrow.

    Raises:
        BadInput: no such source or file, or nothing usable in it.
        SchemaMismatch: a column is not there.
        TooManyBrokenRows: more than `max_broken`.
    """
    check(source, path)
    limits = tabular.Limits(max_broken, quarantine_dir, latest_at)
    if source == "csv":
        return _load_csv(path, mapping, limits)
    if source == "movielens" and recbole.find(path) is not None:
        source = "recbole"  # MovieLens is also passed around in RecBole's form
    return _LOADERS[source](path, limits)


def _load_csv(path: Path, mapping_path: Path | None, limits: tabular.Limits) -> LoadResult:
    root = path if path.is_dir() else path.parent
    if mapping_path is None:
        mapping_path = path if path.suffix == ".toml" else root / mappings.FILE_NAME
    found = tabular.load(mappings.load(mapping_path), root, limits)
    return replace(found, paths=(*found.paths, mapping_path))
