"""Towers whose video tables are divided, end to end on a tiny world."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from core.errors import BadInput, ConfigError
from pipelines import presets, spaces, tables
from pipelines.progress import Stages
from retrieval.encoder import VECTORS

FEW = "towers.epochs=1"


@pytest.mark.parametrize("scheme", ["whole", "quotient_remainder", "admitted"])
def test_divided_towers_are_the_whole_ones(trained, tmp_path, scheme):
    config = [FEW, f"towers.ids.scheme={scheme}", f"towers.ids.share={1.0 if scheme == 'whole' else 0.25}"]
    var_dir, space = trained[0], trained[1].space
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "cli.main"]
    said, towers = tmp_path / "said.json", tmp_path / "towers"
    asked = ["tables", "train", "--how", "row_wise", "--space", space.name, "--json", said, "--out", towers]
    asked += [word for value in config for word in ("--set", value)]
    environment = os.environ | {"UPNEXT_VAR": str(var_dir), "OMP_NUM_THREADS": "1"}
    subprocess.run([*torchrun, *map(str, asked)], env=environment, check=True, capture_output=True, timeout=240)
    found = json.loads(said.read_text())
    whole = tables.train(space, presets.configure("tiny", config), "whole", 1, tmp_path / "whole", Stages())
    np.testing.assert_allclose(found["losses"], whole.losses, rtol=1e-5)
    np.testing.assert_allclose(np.load(towers / VECTORS), np.load(tmp_path / "whole" / VECTORS), atol=1e-4)
    assert (found["processes"], 2 * found["id_bytes_here"]) == (2, whole.id_bytes_here)


def test_without_a_snapshot_or_steps_there_is_nothing_to_train(tmp_path):
    space = spaces.open_space(tmp_path, "empty")
    with pytest.raises(BadInput, match="upnext train"):
        tables.train(space, presets.tiny(), "whole", 1, None, Stages())
    solved = replace(presets.tiny(), towers=replace(presets.tiny().towers, viewer="solved", similarity="dot", hidden=()))
    with pytest.raises(ConfigError, match="no steps"):
        tables.train(space, solved, "whole", 1, None, Stages())
