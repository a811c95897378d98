"""What the processes say to the supervisor, answered or passed on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from affectstream_server.processes.child import Child
from affectstream_server.processes.hub import KINDS, Hub
from affectstream_server.processes.ledger import Ledger
from affectstream_server.processes.link import Answer, LinkLost, Message
from affectstream_server.settings_telemetry import TelemetrySettings

if TYPE_CHECKING:
    from affectstream_server.processes.exposed import Exposed

_log = logging.getLogger(__name__)


class Switchboard:
    """The processes that live."""

    def __init__(self, ledger: Ledger, hub: Hub | None, changed: Callable[[], None]) -> None:
        """``changed`` is called when more or fewer are ready."""
        self._ledger = ledger
        self._hub = hub
        self._changed = changed
        self._children: dict[int, Child] = {}
        self._exposed: Exposed | None = None
        self.everyone = False
        """All were ready once."""

    @property
    def children(self) -> tuple[Child, ...]:
        """Those that live."""
        return tuple(self._children.values())

    @property
    def hub(self) -> Hub | None:
        """Where events are retained; None: in Redis, or nowhere."""
        return self._hub

    def expose(self, settings: TelemetrySettings, wanted: int) -> Exposed | None:
        """Serve everyone's metrics where the settings say so. ``wanted`` processes are to be ready.

        Raises `CannotListen`.
        """
        if settings.metrics:
            from affectstream_server.processes.exposed import Exposed

            self._exposed = Exposed(settings.metrics_address, self, wanted)
        return self._exposed

    def add(self, child: Child) -> None:
        """A process was started."""
        self._children[child.serial] = child

    def remove(self, child: Child) -> None:
        """A process is gone, and what it held with it."""
        del self._children[child.serial]
        child.address, child.ready = "", False
        self._ledger.forget(child.serial)
        if self._hub is not None:
            self._hub.gone(child.serial)
        if self._exposed is not None:
            self._exposed.gone(child)
        self._tell_everyone()

    def take(self, child: Child, message: Message) -> Answer | Awaitable[Answer]:
        """Handle what a process says."""
        fields = message.fields
        if message.kind in KINDS:
            return self._hub.take(child.serial, child.link, message) if self._hub is not None else None
        match message.kind:
            case "take":
                taken = self._ledger.take(child.serial, fields["number"], fields["keys"], fields["limit"])
                return {"others": taken}
            case "give_back":
                self._ledger.give_back(child.serial, fields["number"])
            case "claim":
                return self._claim(child, (fields["name"][0], fields["name"][1]))
            case "gone":
                self._ledger.gone(child.serial, (fields["name"][0], fields["name"][1]))
            case "used":
                for other in self.children:
                    if other is not child:
                        other.link.tell("used", of=fields["of"])
            case "up":
                child.address = fields["address"]
                self._tell_everyone()
            case "ready":
                child.ready = True
                self._changed()
                self._tell_everyone()
        return None

    async def _claim(self, child: Child, name: tuple[str, str]) -> Answer:
        """Whether another process has the session; its word counts. The id is the asker's where not."""
        while (owner := self._children.get(self._ledger.owner(name) or 0)) not in (None, child):
            try:
                answer, _ = await owner.link.ask("held", name=name)
            except LinkLost:
                answer = {"held": owner.serial in self._children, "retry_after_s": 1.0}
            if answer["held"]:
                return answer
            self._ledger.gone(owner.serial, name)
        self._ledger.claim(child.serial, name)
        return {"held": False}

    def _tell_everyone(self) -> None:
        addresses = {child.serial: child.address for child in self.children if child.address}
        for child in self.children:
            child.link.tell("roster", everyone=self.everyone, addresses=addresses)
