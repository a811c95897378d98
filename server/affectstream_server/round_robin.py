"""What waits for the next batch, taken from each tenant in turn."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class RoundRobin(Generic[Entry]):
    """One queue a tenant. Each is served once before any is served twice, within a batch and across."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[Entry]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __len__(self) -> int:
        return sum(len(queue) for queue in tuple(self._queues.values()))

    def add(self, tenant: str, entry: Entry) -> None:
        """Let an entry wait behind its tenant's others."""
        queue = self._queues.get(tenant)
        if queue is None:
            queue = self._queues[tenant] = deque()
        queue.append(entry)

    def take(self, most: int) -> list[Entry]:
        """The next entries, at most so many."""
        batch: list[Entry] = []
        while self._queues and len(batch) < most:
            tenant, queue = next(iter(self._queues.items()))
            if len(self._queues) == 1:
                batch += [queue.popleft() for _ in range(min(len(queue), most - len(batch)))]
            else:
                batch.append(queue.popleft())
                self._queues.move_to_end(tenant)
            if not queue:
                del self._queues[tenant]
        return batch

    def remove(self, tenant: str, is_gone: Callable[[Entry], bool]) -> None:
        """Drop a tenant's entries that are gone."""
        kept = deque(entry for entry in self._queues.get(tenant, ()) if not is_gone(entry))
        if kept:
            self._queues[tenant] = kept
        else:
            self._queues.pop(tenant, None)
