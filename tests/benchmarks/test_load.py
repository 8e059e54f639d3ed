import asyncio
from contextlib import suppress

import pytest

from benchmarks.load import Crowd, Visit

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def visited(visits, answers_first=1):
    """What becomes of visits of one client to a service that ends every connection at the request after `answers_first`."""
    connections = []

    async def serve(reader, writer):
        connections.append(writer)
        with suppress(asyncio.IncompleteReadError):  # the client has gone
            for _ in range(answers_first):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(ANSWER)
            await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    crowd = Crowd(server.sockets[0].getsockname()[1])
    answers = [(await crowd.come([visit]))[0] for visit in visits]
    crowd.close()
    server.close()
    await asyncio.sleep(0.05)  # what still waits for a request sees that nobody will ask
    return [answer.status for answer in answers], len(connections)


def test_a_connection_that_ended_while_nobody_used_it_is_replaced():
    assert asyncio.run(visited([Visit(0, "/a"), Visit(0, "/b"), Visit(0, "/c")])) == ([200, 200, 200], 3)


@pytest.mark.parametrize(
    ("visits", "answers_first"), [([Visit(0, "/a"), Visit(0, "/b", body=b"{}")], 1), ([Visit(0, "/a")], 0)]
)
def test_what_may_have_been_done_or_was_never_answered_is_not_asked_again(visits, answers_first):
    statuses, connections = asyncio.run(visited(visits, answers_first))
    assert (statuses[-1], connections) == (0, 1)
