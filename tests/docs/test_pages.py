"""Pages name nothing that is not there, each is in the navigation, and what is broken is found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.named import unknown
from tools.docs import pages
from tools.docs.pages import BrokenLink, Stager, place, titles, written
from tools.docs.site import faults

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {"examples.md"}

pytestmark = pytest.mark.xdist_group("pages")  # one process reads the source for names once


@pytest.mark.parametrize("page", written())
def test_a_page_names_what_is_there(page: str) -> None:
    assert unknown((ROOT / page).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("`server.max_streems`", "setting server.max_streems"),
        ("`AFFECTSTREAM_SERVER__MAX_STREEMS`", "variable AFFECTSTREAM_SERVER__MAX_STREEMS"),
        ("```yaml\nserver: {max_streems: 4}\n```", "setting server.max_streems"),
        ("```yaml\ntenants:\n  acme: {streems: 4}\n```", "setting tenants.NAME.streems"),
        ("`affectstream stream --spede 4`", "option --spede of 'affectstream stream --spede 4'"),
        ("```sh\naffectstream watch a --speed 4 | head -n 3\n```", "option --speed"),
        ("`--spede`", "option --spede of '--spede'"),
        ("refused with SESSION_NOT_FUOND", "word SESSION_NOT_FUOND"),
    ],
)
def test_what_is_not_there_is_found(text: str, what: str) -> None:
    (found,) = unknown(text)
    assert found.startswith(what)


def test_every_page_is_in_the_navigation() -> None:
    shown = set(titles())
    assert {place(page) for page in written()} - shown == set(), "to be added to nav of zensical.toml"
    assert {page for page in shown if not page.startswith("reference/")} - GENERATED == {
        place(page) for page in written()
    }


def test_links_lead_to_pages_copies_and_the_reference(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "LICENSE").write_text("the text")
    (tmp_path / "docs/client.md").write_text("# Client")
    (tmp_path / "docs/one.md").write_text(
        "[client.md](client.md#errors) [here](../LICENSE) `server.drain_s` `STREAM_AGE`\n"
        "```\n[client.md](client.md) `server.drain_s`\n```\n"
    )
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    stager = Stager()
    assert stager.page("docs/one.md") == (
        "[Python and the command line](client.md#errors) [here](files/LICENSE.txt) "
        "[`server.drain_s`](reference/settings.md#server) "
        "[`STREAM_AGE`](reference/errors.md#from-the-server)\n"
        "```\n[client.md](client.md) `server.drain_s`\n```\n"
    )
    assert stager.files == {"files/LICENSE.txt": "LICENSE"}
    (tmp_path / "docs/one.md").write_text("[docs/adr](../docs), [the clients](../docs)")
    assert stager.page("docs/one.md") == "`docs/adr`, the clients"
    (tmp_path / "docs/one.md").write_text("[client](clients.md)")
    with pytest.raises(BrokenLink, match=r"docs/one\.md: clients\.md is not there"):
        stager.page("docs/one.md")


def test_a_built_site_is_checked_as_a_browser_sees_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/index.html").write_text(
        '<h2 id="there">There</h2><a href="../#top">up</a><a id="top"></a>'
    )
    (tmp_path / "index.html").write_text(
        '<link rel="stylesheet" href="style.css"><a href="a/#there">good</a><a href="https://example.org">out</a>'
        '<a href="a/#nowhere">bad</a><a href="b/">bad</a><img src="gone.png">'
        '<script src="https://cdn.example.org/x.js"></script>'
    )
    (tmp_path / "style.css").write_text('@import url("https://fonts.example.org/a.css"); a { color: red }')
    assert faults(tmp_path) == [
        "a/index.html: ../#top: no such anchor",
        "index.html: fetches https://cdn.example.org/x.js from elsewhere",
        "index.html: a/#nowhere: no such anchor",
        "index.html: b/: no such file",
        "index.html: gone.png: no such file",
        "style.css: fetches https://fonts.example.org/a.css",
    ]
