"""Servers that are gone and back, full, or closed to strangers: shown, and the page goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, WebSocketRoute, expect

from affectstream_server.auth import tokens
from tests.support.bridge import running_bridge
from tests.support.browser import DARK_PHONE, Entry, Visit, message, visit
from tests.support.fault_proxy import FaultProxy
from tests.support.wire import running_server
from tests.web.axe import findings
from tests.web.printed import bounds, printed


async def wrong_token(visitor: Visit, token: str, said: str) -> None:
    await visitor.page.fill("#token", token)
    await visitor.page.click("#use-sample")
    await visitor.notice(said)
    await visitor.state("failed")


@pytest.mark.timeout(240)
async def test_a_line_that_drops_costs_no_utterance(chromium: Browser, server: str, talk: Path) -> None:
    expected = await printed(talk, server)
    async with (
        running_bridge(server) as bridge,
        FaultProxy(bridge.address) as proxy,
        visit(chromium, proxy.address) as visitor,
    ):
        await visitor.play(talk)
        await visitor.heard(1)
        await proxy.refuse()
        proxy.cut()
        await visitor.notice("The connection was lost")
        await expect(visitor.page.locator("#connection")).to_have_text("Reconnecting…")
        await proxy.accept()
        await visitor.no_notice("line")
        await visitor.heard(2)
        proxy.cut(politely=True)
        await visitor.state("ended")
        found = await visitor.entries()
        said = await visitor.page.locator("#log .said").all_inner_texts()
    assert "The connection is back; the talk goes on." in said
    assert same(found, expected, within_s=0.051)


@pytest.mark.timeout(240)
async def test_a_server_that_is_gone_and_back_begins_a_new_session(
    chromium: Browser, server: str, talk: Path
) -> None:
    expected = await printed(talk, server)
    async with (
        FaultProxy(server) as proxy,
        running_bridge(proxy.address) as bridge,
        visit(chromium, bridge.address) as visitor,
        running_server() as another,
    ):
        await visitor.play(talk)
        await visitor.heard(2)
        await proxy.refuse()
        proxy.cut()
        await visitor.notice("The server is away")
        proxy.retarget(another.address)
        await proxy.accept()
        await visitor.state("ended", timeout_ms=60_000)
        found = await visitor.entries()
        said = await visitor.page.locator("#log .said").all_inner_texts()
    assert any("began a new session" in text for text in said)
    # The new session begins inside the talk: its blocks, and with them the bounds, are others.
    assert same(found, expected, within_s=0.3)


async def test_a_server_that_asks_for_a_token(chromium: Browser, tmp_path: Path, short_talk: Path) -> None:
    secret, line = tokens.make("acme", "page", None)
    (tmp_path / "tokens.yaml").write_text(line)
    access = {"auth": {"tokens_file": str(tmp_path / "tokens.yaml")}}
    async with (
        running_server(access) as server,
        running_bridge(server.address) as bridge,
        visit(chromium, bridge.address, **DARK_PHONE) as visitor,
    ):
        await visitor.notice("This server asks for a token")
        await expect(visitor.page.locator("#token")).to_be_focused()
        assert await findings(visitor) == []
        await wrong_token(visitor, "not-the-one", "The server does not accept the token")
        await wrong_token(visitor, "with/slash=", "A browser cannot send this token")
        await wrong_token(visitor, "schlüssel", "A browser cannot send this token")
        await visitor.page.fill("#token", secret)
        await visitor.play(short_talk)
        await visitor.state("ended")
        assert len(await visitor.entries()) == 2
        kept = await visitor.page.evaluate(
            "() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
        )
        assert secret not in kept


async def test_a_full_server_is_said(chromium: Browser, talk: Path) -> None:
    full: dict[str, dict[str, Any]] = {"server": {"max_streams": 1}}
    async with (
        running_server(full) as server,
        running_bridge(server.address) as bridge,
        visit(chromium, bridge.address) as first,
        visit(chromium, bridge.address) as second,
    ):
        await first.play(talk, speed=1)
        await first.state("live")
        await second.play(talk)
        await second.notice("A limit was reached")
        await first.page.click("#stop")
        await first.state("ended")
        await second.state("live", "ending", "ended", "failed")


async def test_an_address_that_the_operator_did_not_name_is_said(
    chromium: Browser, address: str, short_talk: Path
) -> None:
    # Another name for the same bridge, as behind a proxy of which it was told nothing.
    async with visit(chromium, f"public.localhost:{address.rpartition(':')[2]}") as visitor:
        await visitor.play(short_talk)
        await visitor.notice("This address may not use the bridge")
        await visitor.state("failed")
        assert "--allow-origin" in await visitor.page.inner_text('.notice[data-key="line"]')


async def test_what_fails_after_each_start_is_not_tried_for_ever(
    chromium: Browser, address: str, short_talk: Path
) -> None:
    starts = 0

    async def fail(socket: WebSocketRoute) -> None:
        nonlocal starts
        starts += 1
        started = {"resumed": starts > 1, "resumeToken": "AAAA", "sessionEpoch": starts}
        socket.send(message({"sessionId": "s", "sequence": str(starts), "sessionStarted": started}))
        await socket.close(code=4503, reason="SERVER_UNREACHABLE")

    def answer(socket: WebSocketRoute) -> None:
        said: list[str | bytes] = []

        def tell(each: str | bytes) -> None:
            said.append(each)
            if len(said) == 1:
                asyncio.ensure_future(fail(socket))  # noqa: RUF006 - the page waits for it

        socket.on_message(tell)

    async with visit(chromium, address) as visitor:
        await visitor.page.clock.install()
        await visitor.page.route_web_socket("**/v1/stream", answer)
        await visitor.play(short_talk)
        await visitor.notice("The server is away")
        failed = visitor.page.locator("body[data-state=failed]")
        minutes = 0.0
        while not await failed.count() and minutes < 4:
            await visitor.page.clock.run_for(5_000)
            await asyncio.sleep(0.05)  # its WebSockets have no clock
            minutes += 5 / 60
        assert 1 < minutes < 2.5
        assert starts > 5


def same(found: list[Entry], expected: list[dict[str, Any]], *, within_s: float) -> bool:
    """Every utterance once, numbered, with its bounds."""
    assert [entry.number for entry in found] == list(range(1, len(expected) + 1))
    for entry, affect in zip(found, expected, strict=True):
        assert (entry.start_s, entry.end_s) == pytest.approx(bounds(affect), abs=within_s)
    return True


SAID = {
    4400: ("INVALID_ARGUMENT", "INVALID_FIELD", "The server refused what was sent"),
    4403: ("PERMISSION_DENIED", "ROLE", "This is not permitted"),
    4404: ("NOT_FOUND", "MODEL_NOT_FOUND", "The session is over"),
    4408: ("DEADLINE_EXCEEDED", "START_TIMED_OUT", "The connection was lost"),
    4409: ("ABORTED", "SUPERSEDED", "Another page has this session"),
    4412: ("FAILED_PRECONDITION", "CONSENT_REQUIRED", "The server asks for something first"),
    4429: ("RESOURCE_EXHAUSTED", "AUDIO_RATE", "A limit was reached"),
    4500: ("INTERNAL", "INTERNAL_FAULT", "The server failed"),
    4501: ("UNIMPLEMENTED", "NOT_SERVED", "The server does not serve this"),
    4503: ("UNAVAILABLE", "BRIDGE_STOPPING", "The bridge is stopping"),
}


async def test_each_error_says_what_to_do(chromium: Browser, address: str, short_talk: Path) -> None:
    async with visit(chromium, address) as visitor:
        for code, (status, reason, title) in SAID.items():

            async def refuse(socket: WebSocketRoute, *said: Any) -> None:
                code, status, reason = said
                error = f'{{"status": "{status}", "reason": "{reason}", "message": "field: got 1, limit 2"}}'
                socket.send(f'{{"error": {error}}}')
                await socket.close(code=code, reason=reason)

            def answer(socket: WebSocketRoute, said: Any = (code, status, reason)) -> None:
                socket.on_message(lambda _: asyncio.ensure_future(refuse(socket, *said)))

            await visitor.page.route_web_socket("**/v1/stream", answer)
            await visitor.play(short_talk)
            await visitor.notice(title)
            await visitor.state("failed", "waiting")
            if await visitor.page.locator("body[data-state=failed]").count():
                assert "got 1, limit 2" in await visitor.page.inner_text(".notice")
            else:
                await visitor.page.click("#stop")
                await visitor.page.click("#stop")
                await visitor.state("ended")
