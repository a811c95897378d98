"""`make web-shots`: pictures of the page with the sample talk, by Debian's chromium, into docs/images."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.async_api import Browser, async_playwright

from affectstream.bridge.bridge import Bridge
from affectstream.bridge.settings import BridgeSettings
from affectstream.commands.local_server import local_server

IMAGES: Final = Path(__file__).resolve().parents[1] / "docs/images"
MOST_BYTES: Final = 250_000
FLAGS: Final = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--mute-audio")
DESK: Final = {"viewport": {"width": 1200, "height": 800}, "device_scale_factor": 1.5}
PHONE: Final = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True}
SHOTS: Final[tuple[tuple[str, dict[str, Any], int], ...]] = (
    ("web-light", {**DESK, "color_scheme": "light"}, 0),
    ("web-dark", {**DESK, "color_scheme": "dark"}, 6),
    ("web-phone-light", {**PHONE, "color_scheme": "light"}, 6),
    ("web-phone-dark", {**PHONE, "color_scheme": "dark"}, 0),
)
"""File, context, and the utterance after which it is taken; 0: at the end."""
PICKED: Final = 6
"""The utterance that is shown at the end."""


async def main() -> int:
    """Make them all. Returns 1 without chromium, or where a picture is too large."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.stderr.write("make web-shots: needs a browser: apt-get install chromium fonts-inter\n")
        return 1
    log = Path("runs/web/server.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("AFFECTSTREAM_GUIDANCE__POLICY", "sensitive")  # as `make web` has it
    async with local_server(log) as server, async_playwright() as playwright:
        bridge = Bridge(BridgeSettings(server=server, listen="127.0.0.1:0", drain_s=0.2))
        await bridge.start()
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        try:
            sizes = [await _shot(browser, bridge.address, *shot) for shot in SHOTS]
        finally:
            await browser.close()
            await bridge.stop()
    return 1 if max(sizes) > MOST_BYTES else 0


async def _shot(browser: Browser, address: str, name: str, context: dict[str, Any], after: int) -> int:
    page = await browser.new_page(**context)
    await page.goto(f"http://{address}/")
    await page.wait_for_selector("#demonstrator:visible")
    await page.select_option("#speed", "4")
    await page.click("#use-sample")
    if after:
        await page.wait_for_selector(f"#log button.entry:nth-of-type({after})")
        await page.wait_for_timeout(900)
    else:
        await page.wait_for_selector("body[data-state=ended]")
        await page.click(f"#log button.entry:nth-last-of-type({PICKED})")
        await page.evaluate("() => { scrollTo(0, 0); document.activeElement.blur(); }")
        await page.mouse.move(0, 0)
        await page.wait_for_timeout(400)
    png = await page.screenshot(full_page=True)
    await page.close()
    path = IMAGES / f"{name}.png"
    # Flat colours: a palette of 256 shows no difference.
    Image.open(io.BytesIO(png)).convert("RGB").quantize(
        256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE
    ).save(path, optimize=True)
    size = path.stat().st_size
    sys.stdout.write(f"{path.relative_to(IMAGES.parents[1])}: {size // 1000} kB\n")
    return size


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
