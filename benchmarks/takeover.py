"""What does a release that takes over cost the process that serves? Processor seconds, which a busy machine does not change.

    python -m benchmarks.takeover [--space SPACE] [--videos N] [--times 5]

The live release takes over from itself, a few times each way: with every check and the comparison in the process that serves;
as it is done, where that process only opens what a rehearsal has passed (`app.rehearsal`); and the rehearsal, with its memory.
Medians. `benchmarks.swap` measures what viewers notice, and needs a machine that does nothing else.
"""

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results_file, swap
from core import release, settings


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--space", default=None, help="dataset whose live release is meant; the last trained one by default")
    parser.add_argument("--videos", type=int, default=None, help="make the release this large first")
    parser.add_argument("--times", type=int, default=5, help="each way")
    arguments = parser.parse_args()
    settings.one_thread_per_library()
    space = swap.served(arguments.space, arguments.videos)
    result = measure(space.releases, arguments.times)
    print(json.dumps(result, indent=1))
    results_file.keep(f"takeover-{result['videos']}", result, arguments)


def measure(root: Path, times: int) -> dict[str, Any]:
    """Of the live release below `root`."""
    from app import rehearsal
    from features.layered_store import LayeredStore
    from features.memory_store import MemoryStore
    from serving import verification
    from serving.live import LiveRelease, go_live
    from serving.releases import load_release

    release_id = release.resolve(root, "live") or ""

    def open_it(trusted: bool) -> LiveRelease:
        loaded = load_release(root, release_id, verify=not trusted, trusted=trusted)
        return go_live(loaded, LayeredStore(loaded.viewer_states(), MemoryStore()), fill_store=False, of_now=True)

    live = open_it(trusted=True)
    before = [_own_s(lambda: verification.require_agreement(open_it(trusted=False), live)) for _ in range(times)]
    after = [_own_s(lambda: open_it(trusted=True)) for _ in range(times)]
    began = _children()
    rehearsal.rehearse(root, release_id, release_id)
    ended = _children()
    return {
        "videos": len(live.loaded.catalogue),
        "all_in_the_service_s": round(float(np.median(before)), 3),
        "left_in_the_service_s": round(float(np.median(after)), 3),
        "rehearsal_s": round(ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime, 3),
        "rehearsal_mib": ended.ru_maxrss // 1_024,
        "release_mib": round(sum(file.stat().st_size for file in (root / release_id).rglob("*") if file.is_file()) / 2**20),
    }


def _own_s(work: Callable[[], object]) -> float:
    """Of this process with all its threads."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _children() -> resource.struct_rusage:
    return resource.getrusage(resource.RUSAGE_CHILDREN)


if __name__ == "__main__":
    main()
