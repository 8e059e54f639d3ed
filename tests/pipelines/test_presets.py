from dataclasses import replace

import pytest

from core import config
from core.errors import ReleaseRefused
from pipelines import presets


def test_a_release_says_how_it_was_trained_whatever_was_removed_since():
    run = replace(presets.tiny(), seed=7)
    written = config.to_dict(run)
    written["towers"]["bag"] = {"dropout": 0.5}
    written["files"]["unordered"]["viewer"] = "bag"
    assert presets.recorded(written) == replace(run, files=presets.FilesConfig())


def test_models_that_are_no_longer_made_are_refused():
    written = config.to_dict(presets.tiny())
    written["towers"]["viewer"] = "bag"
    with pytest.raises(ReleaseRefused, match="train again"):
        presets.recorded(written)
