"""A microphone that is not allowed, not there, or taken away; and a tab that sleeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.support.browser import Visit, browser, visit

KEEP = """
    window.kept = { contexts: [], streams: [] };
    window.AudioContext = class extends AudioContext {
        constructor(options) { super(options); window.kept.contexts.push(this); }
    };
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
        const stream = await ask(wanted);
        window.kept.streams.push(stream);
        return stream;
    };
"""
"""Lets a test do to the page's audio what a browser or a cable would."""
SLOW = """
    const soon = navigator.mediaDevices.getUserMedia;
    navigator.mediaDevices.getUserMedia = async (wanted) => {
        await new Promise((done) => setTimeout(done, 700));
        return soon(wanted);
    };
"""
UNPLUG = """() => {
    const track = window.kept.streams.at(-1).getTracks()[0];
    track.stop();
    track.dispatchEvent(new Event("ended"));
}"""


async def listening(visitor: Visit) -> None:
    """Load the page anew, with its audio in reach, and use the microphone."""
    await visitor.page.add_init_script(KEEP)
    await visitor.open()
    await visitor.page.click("#use-microphone")
    await visitor.state("live")


async def goes_on(visitor: Visit) -> None:
    """Wait until more is heard than now."""
    shown = await visitor.page.inner_text("#now-playing-text")
    await expect(visitor.page.locator("#now-playing-text")).not_to_have_text(shown)


async def test_a_denied_microphone_is_said_and_a_recording_offered(
    chromium: Browser, address: str, short_talk: Path
) -> None:
    async with visit(chromium, address) as visitor:
        await visitor.page.click("#use-microphone")
        await visitor.notice("The microphone was not allowed")
        await visitor.state("idle")
        async with visitor.page.expect_file_chooser() as choosing:
            await visitor.page.click('.notice button:has-text("Choose a recording")')
        await visitor.page.select_option("#speed", "4")
        await (await choosing.value).set_files(short_talk)
        await visitor.state("ended")
        assert len(await visitor.entries()) == 2


async def test_no_microphone_is_said(address: str) -> None:
    async with browser() as bare, visit(bare, address, permissions=["microphone"]) as visitor:
        await visitor.page.click("#use-microphone")
        await visitor.notice("No microphone was found")
        await expect(visitor.page.locator("#use-microphone")).to_be_visible()


async def test_who_stops_before_the_microphone_is_there_is_not_heard(chromium: Browser, address: str) -> None:
    async with visit(chromium, address, permissions=["microphone"]) as visitor:
        page = visitor.page
        await page.add_init_script(KEEP + SLOW)
        await visitor.open()
        await page.click("#use-microphone")
        await page.click("#stop")
        await expect(page.locator("#use-microphone")).to_be_visible()
        await visitor.state("idle")
        assert await page.evaluate("() => window.kept.streams[0].getTracks()[0].readyState") == "ended"


@pytest.mark.timeout(240)
async def test_audio_that_stops_is_said_and_goes_on(chromium: Browser, address: str) -> None:
    async with visit(chromium, address, permissions=["microphone"]) as visitor:
        await listening(visitor)
        page = visitor.page

        await page.evaluate("() => window.kept.contexts.at(-1).suspend()")
        await visitor.notice("The browser paused the audio")
        await page.click('.notice button:has-text("Go on")')
        await visitor.no_notice("source")
        await goes_on(visitor)

        await page.evaluate(UNPLUG)
        await visitor.notice("The microphone was taken away")
        await page.evaluate("() => navigator.mediaDevices.dispatchEvent(new Event('devicechange'))")
        await visitor.no_notice("source")
        await goes_on(visitor)

        await page.click("#stop")
        await visitor.state("ended")


@pytest.mark.timeout(240)
async def test_a_tab_that_slept_says_what_it_did_not_hear(chromium: Browser, address: str) -> None:
    async with visit(chromium, address, permissions=["microphone"]) as visitor:
        await listening(visitor)
        page = visitor.page
        await goes_on(visitor)
        # What a laptop that is closed does: no script runs, no audio comes, and then all goes on.
        await page.evaluate("() => window.kept.contexts.at(-1).suspend()")
        await page.evaluate("() => { const until = Date.now() + 3000; while (Date.now() < until); }")
        await page.evaluate("() => window.kept.contexts.at(-1).resume()")
        await visitor.notice("were not heard")
        title = await page.inner_text('.notice[data-key="asleep"] strong')
        assert 2.5 < float(title.split()[0].partition(":")[2]) < 12
        await visitor.no_notice("source")
        await goes_on(visitor)
        await page.click("#stop")
        await visitor.state("ended")
