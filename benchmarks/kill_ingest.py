"""Does an acknowledged event survive kill −9? Kills the service while it takes events, starts it again, counts.

    python -m benchmarks.kill_ingest --kills 20

Senders post batches as fast as they are acknowledged and send again, with the same ids, what was not. After the last kill
every acknowledged event must be in the log (0 lost), none twice (0 duplicates).
"""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks import load, results_file
from core import columns as c
from core import rng, settings
from core.event_log import SqliteEventLog, batches
from pipelines import spaces

SENDERS, BATCH = 8, 20


@dataclass
class Sent:
    """What senders know."""

    acknowledged: set[str] = field(default_factory=set)
    again: list[bytes] = field(default_factory=list)
    """Batches without an answer."""
    num_batches: int = 0
    num_again: int = 0


async def send(port: int, sent: Sent, videos: list[str]) -> None:
    """Post batches until the service stops answering."""
    crowd = load.Crowd(port)

    async def one() -> None:
        while True:
            body = sent.again.pop() if sent.again else _batch(sent, videos)
            (answer,) = await crowd.come([load.Visit(0.0, "/events", body=body)])
            if answer.status == 200:
                sent.acknowledged |= set(json.loads(answer.body)["accepted"])
                continue
            sent.again.append(body)
            sent.num_again += 1
            if answer.status == 0:
                return
            await asyncio.sleep(0.05)

    await asyncio.gather(*(one() for _ in range(SENDERS)))
    crowd.close()


def _batch(sent: Sent, videos: list[str]) -> bytes:
    sent.num_batches += 1
    number = sent.num_batches
    events = [
        {"event_id": f"k{number}-{i}", "kind": "click", "viewer_id": f"v{number % 50}", "video_id": videos[i]}
        for i in range(BATCH)
    ]
    return json.dumps({"events": events}).encode()


def trial(space: str | None, sent: Sent, videos: list[str], kill_after_s: float) -> int:
    """One life of the service, and its end; events acknowledged in it."""
    before = len(sent.acknowledged)

    async def live(port: int, pid_kill: Any) -> None:
        asyncio.get_running_loop().call_later(kill_after_s, pid_kill)
        await send(port, sent, videos)

    with load.service(space) as (port, child):
        asyncio.run(live(port, child.kill))
        child.wait()
    return len(sent.acknowledged) - before


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--space", default=None, help="dataset to serve; its live log gets the events. The last trained one by default"
    )
    arguments = parser.parse_args()
    space = spaces.current(settings.load().var_dir, arguments.space)
    moments = rng.stream(arguments.seed, "kills").uniform(0.2, 2.0, arguments.kills).tolist()
    sent, began, lives = Sent(), time.monotonic(), []
    videos = [str(number) for number in range(1, BATCH + 1)]
    for kill_after_s in moments:
        lives.append(trial(arguments.space, sent, videos, kill_after_s))
        print(
            f"killed after {kill_after_s:.2f} s: {lives[-1]} acknowledged, {len(sent.again)} batches without an answer",
            flush=True,
        )
    counts = Counter[str]()
    for table, _ in batches(SqliteEventLog(space.events)):
        counts.update(event_id for event_id in table[c.EVENT_ID].to_pylist() if event_id.startswith("k"))
    result = {
        "acknowledged": len(sent.acknowledged),
        "by_life": lives,
        "sent_again": sent.num_again,
        "lost": len(sent.acknowledged - set(counts)),
        "duplicates": sum(count - 1 for count in counts.values()),
        "kept_without_answer": len(set(counts) - sent.acknowledged),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(result)
    results_file.keep("kill-ingest", result, arguments)


if __name__ == "__main__":
    main()
