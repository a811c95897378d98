"""The one port that several processes listen on."""

from __future__ import annotations

import socket

from affectstream_server.cannot_listen import CannotListen


class Port:
    """Holds the port, so that it stays these processes' own while one starts anew. Takes no connection."""

    def __init__(self, address: str, *, shared: bool) -> None:
        """Take HOST:PORT; port 0 takes a free one. ``shared``: others may have it, too.

        Raises `CannotListen`.
        """
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65_535:
            raise CannotListen(f"server.address: got {address!r}, expected HOST:PORT such as 127.0.0.1:50551")
        try:
            found = socket.getaddrinfo(
                host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, kind, protocol, _, at = found[0]
            if int(port) and not shared:  # two services would share it in silence
                with socket.socket(family, kind, protocol) as alone:
                    alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    alone.bind(at)
            self._socket = socket.socket(family, kind, protocol)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._socket.bind(at)
        except OSError as error:
            raise CannotListen(
                f"server.address: cannot listen on {address}: {error.strerror}; port 0 is any"
            ) from None
        self.address = f"{host}:{self._socket.getsockname()[1]}"
        """With the port that it got."""

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()
