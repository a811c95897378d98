"""The service of one process of several: bounds hold over all, and a session is found wherever it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.edge.caller import CALLER
from affectstream_server.edge.forward import Forwarder, Requests
from affectstream_server.edge.inner import Context, InnerServer
from affectstream_server.edge.service import CONFIG_DEADLINE_S, AffectService, first_message, no_config
from affectstream_server.edge.status import abort
from affectstream_server.errors import LimitReached, ServiceError
from affectstream_server.pipeline import Pipeline
from affectstream_server.processes.siblings import Claim, Siblings
from affectstream_server.resume import no_session
from affectstream_server.settings import Settings
from affectstream_server.stages.receive import check_session_id
from affectstream_server.telemetry.open import Telemetry

_Message = pb.StreamAffectRequest | ServiceError


class SharedService(AffectService):
    """As `AffectService`, which serves the call where it stays here."""

    def __init__(self, pipeline: Pipeline, siblings: Siblings) -> None:
        super().__init__(pipeline)
        self._siblings = siblings
        self._forwarder = Forwarder(siblings)

    async def drained(self, within_s: float) -> None:
        """Return when no stream is passed on any more."""
        await self._forwarder.drained(within_s)

    async def close(self) -> None:
        """No call is open any more."""
        await self._forwarder.close()

    async def serve_stream(self, requests: Requests, context: Context) -> ServiceError | None:
        pipeline, caller = self._pipeline, CALLER.get()
        if pipeline.sessions.draining or pipeline.router.trouble:  # it is refused, whatever it wants
            return await super().serve_stream(requests, context)
        try:
            async with self._siblings.holding("streams", caller.tenant):
                first = await _first(requests)
                home = self._home(first)
                if home is None:
                    return await self._stay(first, requests, context, caller.tenant)
        except LimitReached as error:
            await first_message(requests)
            return error
        address = self._siblings.addresses.get(home)
        if address is None or not isinstance(first, pb.StreamAffectRequest):
            return no_session()
        await self._forwarder.pass_on(address, caller, first, requests, context)
        return None

    def _home(self, first: _Message | None) -> int | None:
        """Which other process has the stream's session; None: it is here, or begins here."""
        if not isinstance(first, pb.StreamAffectRequest) or not first.config.HasField("resume"):
            return None
        home = self._siblings.home(first.config.resume.resume_token)
        return home if home != self._siblings.serial else None

    async def _stay(
        self, first: _Message | None, requests: Requests, context: Context, tenant: str
    ) -> ServiceError | None:
        try:
            claim = await self._claim(first, tenant)
        except ServiceError as error:
            return error
        try:
            return await super().serve_stream(_Whole(first, requests, claim), context)
        finally:
            if claim is not None:
                self._siblings.release(claim)

    async def _claim(self, first: _Message | None, tenant: str) -> Claim | None:
        """For an id that the caller chose; a bad one is refused where it is read. Raises `AlreadyExists`."""
        if first is None or isinstance(first, ServiceError) or first.WhichOneof("request") != "config":
            return None
        config = first.config
        if not config.session_id or config.HasField("resume"):
            return None
        try:
            check_session_id(config.session_id, "config.session_id")
        except ServiceError:
            return None
        return await self._siblings.claim((tenant, config.session_id))

    async def analyze_utterance(
        self, request: pb.AnalyzeUtteranceRequest | ServiceError, context: Context
    ) -> pb.AnalyzeUtteranceResponse:
        try:
            async with self._siblings.holding("analyses", CALLER.get().tenant):
                return await super().analyze_utterance(request, context)
        except LimitReached as error:
            return await abort(context, error)

    async def serve_watch(self, request: pb.WatchAffectRequest, context: Context) -> ServiceError | None:
        async with self._siblings.holding("watchers", CALLER.get().tenant, request.session_id):
            return await super().serve_watch(request, context)


async def _first(requests: Requests) -> _Message | None:
    """The first message, or the error of one that does not come; None: there is none."""
    try:
        async with asyncio.timeout(CONFIG_DEADLINE_S):
            return await anext(requests, None)
    except TimeoutError:
        return no_config()


class SharedProcess:
    """What one process of several has beside its server: the shared service, and where the others call it."""

    def __init__(
        self, settings: Settings, pipeline: Pipeline, siblings: Siblings, telemetry: Telemetry
    ) -> None:
        self.service = SharedService(pipeline, siblings)
        self._siblings = siblings
        self._inner = InnerServer(
            settings, siblings.inner_address, siblings.secret, self.service, telemetry.calls
        )
        siblings.join(pipeline)

    async def start(self, changed: Callable[[], None]) -> None:
        """Take the others' calls. ``changed`` is called when more or fewer of them are ready."""
        self._siblings.changed = changed
        await self._inner.start()

    async def drained(self, within_s: float) -> None:
        """Return when no stream is passed on any more."""
        await self.service.drained(within_s)

    async def stop(self) -> None:
        """No call is open any more."""
        await self._inner.stop(grace_s=0)
        await self.service.close()


class _Whole:
    """The messages of a stream of which the first was read already."""

    def __init__(self, first: _Message | None, rest: Requests, claim: Claim | None) -> None:
        self._first = first
        self._rest = rest
        self._claim = claim

    def __aiter__(self) -> AsyncIterator[_Message]:
        return self

    async def __anext__(self) -> _Message:
        first, self._first = self._first, None
        if first is not None:
            return first
        if self._claim is not None:  # the first was taken: its session is known here, or never will be
            self._claim.end()
            self._claim = None
        return await anext(self._rest)
