"""The observer that counts and traces a process."""

from __future__ import annotations

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.observer import Observer, SessionObserver
from affectstream_server.settings_telemetry import TelemetrySettings
from affectstream_server.telemetry.calls import CALL
from affectstream_server.telemetry.meters import Meters
from affectstream_server.telemetry.names import Attribute
from affectstream_server.telemetry.sessions import ObservedAnalysis, ObservedSession
from affectstream_server.telemetry.tracing import Tracing


class ObservedProcess(Observer):
    """See `affectstream_server.observer`."""

    def __init__(self, settings: TelemetrySettings, tracing: Tracing, meters: Meters) -> None:
        self._settings = settings
        self._tracing = tracing
        self._meters = meters

    def session(
        self, session_id: str, told_id: str, config: pb.SessionConfig, tenant: str
    ) -> SessionObserver:
        personal = self._personal(tenant, config)
        return ObservedSession(
            self._tracing, self._meters, session_id, told_id, tenant=tenant, attributes=personal
        )

    def analysis(self, tenant: str) -> SessionObserver:
        personal = self._personal(tenant, None)
        return ObservedAnalysis(self._tracing, self._meters, "", "", tenant=tenant, attributes=personal)

    def looked(self, blocks: int, seconds: float) -> None:
        self._meters.blocks.inc(blocks)
        self._meters.batch.observe(blocks)
        self._meters.detection.observe(seconds)

    def _personal(self, tenant: str, config: pb.SessionConfig | None) -> dict[str, str]:
        if not self._settings.pii:
            return {}
        call = CALL.get()
        told = {Attribute.TENANT: tenant, Attribute.PEER: call.peer if call is not None else ""}
        if config is not None:
            told[Attribute.LANGUAGE] = config.language_code
            told[Attribute.LABELS] = ",".join(
                f"{key}={value}" for key, value in sorted(config.labels.items())
            )
        return {str(key): value for key, value in told.items() if value}
