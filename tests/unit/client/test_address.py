"""What stays on this machine, and what may not."""

from __future__ import annotations

import pytest

from affectstream.address import is_loopback


@pytest.mark.parametrize(
    "target",
    [
        *("127.0.0.1:50551", "127.8.8.8:1", "localhost:1", "LOCALHOST", "[::1]:1", "::1"),
        *(
            "ipv4:127.0.0.1:1,127.0.0.2:1",
            "ipv6:[::1]:1",
            "dns:localhost:1",
            "dns:///localhost:1",
            "unix:/run/x",
        ),
    ],
)
def test_this_machine(target: str) -> None:
    assert is_loopback(target)


@pytest.mark.parametrize(
    "target",
    [
        *("0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.org:1", "example.org", "", "128.0.0.1:1"),
        *("localhost.example.org:1", "127.0.0.1.example.org:1", "127.0.0.1@example.org:1"),
        *(
            "ipv4:127.0.0.1:1,10.0.0.1:1",
            "dns:///example.org:1",
            "dns://10.0.0.1/localhost:1",
            "xds:///localhost",
        ),
    ],
)
def test_others(target: str) -> None:
    assert not is_loopback(target)
