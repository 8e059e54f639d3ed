"""What a release costs in memory: resident bytes of a process of its own that has put it into service.

    python -m pipelines.gates.footprint <folder of releases> <release>

Going into service makes pages (`serving.live`), so everything that a page touches is there. The libraries count, as every
worker of the service has them; requests under way and viewers who come later do not. Linux only: elsewhere nobody says.
"""

import subprocess
import sys
from pathlib import Path

from core.errors import ReleaseRefused

_STATUS = Path("/proc/self/status")
_PATIENCE_S = 300.0


def resident_bytes(root: Path, release_id: str) -> int | None:
    """Of a release below `root`; None where the system does not say.

    Raises:
        ReleaseRefused: it cannot be put into service.
    """
    if not _STATUS.is_file():
        return None
    command = [sys.executable, "-m", __name__, str(root.resolve()), release_id]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ReleaseRefused(f"release {release_id} does not go into service in a process of its own: {reason}")
    return int(done.stdout)


def _serve(root: Path, release_id: str) -> int:
    """Put the release into service in this process; resident bytes then."""
    from features.memory_store import MemoryStore
    from serving.live import go_live
    from serving.releases import load_release

    live = go_live(load_release(root, release_id), MemoryStore())
    kibibytes = next(line.split()[1] for line in _STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    del live
    return int(kibibytes) * 1_024


if __name__ == "__main__":
    sys.stdout.write(str(_serve(Path(sys.argv[1]), sys.argv[2])))
