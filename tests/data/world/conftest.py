import pytest

from data.dataset import Dataset
from data.world.config import tiny
from data.world.simulate import history
from data.world.world import World


@pytest.fixture(scope="session")
def lived() -> tuple[World, Dataset]:
    """The tiny world after its history. Do not respond in it: it is shared."""
    world = World(tiny())
    return world, history(world)
