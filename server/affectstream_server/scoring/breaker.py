"""Stop asking a server that keeps failing, and let one call find out when it is back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final

WINDOW_S: Final = 10.0
FAILURES: Final = 5
"""So many in a row open it."""
SHARE: Final = 0.5
"""So does this share of the window's calls, from `LEAST_CALLS` on."""
LEAST_CALLS: Final = 10
OPEN_S: Final = 1.0
"""How long nothing is asked before one probe is."""


class State(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


class Breaker:
    """A circuit breaker. Every call that is admitted ends in one of `succeeded`, `failed` and `abandoned`.

    They take the call's pass. One from before the breaker opened, or closed, says nothing of the time after.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._calls: deque[tuple[float, bool]] = deque()
        self._in_a_row = 0
        self._opened_at: float | None = None
        self._probing = False
        self._pass = 1
        """Of the calls that are admitted now; another one each time that it opens or closes."""

    @property
    def state(self) -> State:
        """Whether calls are admitted: all, none, or one."""
        if self._opened_at is None:
            return State.CLOSED
        waited = self._clock() - self._opened_at >= OPEN_S
        return State.HALF_OPEN if waited or self._probing else State.OPEN

    def admit(self) -> int | None:
        """A pass for this call; None: it may not be made. Half open, the first gets one, and is the probe."""
        match self.state:
            case State.CLOSED:
                return self._pass
            case State.OPEN:
                return None
            case State.HALF_OPEN:
                if self._probing:
                    return None
                self._probing = True
                return self._pass

    def succeeded(self, its_pass: int) -> None:
        """A call went well; a probe that did closes the breaker."""
        if its_pass != self._pass:
            return
        if self._probing:
            self.close()
        self._in_a_row = 0
        self._note(ok=True)

    def failed(self, its_pass: int) -> None:
        """A call failed; a probe that did leaves the breaker open for another `OPEN_S`."""
        if its_pass != self._pass:
            return
        self._in_a_row += 1
        self._note(ok=False)
        bad = sum(not ok for _, ok in self._calls)
        too_many = len(self._calls) >= LEAST_CALLS and bad >= SHARE * len(self._calls)
        if self._probing or self._in_a_row >= FAILURES or too_many:
            self._opened_at = self._clock()
            self._probing = False
            self._pass += 1

    def abandoned(self, its_pass: int) -> None:
        """A call was given up for reasons that say nothing of the server."""
        if its_pass == self._pass:
            self._probing = False

    def close(self) -> None:
        """Admit everything again, and forget what was."""
        self._opened_at = None
        self._probing = False
        self._in_a_row = 0
        self._calls.clear()
        self._pass += 1

    def _note(self, *, ok: bool) -> None:
        now = self._clock()
        self._calls.append((now, ok))
        while self._calls[0][0] <= now - WINDOW_S:
            self._calls.popleft()


class RetryBudget:
    """Lets a share of calls be tried again, so that retries cannot double the load of a sick server."""

    def __init__(self, share: float, *, reserve: float = 10.0) -> None:
        """``share`` of the calls, and ``reserve`` more after a quiet time."""
        self._share = share
        self._reserve = reserve
        self._left = reserve

    def earn(self) -> None:
        """A call was made."""
        self._left = min(self._reserve, self._left + self._share)

    def spend(self) -> bool:
        """Whether one more retry fits."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
