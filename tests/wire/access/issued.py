"""Tokens, good and bad, and a server that asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from affectstream_server.auth import tokens
from affectstream_server.lifecycle import Server
from tests.support.wire import running_server

GONE = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Issued:
    """A tokens file, and the secrets of what is in it."""

    file: Path
    acme: str
    globex: str
    expired: str
    unknown: str

    @property
    def bad(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """The metadata of calls that must be refused."""
        good = f"Bearer {self.acme}"
        return {
            "missing": (),
            "empty": (("authorization", ""),),
            "no token": (("authorization", "Bearer "),),
            "another scheme": (("authorization", f"Basic {self.acme}"),),
            "no scheme": (("authorization", self.acme),),
            "unknown": (("authorization", f"Bearer {self.unknown}"),),
            "expired": (("authorization", f"Bearer {self.expired}"),),
            "one letter less": (("authorization", good[:-1]),),
            "another case": (("authorization", f"Bearer {self.acme.swapcase()}"),),
            "its hash": (("authorization", f"Bearer {hash_in(self.file)}"),),
            "too long": (("authorization", f"Bearer {'x' * 7_000}"),),
            "twice": (("authorization", good), ("authorization", good)),
            "under another key": (("x-authorization", good),),
            "a JWT, which is not taken": (("authorization", "Bearer eyJhbGciOiJub25lIn0.e30."),),
        }


def hash_in(file: Path) -> str:
    """The hash of its first token."""
    return file.read_text().partition("sha256: ")[2][:64]


def issue(folder: Path) -> Issued:
    """Make a file with three of them."""
    file = folder / "tokens.yaml"
    secrets, lines = zip(
        tokens.make("acme", "agent", None),
        tokens.make("globex", "agent", None),
        tokens.make("acme", "old", GONE),
        tokens.make("acme", "never written", None),
        strict=True,
    )
    file.write_text("".join(lines[:3]))
    return Issued(file, *secrets)


@asynccontextmanager
async def serving(issued: Issued) -> AsyncIterator[Server]:
    """A server that asks for them."""
    async with running_server({"auth": {"tokens_file": str(issued.file)}}) as server:
        yield server
