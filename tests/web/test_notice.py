"""What the server says to those who are heard stands on the page before any of their audio leaves it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Route, expect

from affectstream_server.auth import tokens
from tests.support.bridge import running_bridge
from tests.support.browser import DARK_PHONE, Visit, visit
from tests.support.fault_proxy import FaultProxy
from tests.support.wire import running_server
from tests.web.axe import findings

TEXT = "You are analysed."
NOTICE = {"transparency_notice": TEXT}
WITNESS = """
    window.shown = [];
    window.WebSocket = class extends WebSocket {
        constructor(...given) {
            super(...given);
            const notice = document.querySelector("#transparency");
            window.shown.push(notice.checkVisibility() ? notice.textContent : "");
        }
    };
"""
"""Keeps what of the notice could be seen when each WebSocket was made."""


async def witnessed(visitor: Visit) -> None:
    """Load the page anew, under this witness."""
    await visitor.page.add_init_script(WITNESS)
    await visitor.open()


async def shown(visitor: Visit) -> list[str]:
    found: list[str] = await visitor.page.evaluate("() => window.shown")
    return found


async def test_a_server_that_was_away_at_first(chromium: Browser) -> None:
    async with (
        running_server({"consent": NOTICE}) as server,
        FaultProxy(server.address) as proxy,
        running_bridge(proxy.address) as bridge,
        visit(chromium, bridge.address, permissions=["microphone"]) as visitor,
    ):
        await proxy.refuse()
        proxy.cut()
        await witnessed(visitor)
        await visitor.notice("The server is away")
        await visitor.page.click("#use-microphone")
        await visitor.state("failed")
        await proxy.accept()
        assert await shown(visitor) == []
        await visitor.page.click("#use-microphone")
        await visitor.state("live")
        assert await shown(visitor) == [TEXT]
        await visitor.no_notice("line")
        await visitor.page.click("#stop")
        await visitor.state("ended")


async def test_a_token_and_a_click_at_once(chromium: Browser, tmp_path: Path) -> None:
    secret, line = tokens.make("acme", "page", None)
    (tmp_path / "tokens.yaml").write_text(line)
    settings: dict[str, dict[str, Any]] = {
        "auth": {"tokens_file": str(tmp_path / "tokens.yaml")},
        "consent": {"required": True, **NOTICE},
    }

    async def slowly(route: Route) -> None:
        await asyncio.sleep(0.7)  # longer than a microphone takes to open
        await route.continue_()

    async with (
        running_server(settings) as server,
        running_bridge(server.address) as bridge,
        visit(chromium, bridge.address, permissions=["microphone"]) as visitor,
    ):
        await witnessed(visitor)
        await visitor.notice("This server asks for a token")
        await visitor.page.route("**/v1/info", slowly)
        await visitor.page.fill("#token", secret)
        await visitor.page.click("#use-microphone")
        await visitor.notice("Consent is needed first")
        assert await shown(visitor) == []
        await visitor.page.check("#consent")
        await visitor.page.click("#use-microphone")
        await visitor.state("live")
        assert await shown(visitor) == [TEXT]
        await visitor.page.click("#stop")
        await visitor.state("ended")


async def test_a_server_that_asks_for_consent(chromium: Browser, short_talk: Path) -> None:
    async with (
        running_server({"consent": {"required": True, **NOTICE}}) as server,
        running_bridge(server.address) as bridge,
        visit(chromium, bridge.address, **DARK_PHONE) as visitor,
    ):
        await expect(visitor.page.locator("#transparency")).to_have_text(TEXT)
        await visitor.play(short_talk)
        await visitor.notice("Consent is needed first")
        assert await findings(visitor) == []
        await visitor.page.check("#consent")
        await visitor.play(short_talk)
        await visitor.state("ended")
        assert len(await visitor.entries()) == 2
