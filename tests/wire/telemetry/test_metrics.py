"""A server's metrics, as they are read over HTTP."""

from __future__ import annotations

import pytest

from affectstream_server import __version__
from affectstream_server.edge.server import CannotListen
from tests.support.metrics import read, scrape
from tests.support.wire import config, running_server, stub

ON = {"telemetry": {"metrics": True, "metrics_address": "127.0.0.1:0"}}


async def test_what_is_open_is_counted_while_it_is() -> None:
    async with running_server(ON) as server:
        async with stub(server.address) as service:
            call = service.StreamAffect()
            await call.write(config(session_id="s"))
            await call.read()
            during = await scrape(server)
            call.cancel()
        assert during.value("affectstream_build_info", version=__version__) == 1
        assert during.value("affectstream_ready") == 1
        assert during.value("affectstream_streams") == 1
        assert during.value("affectstream_sessions") == 1
        assert during.value("affectstream_model_ready", model="affect-embedded") == 1
        assert during.value("affectstream_bus_published_total") >= 1
        assert during.value("process_resident_memory_bytes") > 10e6
    assert server.telemetry.metrics_address == "", "it is gone with the server"


async def test_prometheus_own_text_is_served_too() -> None:
    async with running_server(ON) as server:
        assert "# TYPE affectstream_streams gauge" in read(server.telemetry.metrics_address, "text/plain")


async def test_an_address_that_is_taken_is_named() -> None:
    async with running_server(ON) as server:
        taken = {"telemetry": ON["telemetry"] | {"metrics_address": server.telemetry.metrics_address}}
        with pytest.raises(CannotListen, match=r"telemetry\.metrics_address: cannot listen on 127\.0\.0\.1"):
            async with running_server(taken):
                pass
