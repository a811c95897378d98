"""For everyone: no serious finding of axe, a talk by keyboard alone, in words, without motion, on a phone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.support.browser import visit
from tests.web.axe import findings

DESK = {"width": 1280, "height": 900}
PHONE = {"width": 375, "height": 667}


async def looked_at(started: Browser, address: str, talk: Path, **context: Any) -> None:
    """Running, ended, and as it begins with a notice: nothing serious, and nothing to scroll sideways."""
    async with visit(started, address, **context) as visitor:
        await visitor.play(talk)
        await visitor.heard(1)
        assert await findings(visitor) == []
        await visitor.state("ended")
        assert await findings(visitor) == []
        await visitor.open()
        await visitor.play(talk.with_name("none.txt"))
        await visitor.notice("cannot read the recording")
        assert await findings(visitor) == []
        wide = await visitor.page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0


@pytest.mark.timeout(240)
async def test_axe_finds_nothing_serious(chromium: Browser, address: str, short_talk: Path) -> None:
    short_talk.with_name("none.txt").write_text("no audio")
    await asyncio.gather(
        looked_at(chromium, address, short_talk, viewport=DESK, color_scheme="light"),
        looked_at(chromium, address, short_talk, viewport=DESK, color_scheme="dark"),
        looked_at(chromium, address, short_talk, viewport=PHONE, color_scheme="light", is_mobile=True),
    )


@pytest.mark.timeout(240)
async def test_a_talk_by_keyboard_alone(chromium: Browser, address: str) -> None:
    async with visit(chromium, address, reduced_motion="reduce") as visitor:
        page = visitor.page
        await page.keyboard.press("Tab")
        await expect(page.locator("#use-microphone")).to_be_focused()
        for _ in range(3):
            await page.keyboard.press("Tab")
        await expect(page.locator("#speed")).to_be_focused()
        await page.keyboard.press("4")
        await page.keyboard.press("Shift+Tab")
        await expect(page.locator("#use-sample")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#stop")).to_be_focused()
        await visitor.heard(2)
        log = page.get_by_role("log")
        await expect(log).to_contain_text("Not sure enough to say")
        assert await log.get_attribute("aria-live") == "polite"
        await page.keyboard.press("Enter")
        await visitor.state("ended")
        await expect(page.locator("#use-sample")).to_be_focused()
        first = page.locator("#log button.entry").last
        await first.focus()
        await page.keyboard.press("Space")
        await expect(first).to_have_attribute("aria-pressed", "true")
        await expect(page.locator("#now-which")).to_contain_text("Utterance 1 ")
        moving = await page.evaluate("() => document.getAnimations().length")
        assert moving == 0
