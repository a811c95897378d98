"""Tokens, origins and versions: who gets in, and that nothing of a token shows."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import aiohttp
import pytest

from affectstream.bridge.settings import BridgeSettings
from affectstream.commands import bridge as command
from affectstream_server.auth import tokens
from tests.bridge.conftest import Both
from tests.support.bridge import CONFIG, END, connected, ended, running_bridge
from tests.support.fault_proxy import FaultProxy
from tests.support.pki import Pki
from tests.support.wire import running_server

V1 = "affectstream.v1"


async def refused(address: str, **options: object) -> int:
    """The HTTP status in place of a WebSocket."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with connected(address, **options):  # type: ignore[arg-type]
            pass
    return caught.value.status


async def test_a_token_by_header_or_by_subprotocol(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret, line = tokens.make("acme", "page", None)
    (tmp_path / "tokens.yaml").write_text(line)
    access = {"auth": {"tokens_file": str(tmp_path / "tokens.yaml")}}
    async with running_server(access) as server, running_bridge(server.address) as bridge:
        messages = ({"config": CONFIG}, END)
        header = {"Authorization": f"Bearer {secret}"}
        assert await ended(bridge.address, *messages, headers=header) == ({}, 1000)
        assert await ended(bridge.address, *messages, protocols=(V1, f"bearer.{secret}")) == ({}, 1000)
        for protocols in ((V1,), (V1, "bearer.wrong"), (V1, f"bearer.{secret[:-1]}")):
            error, code = await ended(bridge.address, *messages, protocols=protocols)
            assert (error["reason"], code) == ("TOKEN_NOT_ACCEPTED", 4401)
            assert secret[:-1] not in str(error)
        assert await refused(bridge.address, protocols=("other", f"bearer.{secret}")) == 400
        assert await refused(bridge.address, headers={"Authorization": f"Basic {secret}"}) == 401
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{bridge.address}/v1/info") as answer:
                assert (answer.status, (await answer.json())["error"]["reason"]) == (
                    401,
                    "TOKEN_NOT_ACCEPTED",
                )
            async with session.get(f"http://{bridge.address}/v1/info", headers=header) as answer:
                assert answer.status == 200
    ours = "\n".join(r.getMessage() for r in caplog.records if "client" not in r.name)
    assert secret[:-1] not in ours


async def test_pages_of_others_stay_out(both: Both) -> None:
    own = both.bridge.address
    app = "https://app.example.org"
    messages = ({"config": CONFIG}, END)
    async with (
        FaultProxy(both.server.address) as way,
        running_bridge(way.address, allow_origins=(app,)) as bridge,
    ):
        strangers: list[tuple[str, str, dict[str, str]]] = [
            (own, app, {}),
            (own, "null", {}),
            (bridge.address, f"{app}.evil", {}),
            # a name that an attacker points at 127.0.0.1 is "its own" origin
            (bridge.address, "http://evil.test", {"Host": "evil.test"}),
        ]
        for address, origin, headers in strangers:
            for path in ("/v1/stream", "/v1/telephony"):
                error, code = await ended(address, *messages, path=path, origin=origin, headers=headers)
                assert (error["reason"], code) == ("ORIGIN_NOT_ALLOWED", 4403)
            async with aiohttp.ClientSession() as session:
                url, said = f"http://{address}/v1/info", {"Origin": origin} | headers
                async with session.get(url, headers=said) as answer:
                    assert answer.status == 403
        assert way.connections == 0, "nothing of theirs goes further"
        for address, origin in ((own, f"http://{own}"), (bridge.address, app)):
            assert await ended(address, *messages, origin=origin) == ({}, 1000)


async def test_versions(address: str) -> None:
    assert await refused(address, protocols=("affectstream.v9",)) == 400
    async with connected(address, protocols=("affectstream.v9", V1)) as socket:
        assert socket.socket.protocol == V1
    assert await ended(address, {"config": CONFIG}, END, protocols=()) == ({}, 1000)


async def test_over_tls(both: Both, pki: Pki) -> None:
    certificates = {"cert_file": pki.server.cert, "key_file": pki.server.key}
    async with running_bridge(both.server.address, **certificates) as bridge:
        context = ssl.create_default_context(cafile=pki.ca)
        port = bridge.address.rpartition(":")[2]
        url = f"https://localhost:{port}/v1/stream"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, ssl=context) as socket:
            await socket.send_json({"config": CONFIG})
            assert "sessionStarted" in (await socket.receive_json())["event"]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"listen": "0.0.0.0:0"}, "--insecure"),
        ({"server": "affect.example.org:50551"}, "--allow-plain-token"),
        ({"listen": "8080"}, "--listen"),
        ({"cert_file": "a.pem"}, "--tls-key"),
        ({"allow_origins": ("*",)}, "--allow-origin"),
        ({"allow_origins": ("https://a.example.org/",)}, "--allow-origin"),
    ],
)
def test_unsafe_settings_do_not_start(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        BridgeSettings(**({"server": "127.0.0.1:1"} | settings))  # type: ignore[arg-type]


def test_the_command_has_an_option_for_each() -> None:
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    shown = parser.format_help()
    for option in ("--insecure", "--allow-plain-token", "--tls-cert", "--tls-key", "--allow-origin", "--ca"):
        assert option in shown
