import pytest
import redis

from data import redis_nodes
from data.redis_nodes import Nodes
from tests import clusters


def test_one_server_holds_everything_and_is_not_asked():
    nodes = Nodes("redis://nobody.invalid:1/0")
    assert nodes.urls == ["redis://nobody.invalid:1/0"]
    assert nodes.of("any") == nodes.of("{other}") == "redis://nobody.invalid:1/0"
    assert not nodes.clustered


def test_a_cluster_where_nobody_answers_is_said():
    with pytest.raises(redis_nodes.FAILURES):
        Nodes("redis+cluster://127.0.0.1:1", timeout_s=0.5)


@pytest.mark.parametrize(
    ("url", "host", "expected"),
    [
        ("redis://me:secret@a:1/0", "10.0.0.2", "redis://me:secret@10.0.0.2:7/0"),
        ("rediss://a:1", "::1", "rediss://[::1]:7"),
        ("redis://a:1", "", "redis://a:7"),
    ],
)
def test_credentials_and_scheme_go_along_to_other_nodes(url, host, expected):
    assert redis_nodes._at(url, host, 7) == expected


def test_every_node_of_a_cluster_owns_what_it_is_said_to_own(tmp_path):
    with clusters.cluster(tmp_path) as ports:
        nodes = Nodes(f"redis+cluster://127.0.0.1:{ports[0]}")
        assert sorted(nodes.urls) == sorted(f"redis://127.0.0.1:{port}" for port in ports)
        for number in range(30):
            key = f"{{viewer {number}}}:n"
            assert nodes.of(key) == nodes.of(f"{{viewer {number}}}:c")
            with redis_nodes.connect(nodes.of(key), 5.0) as client:
                assert client.set(key, number)  # any other node would answer MOVED
            wrong = next(url for url in nodes.urls if url != nodes.of(key))
            with redis_nodes.connect(wrong, 5.0) as client, pytest.raises(redis.ResponseError):
                client.set(key, number)
