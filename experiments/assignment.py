"""Who gets which arm: a salted hash of the viewer id, so that nothing has to be stored and every server agrees.

    unit(salt, viewer) = splitmix64(splitmix64(viewer) ⊕ blake2b(salt)) / 2⁶⁴                    uniform in [0, 1)

splitmix64 is the finaliser of Steele, Lea & Flood (OOPSLA 2014). Three independent units decide (Tang et al., "Overlapping
experiment infrastructure", KDD 2010): the holdout's, the layer's (which experiment of the layer), and the experiment's own
(which arm). A viewer so keeps their arm when an experiment's segment grows; when weights change, pass what was remembered.

An override shows an arm without counting the viewer. A request is an *exposure* only where the arm could have made a
difference: counting others dilutes the effect. Knows nothing of what an arm does.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from experiments.config import ExperimentConfig, ExperimentsConfig

OUTSIDE = -1
NO_EXPERIMENT = "control"
"""Label of a request that is exposed to no experiment."""
HOLDOUT = "holdout"
"""Label of viewers who are kept out of all."""
INTERLEAVED = "interleaved"
"""What stands for the arm in the label of a page that holds both arms."""

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Assigned:
    """One experiment's decision about B viewers."""

    experiment: ExperimentConfig
    arm_B: Ints
    """Position in `experiment.arms`; OUTSIDE for viewers who are not in it."""
    counted_B: Flags
    """In the experiment, and not by an override."""

    def differs(self, surface: str | None = None) -> bool:
        """Whether the arms differ on `surface`; None is any."""
        return surface is None or not self.experiment.surfaces or surface in self.experiment.surfaces

    def exposed(self, surface: str | None = None) -> Flags:
        """[B] whether a request on `surface` counts: the viewer is counted, and the arms differ there."""
        return self.counted_B & self.differs(surface)


@dataclass(frozen=True)
class Treatment:
    """What one request gets."""

    label: str
    """For the log: `experiment:arm` of every exposure, joined by `+`."""
    set: tuple[str, ...] = ()
    """Overrides of the serving config, of every arm that is shown."""
    release: str = ""
    """Release that serves it; the live one when empty."""
    duel: ExperimentConfig | None = None
    """Whose two arms are merged on this page."""


class Assigner:
    """Assignment under one config; safe for many threads."""

    def __init__(self, config: ExperimentsConfig, met: Mapping[str, Mapping[int, str]] | None = None) -> None:
        """Under `config`; `met` is experiment → viewer → the arm that the viewer has met before, and keeps."""
        self.config = config
        self._met = met or {}

    def held_out(self, viewer_ids: ArrayLike) -> Flags:
        """[B] whether the viewer is kept out of every experiment."""
        return units(self.config.holdout_salt, viewer_ids) < self.config.holdout

    def assign(self, viewer_ids: ArrayLike, remembered: Mapping[str, Ints] | None = None) -> dict[str, Assigned]:
        """Every experiment's arms for B viewers.

        Args:
            viewer_ids: [B].
            remembered: experiment → [B] arms that viewers have had so far, OUTSIDE where none; they keep them. What the
                assigner itself knows when absent.
        """
        ids = np.asarray(viewer_ids, dtype=np.int64)
        out = self.held_out(ids)
        kept = self._remembered(ids) if remembered is None else remembered
        return {e.name: _assign(e, ids, out, kept.get(e.name)) for e in self.config.experiments}

    def treat(self, viewer_ids: ArrayLike, surface: str | None = None) -> list[Treatment]:
        """What requests of B viewers on `surface` get, and what the log calls it."""
        ids = np.asarray(viewer_ids, dtype=np.int64)
        here = [assigned for assigned in self.assign(ids).values() if assigned.differs(surface)]
        held_out = self.held_out(ids)
        for assigned in here:  # of those held out, only an override puts one into an arm: somebody wants to look at it
            held_out = held_out & (assigned.arm_B == OUTSIDE)
        return [Treatment(HOLDOUT, self.config.holdout_set) if held_out[i] else _treatment(here, i) for i in range(len(ids))]

    def _remembered(self, ids: Ints) -> dict[str, Ints]:
        found = {}
        for experiment in self.config.experiments:
            codes = {name: code for code, name in enumerate(experiment.arm_names)}
            met = self._met.get(experiment.name, {})
            if met:
                found[experiment.name] = np.array([codes.get(met.get(viewer, ""), OUTSIDE) for viewer in ids.tolist()])
        return found


def label(arms: Mapping[str, str]) -> str:
    """{experiment: arm} as one word for the log."""
    return "+".join(f"{name}:{arm}" for name, arm in arms.items()) or NO_EXPERIMENT


def _treatment(here: Sequence[Assigned], i: int) -> Treatment:
    mine = [a for a in here if a.arm_B[i] != OUTSIDE]
    duel = next((a.experiment for a in mine if a.experiment.interleaving and a.counted_B[i]), None)
    counted = {a.experiment.name: a.experiment.arms[a.arm_B[i]].name for a in mine if a.counted_B[i]}
    if duel is not None:
        counted[duel.name] = INTERLEAVED
    arms = [a.experiment.arms[a.arm_B[i]] for a in mine if a.experiment is not duel]
    release = next((arm.release for arm in arms if arm.release), "")
    return Treatment(label(counted), tuple(setting for arm in arms for setting in arm.set), release, duel)


def units(salt: str, viewer_ids: ArrayLike) -> NDArray[np.float64]:
    """[B] a uniform number in [0, 1) per viewer; different salts give independent ones."""
    key = np.uint64(int.from_bytes(hashlib.blake2b(salt.encode(), digest_size=8).digest(), "little"))
    mixed = _splitmix64(_splitmix64(np.asarray(viewer_ids, dtype=np.int64).astype(np.uint64)) ^ key)
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _assign(experiment: ExperimentConfig, ids: Ints, held_out: Flags, remembered: Ints | None) -> Assigned:
    place = units(f"layer\x1f{experiment.layer}", ids)
    inside = (place >= experiment.segment[0]) & (place < experiment.segment[1]) & ~held_out
    drawn = np.searchsorted(
        np.cumsum(experiment.shares[:-1]), units(f"arm\x1f{experiment.salt or experiment.name}", ids), side="right"
    )
    if remembered is not None:
        drawn = np.where(remembered != OUTSIDE, remembered, drawn)
    arm = np.where(inside, drawn, OUTSIDE).astype(np.int64)
    counted = inside.copy()
    for viewer, name in experiment.overrides.items():
        here = ids == int(viewer)
        arm[here], counted[here] = experiment.arm_names.index(name), False
    return Assigned(experiment, arm, counted)


def _splitmix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):  # arithmetic modulo 2⁶⁴ is the point
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
