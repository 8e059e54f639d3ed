"""What a server of one dataset's folder must run: the experiments that people wrote, and the canary that is under way.

    experiments.toml    see `config`
    canary.json         a `canary.CanaryState`, replaced as a whole after every look (by `upnext release canary`)

A server that holds `read(folder).releases` besides the live one, and reads again when either file changes, does all it must.
"""

import json
from dataclasses import replace
from pathlib import Path

from core import config as configs
from core.errors import BadInput
from experiments import config
from experiments.canary import CanaryState
from experiments.config import ExperimentsConfig

EXPERIMENTS, CANARY = "experiments.toml", "canary.json"
_EXAMPLE = Path(__file__).with_name("example.toml")


def read(folder: Path) -> ExperimentsConfig | None:
    """All experiments of the folder; None when nothing runs.

    Raises:
        BadInput: a file cannot be read, or its values cannot work.
    """
    file, canary = folder / EXPERIMENTS, read_canary(folder)
    found = config.load(file) if file.is_file() else None
    if canary is None or canary.experiment is None:
        return found
    found = found or ExperimentsConfig()
    return replace(found, experiments=(*found.experiments, canary.experiment))


def write_example(folder: Path) -> Path:
    """Experiments to begin with: two ways to explore, two rankings on one page, a holdout; says where they are.

    Raises:
        BadInput: something is tried already.
    """
    file = folder / EXPERIMENTS
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(_EXAMPLE.read_text(encoding="utf-8"))
    except FileExistsError as error:
        raise BadInput(f"{file} is there already, and what it tries goes on") from error
    return file


def read_canary(folder: Path) -> CanaryState | None:
    """The last canary of the folder, under way or ended; None where there never was one. Raises BadInput."""
    file = folder / CANARY
    try:
        return configs.from_dict(CanaryState, json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"the state of the canary in {file} cannot be read: {error}") from error
