"""Does anything that a client can send make the service fail? Generated requests against an invented site: 0 answers of 5xx.

    python -m benchmarks.hostile --requests 10000

Requests are made from the API's own description: every route, its parameters and its example body, with values replaced by
what usually breaks parsers, and now and then bytes that are nothing at all.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import orjson

from app import fakes
from app.main import create_app
from app.services import Limits
from benchmarks import results_file
from core import rng
from core.clock import SystemClock

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, -(2**63), 1e308, -0.0, 0.1, [], {}, [[]], [None], {"a": {"b": []}},
    "", " ", "0", "-1", "1", "3", "x" * 101, "x" * 5_000, "99999999999999999999", "١٢٣", "1e999", "NaN", "Infinity", "true",
    "null", "click", "watch", "\x00", "a\x00b", "💥", "日本語", "\u202e", "%00", "%ff", "' OR 1=1 --", "../../etc/passwd",
    "<script>", "\r\nx-a: b",
)  # fmt: skip
"""What usually breaks parsers."""
_KINDS = ("application/json", "application/json; charset=utf-16", "text/plain", "multipart/form-data; boundary=x", "", "💥")


@dataclass(frozen=True)
class Hostile:
    """One request."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


def generate(api: dict[str, Any], num: int, seed: int) -> Iterator[Hostile]:
    """`num` requests from an OpenAPI description."""
    random = rng.stream(seed, "hostile requests")
    example = api["paths"]["/events"]["post"]["requestBody"]["content"]["application/json"]["schema"]["example"]["events"][0]
    routes = [(method.upper(), path, how) for path, methods in api["paths"].items() for method, how in methods.items()]
    for _ in range(num):
        method, path, how = routes[random.integers(len(routes))] if random.random() < 0.6 else ("POST", "/events", {})
        parameters = how.get("parameters", ())
        for name in (one["name"] for one in parameters if one["in"] == "path"):
            path = path.replace(f"{{{name}}}", quote(_text(random), safe=""))
        query = "&".join(f"{one['name']}={quote(_text(random), safe='')}" for one in parameters if one["in"] == "query")
        headers = {one["name"]: _header(random) for one in parameters if one["in"] == "header"}
        kind = _KINDS[random.integers(len(_KINDS))] if random.random() < 0.1 else _KINDS[0]
        headers["content-type"] = kind.encode("ascii", "ignore").decode()
        body = _body(random, example) if method == "POST" else b""
        yield Hostile(method, f"{path}?{query}" if random.random() < 0.8 else path, headers, body)


def _value(random: np.random.Generator) -> Any:
    return VALUES[random.integers(len(VALUES))]


def _text(random: np.random.Generator) -> str:
    value = _value(random)
    return value if isinstance(value, str) else orjson.dumps(float(value) if isinstance(value, int) else value).decode()


def _header(random: np.random.Generator) -> str:
    return "".join(character for character in _text(random) if " " <= character <= "~")[:200]


def _body(random: np.random.Generator, example: dict[str, Any]) -> bytes:
    draw = random.random()
    if draw < 0.1:
        return random.bytes(int(random.integers(0, 300)))
    if draw < 0.15:
        depth = int(random.integers(1, 50_000))
        return b'{"events":' + b"[" * depth + b"]" * depth * int(random.integers(0, 2)) + b"}"
    if draw < 0.2:
        return _dumped(_value(random))
    batch = _dumped({"events": [_event(random, example) for _ in range(int(random.integers(0, 6)))]})
    return batch[: int(random.integers(len(batch)))] if draw < 0.3 else batch


def _event(random: np.random.Generator, example: dict[str, Any]) -> Any:
    names = [*example, "event_at", "value", "surface", "surprise", "\x00"]
    event = dict(example, video_id="3")
    for _ in range(int(random.integers(0, 4))):
        event[names[random.integers(len(names))]] = _value(random)
    return event if random.random() < 0.9 else _value(random)


def _dumped(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except (orjson.JSONEncodeError, TypeError):  # an integer too long for it: others can write that
        return repr(value).replace("'", '"').replace("None", "null").encode("utf-8", "replace")


async def attack(num: int, seed: int) -> dict[str, Any]:
    """Send them all to an invented site, in process; how it answered."""
    answers: Counter[str] = Counter()
    broken: list[str] = []
    services = replace(fakes.services(SystemClock()), limits=Limits(per_client_per_s=1e9))
    app = create_app(services)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
        for one in generate(app.openapi(), num, seed):
            answer = await client.request(one.method, one.url, headers=one.headers, content=one.body)
            answers[str(answer.status_code)] += 1
            if answer.status_code >= 500:
                broken.append(f"{one.method} {one.url} {one.body[:200]!r}")
    return {"answers": dict(sorted(answers.items())), "server_errors": len(broken), "first": broken[:5]}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began = time.monotonic()
    result = asyncio.run(attack(arguments.requests, arguments.seed))
    result["seconds"] = round(time.monotonic() - began, 1)
    print(result)
    results_file.keep("hostile", result, arguments)


if __name__ == "__main__":
    main()
