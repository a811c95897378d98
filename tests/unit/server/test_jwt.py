"""JWTs: what is taken, and what each kind of bad one is called in our log."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from affectstream_server.auth import Identity, jwks
from affectstream_server.auth.authenticator import Authenticator
from affectstream_server.auth.refusal import CannotTell, Cause, NotAccepted
from affectstream_server.section import SettingsError
from affectstream_server.settings_access import AuthSettings
from tests.support.jwt import AUDIENCE, ISSUER, Provider
from tests.support.pki import Pki, write

PROVIDER = Provider()
OTHERS = Provider()


def settings(**more: Any) -> AuthSettings:
    return AuthSettings(issuer=ISSUER, audience=AUDIENCE, **more)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "keys.json"
    file.write_text(PROVIDER.key_set())
    return file


@pytest.fixture
def authenticator(key_file: Path) -> Authenticator:
    return Authenticator(settings(jwks_file=str(key_file)))


async def outcome(authenticator: Authenticator, token: str) -> Identity | Cause:
    try:
        return await authenticator.identify([f"Bearer {token}"])
    except NotAccepted as refused:
        return refused.cause


@pytest.mark.parametrize("algorithm", PROVIDER.keys)
async def test_each_kind_of_key_lets_in(authenticator: Authenticator, algorithm: str) -> None:
    assert await outcome(authenticator, PROVIDER.token(algorithm)) == Identity("acme", "agent-1")


def _unsigned() -> str:
    def part(said: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")

    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 99, "tenant": "acme"}
    return f"{part({'alg': 'none', 'kid': 'ES256'})}.{part(claims)}."


def _tampered() -> str:
    head, _, signature = PROVIDER.token().split(".")
    return f"{head}.{PROVIDER.token(tenant='globex').split('.')[1]}.{signature}"


def _nested() -> str:
    return base64.urlsafe_b64encode(b"[" * 4_000).decode().rstrip("=") + ".e30.e30"


BAD: dict[str, tuple[Callable[[], str], Cause]] = {
    "of another's key": (OTHERS.token, Cause.SIGNATURE),
    "a key that is not in the set": (lambda: PROVIDER.token(key_id="other"), Cause.SIGNATURE),
    "no key named": (lambda: PROVIDER.token(key_id=None), Cause.SIGNATURE),
    "changed": (_tampered, Cause.SIGNATURE),
    "signed with a secret": (
        lambda: PROVIDER.token("HS256", key="k" * 64, key_id="ES256"),
        Cause.SIGNATURE,
    ),
    "not signed": (_unsigned, Cause.SIGNATURE),
    "signed by another key of the set": (lambda: PROVIDER.token("RS256", key_id="ES256"), Cause.SIGNATURE),
    "no JWT": (lambda: "a.b.c", Cause.UNKNOWN),
    "a head without end": (_nested, Cause.UNKNOWN),
    "expires at infinity": (lambda: PROVIDER.token(exp=float("inf")), Cause.UNKNOWN),
    "one word": (lambda: "word", Cause.UNKNOWN),
    "expired": (lambda: PROVIDER.token(exp=int(time.time()) - 11), Cause.EXPIRED),
    "never expires": (lambda: PROVIDER.token(exp=None), Cause.CLAIMS),
    "not valid yet": (lambda: PROVIDER.token(nbf=int(time.time()) + 60), Cause.CLAIMS),
    "another issuer": (lambda: PROVIDER.token(iss="https://id.example.evil"), Cause.ISSUER),
    "a part of the issuer": (lambda: PROVIDER.token(iss="https://id"), Cause.ISSUER),
    "no issuer": (lambda: PROVIDER.token(iss=None), Cause.CLAIMS),
    "another audience": (lambda: PROVIDER.token(aud=["payments"]), Cause.AUDIENCE),
    "no audience": (lambda: PROVIDER.token(aud=None), Cause.CLAIMS),
    "no tenant": (lambda: PROVIDER.token(tenant=None), Cause.CLAIMS),
    "a tenant that is no name": (lambda: PROVIDER.token(tenant="a/b"), Cause.CLAIMS),
    "a tenant that is a list": (lambda: PROVIDER.token(tenant=["acme"]), Cause.CLAIMS),
}


@pytest.mark.fault("token")
@pytest.mark.parametrize("name", BAD)
async def test_what_is_bad_is_refused(authenticator: Authenticator, name: str) -> None:
    make, cause = BAD[name]
    assert await outcome(authenticator, make()) is cause


@pytest.mark.fault("token")
@given(
    st.one_of(
        st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200),
        st.lists(st.binary(max_size=60).map(lambda part: base64.urlsafe_b64encode(part).decode())).map(
            ".".join
        ),
    )
)
@settings_of(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_made_up_gets_in_or_breaks_anything(authenticator: Authenticator, token: str) -> None:
    assert isinstance(asyncio.run(outcome(authenticator, token)), Cause)


async def test_clocks_may_differ_a_little(authenticator: Authenticator) -> None:
    token = PROVIDER.token(exp=int(time.time()) - 5, nbf=int(time.time()) + 5)
    assert await outcome(authenticator, token) == Identity("acme", "agent-1")


async def test_another_claim_can_name_the_tenant(key_file: Path) -> None:
    authenticator = Authenticator(settings(jwks_file=str(key_file), tenant_claim="org_id"))
    assert await outcome(authenticator, PROVIDER.token(org_id="globex")) == Identity("globex", "agent-1")


async def test_a_key_that_left_the_file_opens_nothing_more(
    authenticator: Authenticator, key_file: Path
) -> None:
    token = PROVIDER.token()
    assert isinstance(await outcome(authenticator, token), Identity)
    write(str(key_file), OTHERS.key_set().encode())
    assert await outcome(authenticator, token) is Cause.SIGNATURE
    assert isinstance(await outcome(authenticator, OTHERS.token()), Identity)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a JSON Web Key Set"),
        ("[]", "not a JSON Web Key Set"),
        ('{"keys": []}', "no signing key"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a", "alg": "HS256"}]}', "no signing key"),
        (json.dumps({"keys": [PROVIDER.jwk("ES256") | {"use": "enc"}]}), "no signing key"),
        (json.dumps({"keys": [{}] * 65}), "at most 64 keys"),
    ],
    # A key is made anew each time, and processes that share the tests must collect the same.
    ids=["nothing", "a list", "no keys", "a secret", "not for signing", "too many"],
)
def test_a_set_without_a_key_for_us_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        Authenticator(settings(jwks_file=str(file)))
    assert str(error.value).startswith(f"auth.jwks_file: {file}: ")
    assert words in str(error.value)


def test_keys_that_we_do_not_know_stand_in_nobodys_way() -> None:
    odd = (
        {"kty": "XYZ", "kid": "odd"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "s"},
        PROVIDER.jwk("ES256", "new"),
    )
    assert set(jwks.parse(PROVIDER.key_set(*odd).encode())) == {*PROVIDER.keys, "new"}


# -- keys at an address ----------------------------------------------------------------------------


class Site:
    """An https server that says what it is told to, and counts who asks."""

    def __init__(self) -> None:
        self.status, self.body, self.asked, self.wait_s = 200, PROVIDER.key_set().encode(), 0, 0.0
        self.location = ""


@contextmanager
def site(pki: Pki) -> Iterator[tuple[Site, AuthSettings]]:
    told = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.asked += 1
            time.sleep(told.wait_s)
            self.send_response(told.status)
            if told.location:
                self.send_header("Location", told.location)
            self.end_headers()
            with suppress(OSError):  # who asked has heard enough
                self.wfile.write(told.body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server.cert, pki.server.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        url = f"https://localhost:{server.server_port}/keys"
        yield told, settings(jwks_url=url, jwks_ca_file=pki.ca, jwks_refresh_s=10)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def pki(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pki:
    monkeypatch.setenv("no_proxy", "localhost")
    return Pki(tmp_path)


async def test_keys_are_fetched_once_for_many_calls(pki: Pki) -> None:
    with site(pki) as (told, where):
        authenticator = Authenticator(where)
        told.wait_s = 0.1
        found = await asyncio.gather(*(outcome(authenticator, PROVIDER.token()) for _ in range(20)))
        assert set(found) == {Identity("acme", "agent-1")}
        assert told.asked == 1
        await authenticator.close()


async def test_a_new_key_is_looked_for_at_once_and_unknown_ones_cannot_make_us_ask_often(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site(pki) as (told, where):
        authenticator = Authenticator(where)
        assert isinstance(await outcome(authenticator, PROVIDER.token()), Identity)
        told.body = OTHERS.key_set(OTHERS.jwk("ES256", "new")).encode()
        for _ in range(50):
            assert await outcome(authenticator, OTHERS.token(key_id="new")) is Cause.SIGNATURE
        assert told.asked == 1, "within 10 s of the last time"
        monkeypatch.setattr(jwks, "_AGAIN_S", 0.0)
        assert isinstance(await outcome(authenticator, OTHERS.token(key_id="new")), Identity)
        assert told.asked == 2
        await authenticator.close()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ({"status": 500}, "500"),
        ({"status": 302, "location": "https://localhost:1/elsewhere"}, "302"),
        ({"body": b"<html>"}, "not a JSON Web Key Set"),
        ({"body": b" " * 300_000}, "longer than 262144 bytes"),
    ],
)
async def test_while_none_can_be_had_nobody_is_told_that_the_token_is_bad(
    pki: Pki,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    harm: dict[str, Any],
    words: str,
) -> None:
    with site(pki) as (told, where):
        good = told.body
        for name, value in harm.items():
            setattr(told, name, value)
        authenticator = Authenticator(where)
        for _ in range(3):
            with pytest.raises(CannotTell):
                await authenticator.identify([f"Bearer {PROVIDER.token()}"])
        (told_us,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert "auth.jwks_url: keys cannot be had, none is at hand" in told_us
        assert words in told_us
        monkeypatch.setattr(jwks, "_AGAIN_S", 0.0)
        told.status, told.body, told.location = 200, good, ""
        assert isinstance(await outcome(authenticator, PROVIDER.token()), Identity)
        told.status = 500
        assert isinstance(await outcome(authenticator, PROVIDER.token()), Identity), "those before stay"
        await authenticator.close()


async def test_a_site_that_another_ca_signed_is_not_believed(
    pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    with site(pki) as (_, where):
        authenticator = Authenticator(where.model_copy(update={"jwks_ca_file": pki.theirs.file}))
        with pytest.raises(CannotTell):
            await authenticator.identify([f"Bearer {PROVIDER.token()}"])
        assert "certificate verify failed" in caplog.text
        await authenticator.close()


async def test_a_site_that_drips_is_left(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "_FETCH_S", 0.2)
    with site(pki) as (told, where):
        told.wait_s = 1.0
        authenticator = Authenticator(where)
        began = time.monotonic()
        with pytest.raises(CannotTell):
            await authenticator.identify([f"Bearer {PROVIDER.token()}"])
        assert time.monotonic() - began < 0.9
        await authenticator.close()
