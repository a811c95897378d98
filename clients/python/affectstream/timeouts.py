"""How long a client waits, for each thing that it waits for."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Time limits in seconds, each above 0. `math.inf` waits for ever.

    Raises:
        ValueError: a limit is not a number above 0; the message names it.
    """

    connect_s: float = 5.0
    """Until the connection stands and the first message is on its way."""
    session_start_s: float = 10.0
    """From there until the server's first event, `SessionStarted`."""
    call_s: float = 10.0
    """One whole unary call, such as `server_info`, connecting included."""
    control_s: float = 5.0
    """From asking `SentControl.done` until the server has acknowledged that control."""
    idle_s: float = 30.0
    """After `end`: from one event to the next while the last finals are drained. While audio is
    still being sent there is no limit, since silence brings no events; keepalive finds dead peers."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not value > 0:  # also refuses NaN
                raise ValueError(f"Timeouts.{limit.name} must be above 0 seconds, not {value}")


def finite(seconds: float) -> float | None:
    """A limit as asyncio and gRPC take it: None where there is none."""
    return None if math.isinf(seconds) else seconds
