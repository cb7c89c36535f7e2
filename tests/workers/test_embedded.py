"""The private Redis of the demo and the tests: no other program gets its port."""

from __future__ import annotations

import socket
import sys

import pytest
import redis

from workers.embedded import EmbeddedRedis


def is_held(port: int) -> bool:
    """Whether nobody who asks for any free port is given this one."""
    with socket.socket() as other:
        try:
            other.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no server could take a port that is held")
def test_nobody_is_given_its_port_before_it_starts_nor_between_two_starts() -> None:
    """What came to listen there meanwhile was taken for it, or kept it from starting."""
    server = EmbeddedRedis()
    assert is_held(server.port)
    with server, redis.Redis(port=server.port, socket_timeout=30) as client:
        server.kill()
        assert is_held(server.port)
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        assert client.ping()
