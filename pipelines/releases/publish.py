"""From the files of a release to a published one, and from a published one to what serves."""

from collections.abc import Mapping
from typing import Any

from core import config as configs
from core import release
from core.release import Release
from pipelines import provenance, spaces
from pipelines.presets import RunConfig
from pipelines.releases import history
from pipelines.releases.files import Staged
from pipelines.releases.history import Signed
from pipelines.spaces import Space


def register(staged: Staged, space: Space, snapshot_id: str, config: RunConfig, metrics: Mapping[str, Any]) -> Release:
    """Make the files a release of the space. The same files again are the same release; nothing serves it yet."""
    return release.publish(
        space.releases,
        staged.copy_to,
        snapshot=snapshot_id,
        feature_schema=staged.feature_schema,
        config_fingerprint=configs.fingerprint(config),
        git_commit=provenance.git_commit(),
        created_at=provenance.now(),
        metrics=metrics,
        hardware=provenance.hardware(),
    )


def deploy(space: Space, release_id: str, who: str) -> None:
    """Let the release serve, asking nothing, and the space be the one that `upnext serve` opens by default."""
    history.move(space, "live", release_id, Signed(who, provenance.now()), "trained")
    spaces.make_current(space.path.parent, space)
