"""The canary of a dataset: its state in one file, its data from the live log, its pointers moved and written down.

    start   the gates, as for any promotion; then the first share of viewers
    step    one look: hold, a larger share, arrival (the candidate becomes live), or a halt (the live release for everyone)
    stop    by hand

Run `step` as often as you like, for example hourly: the intervals allow it. The state is replaced as a whole before a pointer
follows it, and every step first completes what a killed one left undone, so it does not matter when a process ends. What the
state means to a server: `experiments.served`.
"""

from core import config as configs
from core import files, release
from core.errors import BadInput, ReleaseRefused
from experiments import served
from experiments.canary import CanaryConfig, CanaryState, Phase, advance, end
from experiments.panel import Panel
from pipelines import experiment
from pipelines.progress import Stages
from pipelines.promote import Reasons, promote
from pipelines.releases import history
from pipelines.releases.history import Signed
from pipelines.spaces import Space


def start(space: Space, release_id: str, config: CanaryConfig, signed: Signed, reasons: Reasons, stages: Stages) -> CanaryState:
    """Begin to serve a release to the first share of viewers.

    Raises:
        ReleaseRefused: see `promote`; or a canary is under way, or there is nothing to compare with.
    """
    before, live_id = served.read_canary(space.path), release.resolve(space.releases, "live")
    if before is not None and before.phase == Phase.RUNNING:
        raise ReleaseRefused(f"the canary of {before.release_id} is under way; stop it, or let it end")
    if live_id is None or live_id == release_id:
        raise ReleaseRefused("a canary is compared with another live release, and there is none; promote it to live")
    promote(space, release_id, "canary", signed, reasons, stages)
    state = CanaryState(release_id, live_id, config)
    _save(space, state)
    return state


def step(space: Space, signed: Signed) -> CanaryState:
    """Look once, and do what follows. Raises BadInput when there never was a canary."""
    state = _require(space)
    if state.phase == Phase.RUNNING:
        state = _overtaken(space, state, signed) or advance(state, _panel(space, state), signed.at)
        if state.phase == Phase.ARRIVED:  # the pointer first: a server that reads now already finds the new release
            history.move(space, "live", state.release_id, signed, f"its canary arrived: {state.reason}")
        _save(space, state)
    _settle(space, state, signed)
    return state


def stop(space: Space, signed: Signed, why: str) -> CanaryState:
    """End it: everyone gets the live release again. Raises BadInput when none is under way."""
    state = _require(space)
    if state.phase != Phase.RUNNING:
        raise BadInput(f"no canary is under way: that of {state.release_id} has {state.phase}")
    state = end(state, Phase.STOPPED, signed.at, why)
    _save(space, state)
    _settle(space, state, signed)
    return state


def _overtaken(space: Space, state: CanaryState, signed: Signed) -> CanaryState | None:
    """The state when the live release is no longer the one it was compared with."""
    live_id = release.resolve(space.releases, "live")
    if live_id == state.live_id:
        return None
    if live_id == state.release_id:
        return end(state, Phase.ARRIVED, signed.at, "it is live already")
    return end(state, Phase.HALTED, signed.at, f"live changed from {state.live_id} to {live_id} meanwhile")


def _settle(space: Space, state: CanaryState, signed: Signed) -> None:
    """Once it has ended, no release is the canary."""
    if state.phase != Phase.RUNNING and release.resolve(space.releases, "canary") == state.release_id:
        history.move(space, "canary", None, signed, f"{state.phase}: {state.reason}")


def _panel(space: Space, state: CanaryState) -> Panel | None:
    """The rows of the present step; None while an arm has nobody."""
    running = state.experiment
    assert running is not None
    try:
        return experiment.from_space(space, running)
    except BadInput:  # nobody was exposed yet, or to one arm only
        return None


def _require(space: Space) -> CanaryState:
    state = served.read_canary(space.path)
    if state is None:
        raise BadInput(f"'{space.name}' has no canary; `upnext release canary start <id>` begins one")
    return state


def _save(space: Space, state: CanaryState) -> None:
    files.write_json(space.path / served.CANARY, configs.to_dict(state))
