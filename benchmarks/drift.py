"""How long does it take to say whether a million vectors of 64 numbers are distributed as before, and is the answer right?

    python -m benchmarks.drift

`contents.compare_vectors` on one thread, processor time: centroid distance, unbiased MMD² by random Fourier features, its p
value from the reference's days and by exchanging days. Vectors are made, so that the truth is known: days alike, each with a
small shift of its mean, as days have; a day whose mean moved by a fifth of the spread; a day that only changed its shape. A
reference of a million rows in fourteen days, a day of a million. Then fifteen days of a million each that come one by one. The
exact MMD² of a few thousand rows of the same days stands beside the estimate.
"""

import resource
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import results_file
from core import rng, two_sample
from pipelines.watching import contents

_EXACT_ROWS = 3_000
_WANDER = 0.02
"""Deviation of each day's mean, in units of the spread of one coordinate."""
Vectors = NDArray[np.float32]


def day(seed: int, number: int, rows: int, dim: int, kind: str = "alike") -> Vectors:
    """Normal vectors around a mean of the day."""
    random = rng.stream(seed, "drift", number)
    found = random.standard_normal((rows, dim), dtype=np.float32)
    found += _WANDER * random.standard_normal(dim, dtype=np.float32)
    if kind == "moved":
        found[:, 0] += 0.2 * np.sqrt(dim)
    if kind == "reshaped":
        found *= np.exp(random.standard_normal((rows, 1), dtype=np.float32) * 0.3)
    return found


def judged(reference: list[Vectors], seed: int, rows: int, kind: str) -> dict[str, Any]:
    """A day of a kind against the reference, with the seconds of the comparison alone."""
    today = day(seed, len(reference), rows, reference[0].shape[1], kind)
    began = time.process_time()
    found = contents.compare_vectors([*reference, today])
    seconds = time.process_time() - began
    random, before = (
        rng.stream(seed, "exact", kind),
        np.concatenate([one[: _EXACT_ROWS // len(reference)] for one in reference]),
    )
    exact = two_sample.mmd(before, today[:_EXACT_ROWS], two_sample.median_scale(before, random), random, 1).statistic
    return {
        "kind": kind, "cpu_s": round(seconds, 2), "centroid": found.centroid, "mmd": found.mmd, "usual_mmd": found.usual_mmd,
        "exact_mmd_of_some_rows": exact, "p": found.p, "p_days": found.p_days, "moved": found.moved,
    }  # fmt: skip


def streamed(seed: int, days: int, rows: int, dim: int) -> dict[str, Any]:
    """Seconds to sketch days that come one by one, and memory that this adds to one of them."""
    made: Iterator[Vectors] = (day(seed, number, rows, dim) for number in range(days))
    first = next(made)
    mapped = two_sample.FourierMap.draw(dim, two_sample.median_scale(first, rng.stream(seed, "scale")), rng.stream(seed, "map"))
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    total = mapped.sketch(first)
    seconds = time.process_time() - began
    added_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    for vectors in made:
        began = time.process_time()
        total += mapped.sketch(vectors)
        seconds += time.process_time() - began
    return {"days": days, "rows": total.rows, "cpu_s": round(seconds, 2), "added_mib": round(added_kib / 1_024, 1)}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    stream = streamed(arguments.seed, arguments.days + 1, arguments.rows, arguments.dim)
    print(stream)
    reference = [day(arguments.seed, at, arguments.rows // arguments.days, arguments.dim) for at in range(arguments.days)]
    found = [judged(reference, arguments.seed, arguments.rows, kind) for kind in ("alike", "moved", "reshaped")]
    print(*found, sep="\n")
    results_file.keep("drift", {"against_a_reference": found, "streamed": stream}, arguments)


if __name__ == "__main__":
    main()
