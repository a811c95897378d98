"""Debian's Chromium with the bridge's page in it, as a visitor has it."""

from __future__ import annotations

import json
import shutil
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
)
DARK_PHONE: Final = {"viewport": {"width": 375, "height": 667}, "color_scheme": "dark", "is_mobile": True}
"""What a visitor has in the hand, as a browser's context."""
PATIENCE_MS: Final = 60_000
"""What a busy machine may take."""

_ENTRIES: Final = """() => [...document.querySelectorAll("#log button.entry")].map((entry) => {
    const text = (part) => entry.querySelector(part).lastChild.textContent;
    return [text(".number"), ...text(".when").split(" to "), entry.dataset.status, text(".what"),
            entry.querySelector(".how").textContent];
})"""
# A refusal is told to the page, which shows it; the browser's own line about it says no more.
_ITS_OWN_LINES: Final = ("Failed to load resource", "WebSocket connection to")


@dataclass(frozen=True, slots=True)
class Entry:
    """An utterance as the log says it in words."""

    number: int
    start_s: float
    end_s: float
    status: str
    verdict: str
    values: str


class Visit:
    """The page, opened. What it asked of other hosts, and what its console complained of, is kept."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.strangers: list[str] = []
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: self._asked(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._said(message.type, message.text))

    async def open(self) -> None:
        """Load it, and wait until it knows the server or that there is none."""
        async with self.page.expect_response(lambda response: response.url.endswith("/v1/info")):
            await self.page.goto(f"http://{self.address}/")
        await self.page.wait_for_load_state()

    async def state(self, *names: str, timeout_ms: int = PATIENCE_MS) -> None:
        """Wait until the connection stands so: idle, connecting, live, waiting, ending, ended, failed."""
        wanted = ", ".join(f"body[data-state={name}]" for name in names)
        await self.page.wait_for_selector(wanted, timeout=timeout_ms)

    async def play(self, file: Path, *, speed: int = 4) -> None:
        """Choose a recording."""
        await self.page.select_option("#speed", str(speed))
        await self.page.set_input_files("#file", file)

    async def notice(self, text: str) -> None:
        """Wait until a notice says this."""
        await expect(self.page.locator(".notice", has_text=text)).to_be_visible(timeout=PATIENCE_MS)

    async def no_notice(self, key: str) -> None:
        """Wait until the notice of this key is gone."""
        await expect(self.page.locator(f'.notice[data-key="{key}"]')).to_have_count(0, timeout=PATIENCE_MS)

    async def heard(self, count: int) -> None:
        """Wait until the log has so many utterances."""
        await expect(self.page.locator("#log button.entry").nth(count - 1)).to_be_visible(timeout=PATIENCE_MS)

    async def entries(self) -> list[Entry]:
        """The utterances of the log, the oldest first."""
        found: list[tuple[str, ...]] = await self.page.evaluate(_ENTRIES)
        return [
            Entry(int(number), _seconds(start), _seconds(end), *words)
            for number, start, end, *words in reversed(found)
        ]

    async def numbers_on_the_waveform(self) -> list[int]:
        """Of the utterances that are drawn over the waveform now."""
        texts = await self.page.locator("#bands [data-id]").all_inner_texts()
        return sorted(int(text.split()[0]) for text in texts)

    def _asked(self, url: str) -> None:
        if not url.startswith((f"http://{self.address}/", f"ws://{self.address}/", "blob:", "data:")):
            self.strangers.append(url)

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not text.startswith(_ITS_OWN_LINES):
            self.complaints.append(text)


@asynccontextmanager
async def browser(*flags: str) -> AsyncIterator[Browser]:
    """A browser of its own, with a new profile."""
    chromium = shutil.which("chromium")
    assert chromium, "the page's tests need Debian's package chromium"
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, *flags])
        try:
            yield started
        finally:
            await started.close()


@asynccontextmanager
async def visit(started: Browser, address: str, **context: Any) -> AsyncIterator[Visit]:
    """A visitor on the bridge's page; fails afterwards if it asked other hosts or its console complained.

    Without a word in ``context`` one who wants little motion: software draws here, and a machine is shared.
    """
    given: BrowserContext = await started.new_context(**({"reduced_motion": "reduce"} | context))
    visiting = Visit(await given.new_page(), address)
    try:
        await visiting.open()
        yield visiting
    finally:
        await given.close()
    assert visiting.strangers == []
    assert visiting.complaints == []


def recorded(samples: NDArray[np.int16], path: Path) -> Path:
    """Samples at 16 kHz as a WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
    return path


def message(event: dict[str, Any]) -> str:
    """An event as a bridge sends it."""
    return json.dumps({"event": event})


def _seconds(clock: str) -> float:
    minutes, _, seconds = clock.partition(":")
    return int(minutes) * 60 + float(seconds)
