import pytest

from core.blocks import blocks


@pytest.mark.parametrize(
    ("num", "size", "wanted"), [(0, 4, []), (3, 4, [(0, 3)]), (4, 4, [(0, 4)]), (9, 4, [(0, 4), (4, 8), (8, 9)])]
)
def test_blocks_cover_every_row_once(num, size, wanted):
    assert [(some.start, some.stop) for some in blocks(num, size)] == wanted
