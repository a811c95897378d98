"""Environment variables of the command line: what it connects with where an option does not say."""

from __future__ import annotations

from typing import Final

CA: Final = "AFFECTSTREAM_CA"
CERT: Final = "AFFECTSTREAM_CERT"
KEY: Final = "AFFECTSTREAM_KEY"
SERVER_NAME: Final = "AFFECTSTREAM_SERVER_NAME"
TOKEN: Final = "AFFECTSTREAM_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE: Final = "AFFECTSTREAM_TOKEN_FILE"  # noqa: S105 - the name of a variable

CLIENT_ENV: Final = frozenset({CA, CERT, KEY, SERVER_NAME, TOKEN, TOKEN_FILE})
