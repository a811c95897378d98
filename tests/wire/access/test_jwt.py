"""JWTs over the wire, beside tokens of a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from affectstream import AffectClient, AffectStreamError, ServerUnavailable
from affectstream.errors import Unauthenticated
from affectstream_server.auth import tokens
from tests.support.jwt import AUDIENCE, ISSUER, Provider
from tests.support.wire import running_server

PROVIDER = Provider()


@pytest.fixture
def auth(tmp_path: Path) -> dict[str, Any]:
    keys = tmp_path / "keys.json"
    keys.write_text(PROVIDER.key_set())
    return {"jwks_file": str(keys), "issuer": ISSUER, "audience": AUDIENCE}


async def refusal(address: str, token: str) -> AffectStreamError:
    async with AffectClient(address, token=token) as client:
        with pytest.raises(AffectStreamError) as error:
            await client.server_info()
    return error.value


async def test_the_tenant_is_the_claim_and_tokens_of_a_file_serve_too(
    auth: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "tokens.yaml"
    secret, line = tokens.make("globex", "machine", None)
    file.write_text(line)
    async with running_server({"auth": auth | {"tokens_file": str(file)}}) as server:
        for token, tenant in ((PROVIDER.token("RS256"), "acme"), (secret, "globex")):
            async with AffectClient(server.address, token=token) as client, client.stream():
                (session,) = server.pipeline.sessions
                assert session.identity.tenant == tenant


async def test_bad_jwts_get_the_answer_of_every_bad_token(auth: dict[str, Any]) -> None:
    async with running_server({"auth": auth}) as server:
        bad = {
            "expired": PROVIDER.token(exp=int(time.time()) - 60),
            "of another's key": Provider().token(),
            "for another audience": PROVIDER.token(aud="payments"),
            "of no tenant": PROVIDER.token(tenant=None),
            "no JWT": "word",
            "a secret of no file": f"{tokens.PREFIX}word",
        }
        found = {name: await refusal(server.address, token) for name, token in bad.items()}
    assert {type(error) for error in found.values()} == {Unauthenticated}
    assert (
        len({(str(error), error.reason, error.field, error.value, error.limit) for error in found.values()})
        == 1
    )


async def test_while_the_keys_cannot_be_had_a_retry_is_asked_for(auth: dict[str, Any]) -> None:
    auth = auth | {"jwks_file": "", "jwks_url": "https://127.0.0.1:1/keys"}
    async with running_server({"auth": auth}) as server:
        error = await refusal(server.address, PROVIDER.token())
    assert isinstance(error, ServerUnavailable)
    assert error.reason == "NO_TOKEN_KEYS"
    assert error.retry_after_s == 10
