"""What the page shows of a talk is what the command line prints of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.support.browser import Entry, visit
from tests.web.printed import bounds, printed

BEFORE_S = 2.5
"""The fake microphone begins its file when it is opened, and goes on while the page connects."""


def told(affect: dict[str, Any]) -> tuple[str, str]:
    return affect["status"].removeprefix("AFFECT_STATUS_"), affect.get("topLabel", "")


def label(entry: Entry) -> str:
    words = entry.verdict if entry.status == "OK" else entry.values.partition(" %")[0].rpartition(" ")[0]
    return words.rpartition(" ")[2]


@pytest.mark.timeout(240)
async def test_a_talk_through_the_microphone(
    chromium: Browser, server: str, address: str, talk: Path
) -> None:
    expected = await printed(talk, server)
    async with visit(
        chromium, address, permissions=["microphone"], reduced_motion="no-preference"
    ) as visitor:
        await visitor.page.click("#use-microphone")
        await visitor.state("live")
        await expect(visitor.page.locator("#connection")).to_have_text("Listening")
        await visitor.heard(len(expected))
        await visitor.page.wait_for_timeout(500)
        await visitor.page.click("#stop")
        await visitor.state("ended")
        found = await visitor.entries()
        assert [(entry.status, label(entry)) for entry in found] == [told(affect) for affect in expected]
        offsets = [
            (entry.start_s - bounds(affect)[0], entry.end_s - bounds(affect)[1])
            for entry, affect in zip(found, expected, strict=True)
        ]
        assert all(-BEFORE_S < start <= 0.2 for start, _ in offsets)
        flat = [offset for pair in offsets for offset in pair]
        assert max(flat) - min(flat) < 0.25, f"one offset for all, but for rounding and blocks: {offsets}"
        assert await visitor.numbers_on_the_waveform() == [entry.number for entry in found]
        arousals = [float(entry.values.rpartition(" ")[2]) for entry in found]
        assert arousals == pytest.approx([a["dimensions"]["arousal"] for a in expected], abs=0.05)
        await expect(visitor.page.locator("#facts")).to_contain_text(f"Utterances{len(found)}")
        await expect(visitor.page.locator('[data-stage="hangoverMs"] .value')).to_contain_text("ms")


async def test_a_recording_is_shown_to_the_tenth(
    chromium: Browser, server: str, address: str, short_talk: Path
) -> None:
    expected = await printed(short_talk, server)
    async with visit(chromium, address) as visitor:
        await visitor.play(short_talk)
        await visitor.state("ended")
        found = await visitor.entries()
        assert [(entry.status, label(entry)) for entry in found] == [told(affect) for affect in expected]
        for entry, affect in zip(found, expected, strict=True):
            assert (entry.start_s, entry.end_s) == pytest.approx(bounds(affect), abs=0.051)
        last = expected[-1]
        rows = visitor.page.locator("#distribution .row")
        assert await rows.count() == len(last["emotions"])
        for index, emotion in enumerate(last["emotions"]):
            share = round(emotion.get("probability", 0) * 100)
            await expect(rows.nth(index).locator(".name")).to_have_text(emotion["label"])
            await expect(rows.nth(index).locator(".value")).to_have_text(f"{share} %")
        assert last["status"] == "AFFECT_STATUS_ABSTAINED"
        await expect(visitor.page.locator("#verdict")).to_have_text("Not sure enough to say")
        await expect(visitor.page.locator("#verdict-detail")).to_have_text(
            last["statusDetail"][0].upper() + last["statusDetail"][1:].rstrip(".") + "."
        )
        await expect(visitor.page.locator("#demonstrator")).to_be_visible()


async def test_what_is_no_recording_is_said_and_the_next_one_plays(
    chromium: Browser, address: str, short_talk: Path, tmp_path: Path
) -> None:
    text = tmp_path / "notes.wav"
    text.write_text("this is no audio")
    async with visit(chromium, address) as visitor:
        await visitor.play(text)
        await visitor.notice("cannot read the recording")
        await visitor.state("idle")
        await visitor.play(short_talk)
        await visitor.state("ended")
        assert len(await visitor.entries()) == 2
        await visitor.no_notice("source")
