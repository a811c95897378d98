"""What a bridge is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from affectstream.address import is_loopback
from affectstream.tls import Tls


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSettings:
    """Where it listens, whom it lets in, and how long it waits. Times in seconds.

    Raises:
        ValueError: a combination that would show audio or tokens to others; the message names it.
    """

    server: str
    """HOST:PORT of the Affectstream server."""
    tls: Tls | None = None
    """How to connect to it; None: in plain text."""
    allow_plain_token: bool = False
    """Pass callers' tokens on in plain text to another machine."""
    listen: str = "127.0.0.1:8080"
    """HOST:PORT; port 0 is a free one."""
    cert_file: str | Path | None = None
    """The bridge's own certificate and chain, PEM; None: no TLS."""
    key_file: str | Path | None = None
    """Its private key, PEM, without a passphrase."""
    insecure: bool = False
    """Let other machines in without TLS."""
    allow_origins: tuple[str, ...] = ()
    """Origins beside the bridge's own, such as ``https://app.example.org``."""
    max_connections: int = 1_000
    message_bytes: int = 256 * 1024
    """The longest message; what audio may be long is the server's to say."""
    request_s: float = 5.0
    """From the connection to the whole request."""
    config_s: float = 10.0
    """From the open WebSocket to its first message."""
    start_s: float = 10.0
    """From the first message to the server's first event."""
    ping_after_s: float = 10.0
    pong_s: float = 5.0
    slow_reader_s: float = 5.0
    drain_s: float = 10.0
    """What streams have to end by themselves when the bridge stops."""

    def __post_init__(self) -> None:
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65_535:
            raise ValueError(f"--listen: got {self.listen!r}, expected HOST:PORT such as 127.0.0.1:8080")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("--tls-cert and --tls-key go together")
        if self.cert_file is None and not self.insecure and not is_loopback(self.listen):
            raise ValueError(
                f"--listen: got {self.listen!r}, which other machines reach, without TLS: "
                "give --tls-cert and --tls-key, listen on 127.0.0.1, or say --insecure"
            )
        if self.tls is None and not self.allow_plain_token and not is_loopback(self.server):
            raise ValueError(
                f"--server: {self.server!r} is another machine, and callers' tokens would cross the "
                "network in plain text: connect by --tls or --ca, or say --allow-plain-token"
            )
        for origin in self.allow_origins:
            scheme, separator, rest = origin.partition("://")
            if not separator or scheme not in ("http", "https") or not rest or set(rest) & set("/?#*"):
                raise ValueError(
                    f"--allow-origin: got {origin!r}, expected SCHEME://HOST[:PORT] as browsers send it, "
                    "such as https://app.example.org"
                )
