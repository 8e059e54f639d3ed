import json

import numpy as np
import onnxruntime
import torch

from retrieval.encoder import FACTS, TABLES, VECTORS, VIDEO_TOWER, VIEWER_TOWER
from retrieval.export import video_arrays


def test_the_release_has_its_five_files(exported):
    assert {path.name for path in exported.iterdir()} == {VIEWER_TOWER, VIDEO_TOWER, TABLES, VECTORS, FACTS}
    facts = json.loads((exported / FACTS).read_text())
    assert facts["viewer_codes"] == ["language", "hour"]


def test_layers_equal_torch_for_any_batch(exported, rich_tower):
    random = np.random.default_rng(0)
    for name, tower in ((VIEWER_TOWER, rich_tower.viewer), (VIDEO_TOWER, rich_tower.video)):
        session = onnxruntime.InferenceSession(str(exported / name), providers=["CPUExecutionProvider"])
        width = session.get_inputs()[0].shape[1]
        for num in (1, 7):
            inputs = random.normal(size=(num, width)).astype(np.float32) * 3
            with torch.no_grad():
                expected = tower(torch.from_numpy(inputs)).numpy()
            np.testing.assert_allclose(session.run(None, {"inputs": inputs})[0], expected, atol=1e-5)


def test_video_vectors_are_the_towers(exported, planted, rich_tower):
    _, expected = video_arrays(rich_tower, planted.catalogue, at=41 * 86_400_000)
    np.testing.assert_allclose(np.load(exported / VECTORS), expected, atol=1e-6)
