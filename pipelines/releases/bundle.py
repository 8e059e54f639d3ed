"""What goes into a release: every file that serving reads, written into one directory.

viewer_tower.onnx, video_vectors.npy …    the towers       retrieval.export
ranker.onnx …                             the ranker       ranking.export
everything else                           from the log     pipelines.releases.files
"""

import shutil
from pathlib import Path

from pipelines.fit import Material
from pipelines.presets import RunConfig
from pipelines.releases import files as release_files
from pipelines.releases.files import Staged
from ranking import export as ranker_files
from ranking.model import Ranker
from retrieval import export as tower_files
from retrieval.towers import TwoTower


def write(path: Path, material: Material, towers: TwoTower, ranker: Ranker, config: RunConfig, log_offset: int) -> Staged:
    """Write everything into a fresh directory `path`."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    catalogue, dataset = material.catalogue, material.dataset
    release_files.write_features(path, dataset, catalogue, material.viewers)
    tower_files.write(towers, catalogue, path, at=dataset.end_at)
    ranker_files.export(ranker, path, catalogue)
    release_files.write_index(path, path, dataset, catalogue, material.split, config.index)
    release_files.write_lineage(path, dataset, material.split, config, log_offset)
    return Staged.of(path)
