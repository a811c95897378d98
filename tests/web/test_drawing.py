"""How a model with valence, and guidance, would be drawn: events made here, by the page's own way in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, WebSocketRoute, expect

from affectstream.enums import AffectStatus
from affectstream.palette import COLOURS
from tests.support.browser import DARK_PHONE, Visit, message, visit
from tests.web.axe import findings

PLACES = ((0.2, 0.9, "angry"), (0.8, 0.8, "happy"), (0.3, 0.2, "sad"))
LABELS = ("neutral", "happy", "sad", "angry")
MODEL = {"name": "of-this-test", "version": "1.0.0", "dimensions": ["valence", "arousal"]}


def affect(number: int, **fields: Any) -> dict[str, Any]:
    """A final event, OK unless said otherwise."""
    valence, arousal, top = PLACES[number % len(PLACES)]
    shares = [{"label": label, "probability": 0.7 if label == top else 0.1} for label in LABELS]
    return {
        "affect": {
            "utteranceId": f"u-{number}",
            "audioStart": f"{2 * number}.000s",
            "audioEnd": f"{2 * number + 1}.500s",
            "stage": "STAGE_FINAL",
            "status": "AFFECT_STATUS_OK",
            "emotions": shares,
            "topLabel": top,
            "dimensions": {"valence": valence, "arousal": arousal},
            **fields,
        }
    }


async def fed(visitor: Visit, talk: Path, *events: dict[str, Any]) -> None:
    """Answer the page's WebSocket with these, as a bridge would."""
    started = {"sessionStarted": {"model": MODEL, "sessionEpoch": 1}}

    def answer(socket: WebSocketRoute) -> None:
        asked: list[str | bytes] = []

        def tell(said: str | bytes) -> None:
            asked.append(said)
            if len(asked) == 1:
                for sequence, event in enumerate((started, *events), start=1):
                    socket.send(message({"sessionId": "s", "sequence": str(sequence), **event}))
            if isinstance(said, str) and "endOfAudio" in said:
                closed = {"sessionClosed": {"reason": "CLOSE_REASON_END_OF_AUDIO"}}
                socket.send(message({"sessionId": "s", "sequence": str(len(events) + 2), **closed}))
                asyncio.ensure_future(socket.close(code=1000))  # noqa: RUF006 - the page waits for it

        socket.on_message(tell)

    await visitor.page.route_web_socket("**/v1/stream", answer)
    await visitor.play(talk)


async def test_valence_is_drawn_as_a_trail_on_a_plane(
    chromium: Browser, address: str, short_talk: Path
) -> None:
    async with visit(chromium, address) as visitor:
        await fed(visitor, short_talk, *(affect(number) for number in range(3)))
        await visitor.state("ended")
        await expect(visitor.page.locator("#plane-title")).to_have_text("Valence and arousal")
        plane = visitor.page.locator('svg[data-chart="plane"]')
        assert "Newest: utterance 3, valence 0.30, arousal 0.20" in (
            await plane.get_attribute("aria-label") or ""
        )
        await expect(plane.locator("line.way")).to_have_count(2)
        frame = await plane.locator(".frame").bounding_box()
        assert frame is not None
        for number, (valence, arousal, top) in enumerate(PLACES):
            dot = plane.locator(f'.dot[data-id="u-{number}"]')
            assert f"emotion-{top}" in (await dot.get_attribute("class") or "")
            box = await dot.locator(".point").bounding_box()
            assert box is not None
            x = (box["x"] + box["width"] / 2 - frame["x"]) / frame["width"]
            y = 1 - (box["y"] + box["height"] / 2 - frame["y"]) / frame["height"]
            assert (round(x, 2), round(y, 2)) == (valence, arousal)
        assert await findings(visitor) == []


async def test_guidance_and_every_status_in_words(chromium: Browser, address: str, short_talk: Path) -> None:
    statuses = [name for name in AffectStatus.__members__ if name not in ("UNSPECIFIED", "OK")]
    bare = {"emotions": [], "topLabel": "", "dimensions": {}, "statusDetail": "Because of this test."}
    guidance = {"text": "A calm, brief reply may fit.", "styleTags": ["calm", "brief"]}
    events = [affect(0, guidance=guidance)] + [
        affect(number, status=f"AFFECT_STATUS_{name}", **bare) for number, name in enumerate(statuses, 1)
    ]
    newer = affect(len(events), status="AFFECT_STATUS_OF_A_LATER_SERVER", **bare)
    strange = {"ofALaterServer": {"anything": 1}}
    async with visit(chromium, address, **DARK_PHONE) as visitor:
        await fed(visitor, short_talk, *events, newer, strange)
        await visitor.state("ended")
        found = await visitor.entries()
        assert [entry.status for entry in found] == ["OK", *statuses, "OF_A_LATER_SERVER"]
        words = [entry.verdict for entry in found]
        assert len(set(words)) == len(words)
        assert words[0] == "Sounds angry"
        assert words[-1] == "of a later server"
        await expect(visitor.page.locator("#guidance")).to_be_hidden()
        await visitor.page.locator("#log button.entry").last.click()
        await expect(visitor.page.locator("#guidance-text")).to_have_text(guidance["text"])
        assert await visitor.page.locator("#guidance-tags li").all_inner_texts() == ["calm", "brief"]
        assert await findings(visitor) == []
        await visitor.page.click("#follow")
        await expect(visitor.page.locator("#guidance")).to_be_hidden()
        await expect(visitor.page.locator("#verdict-detail")).to_have_text("Because of this test.")


async def test_emotions_have_the_colours_that_they_have_elsewhere(chromium: Browser, address: str) -> None:
    read = """(labels) => labels.map((label) => {
        const made = document.body.appendChild(document.createElement("i"));
        made.className = `emotion-${label}`;
        return getComputedStyle(made).getPropertyValue("--emotion").trim().toUpperCase();
    })"""
    async with visit(chromium, address, color_scheme="light") as visitor:
        assert await visitor.page.evaluate(read, list(COLOURS)) == list(COLOURS.values())
