"""A throw-away CA, and certificates that are good or bad in one way each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import trustme

PAST = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of a certificate with its chain, and of its key."""

    cert: str
    key: str


def content(file: str) -> bytes:
    """What is in it."""
    return Path(file).read_bytes()


def write(file: str, data: bytes) -> None:
    """Put it there at once, as those who renew certificates do."""
    fresh = Path(f"{file}.new")
    fresh.write_bytes(data)
    fresh.replace(file)


class Authority:
    """A CA with its certificate in a file."""

    def __init__(self, folder: Path, name: str) -> None:
        self._ca = trustme.CA(organization_name=name)
        self._folder = folder
        self._name = name
        self._issued = 0
        self.file = str(folder / f"{name}.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def issue(
        self, *names: str, expired: bool = False, until: datetime | None = None, file: str = ""
    ) -> Pair:
        """A certificate for these names, in new files, or in place of what is in ``file``."""
        self._issued += 1
        made = self._ca.issue_cert(*names, not_after=PAST if expired else until)
        stem = self._folder / (file or f"{self._name}-{self._issued}")
        pair = Pair(f"{stem}.cert.pem", f"{stem}.key.pem")
        for path, blobs in ((pair.cert, made.cert_chain_pems), (pair.key, (made.private_key_pem,))):
            write(path, b"".join(blob.bytes() for blob in blobs))
        return pair


class Pki:
    """A server's certificate, for localhost, and the CAs that callers may or may not trust."""

    def __init__(self, folder: Path) -> None:
        self.ours = Authority(folder, "ours")
        self.theirs = Authority(folder, "theirs")
        self.server = self.ours.issue("localhost", file="server")
        self.ca = self.ours.file
