"""The process's environment, read here and nowhere else."""

import ctypes
import os
import sys
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
"""Of glibc's malloc.h."""
_LARGE = 1 << 20
"""Bytes from which an array has memory of its own, which goes back when it does."""
_SPARE = 1 << 24
"""Bytes of the heap that stay: the small arrays of a page would otherwise be new memory for every page."""


@dataclass(frozen=True)
class Settings:
    """What may differ between machines. Everything else is config."""

    var_dir: Path
    """Artefacts: worlds, snapshots, releases, logs (UPNEXT_VAR, default ./var)."""
    redis_url: str | None
    """An existing Redis or Valkey (REDIS_URL); none means start one."""
    admin_token: str | None
    """Token for admin routes (UPNEXT_ADMIN_TOKEN); none means admin routes are refused."""
    data_dir: Path | None
    """Real data for measuring (UPNEXT_DATA)."""
    log_url: str | None = None
    """A Redis or Valkey, or a cluster of them, that keeps the event log (UPNEXT_LOG_URL); none means a file."""


def load() -> Settings:
    """Settings from the environment."""
    data = os.environ.get("UPNEXT_DATA")
    return Settings(
        var_dir=Path(os.environ.get("UPNEXT_VAR", "var")),
        redis_url=os.environ.get("REDIS_URL") or None,
        admin_token=os.environ.get("UPNEXT_ADMIN_TOKEN") or None,
        data_dir=Path(data) if data else None,
        log_url=os.environ.get("UPNEXT_LOG_URL") or None,
    )


def refuse_telemetry() -> None:
    """Tell libraries that report home that they may not; call it before they are imported."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def one_thread_per_library() -> None:
    """Keep numpy and FAISS from starting threads of their own; call it before either is imported.

    A page's matrices are too small for two threads, and theirs spin for milliseconds after each product, waiting for the
    next: on two cores that was most of a core, taken from requests.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def small_allocators() -> None:
    """Keep allocators from holding on to what loading needed for a moment; call it before numpy, pyarrow or polars is imported.

    A service loads once and then needs little: freed pages go back at once, and threads share one arena. Takes 70 MB off each
    process of a site of 50,000 videos, and 200 MB after 24 uploads, each of which replaces every array with a row per video.
    """
    for name, value in (
        ("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0"),
        ("ARROW_DEFAULT_MEMORY_POOL", "system"),
    ):
        os.environ.setdefault(name, value)
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)  # by itself it would rise to the size of what is freed
        libc.mallopt(_M_TRIM_THRESHOLD, _SPARE)
        libc.mallopt(_M_TOP_PAD, _SPARE)


def without_pandas() -> None:
    """Let libraries believe that pandas is not installed; call it before they are imported.

    pyarrow imports it, if it can, to find out that a list is no data frame: a quarter of a second and 30 MB for nothing.
    """
    sys.meta_path.insert(0, _NoPandas())


class _NoPandas(MetaPathFinder):
    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is not wanted in this process", name=fullname)


def metaflow_environment(folder: Path, code: Path) -> dict[str, str]:
    """This process's environment for a child that is Metaflow: its files and its configuration under `folder`, no reports home.

    `code` is the folder of the packages. The folder of the script is kept off the path: its modules have everyday names.
    """
    paths = [str(code), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "METAFLOW_HOME": str(folder),  # where it looks for a configuration
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder),
        "METAFLOW_DEFAULT_DATASTORE": "local",
        "METAFLOW_DEFAULT_METADATA": "local",
        "METAFLOW_DEFAULT_EVENT_LOGGER": "nullSidecarLogger",
        "METAFLOW_DEFAULT_MONITOR": "nullSidecarMonitor",
        "METAFLOW_USER": "upnext",
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": os.pathsep.join(paths),
    }
