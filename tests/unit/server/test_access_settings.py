"""Who may connect: what the settings refuse before anything listens."""

from __future__ import annotations

from typing import Any

import pytest

from affectstream_server.settings import SettingsError, load

TLS = {"cert_file": "c.pem", "key_file": "k.pem"}
TOKENS = {"tokens_file": "tokens.yaml"}
JWT = {"jwks_file": "keys.json", "issuer": "https://id.example", "audience": "affect"}


def settings(address: str = "127.0.0.1:0", **sections: dict[str, Any]) -> Any:
    server = {"address": address} | sections.pop("server", {})
    return load(environ={}, overrides={"server": server, **sections})


@pytest.mark.parametrize(
    "address", ["0.0.0.0:50551", "[::]:50551", "10.1.2.3:50551", "affect.example.org:50551"]
)
@pytest.mark.parametrize(
    ("sections", "missing"),
    [
        ({}, ["without TLS", "without authentication"]),
        ({"tls": TLS}, ["without authentication"]),
        ({"auth": TOKENS}, ["without TLS"]),
        ({"auth": JWT}, ["without TLS"]),
    ],
)
def test_other_machines_need_both(address: str, sections: dict[str, Any], missing: list[str]) -> None:
    with pytest.raises(SettingsError) as error:
        settings(address, **sections)
    assert str(error.value).startswith(f"server.address: got '{address}'")
    assert "--insecure" in str(error.value)
    for what in ("without TLS", "without authentication"):
        assert (what in str(error.value)) is (what in missing)
    settings(address, server={"insecure": True}, **sections)


@pytest.mark.parametrize(
    "auth", [{"auth": TOKENS}, {"auth": JWT}, {"tls": TLS | {"client_ca_file": "ca.pem"}}]
)
def test_tls_and_any_proof_of_who_calls_are_enough(auth: dict[str, Any]) -> None:
    settings("0.0.0.0:50551", **({"tls": TLS} | auth))


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.0.0.2:0", "localhost:0", "LOCALHOST:0", "[::1]:0"])
def test_this_machine_needs_nothing(address: str) -> None:
    settings(address)


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"tls": {"cert_file": "c.pem"}}, ["tls.key_file", "cert_file is set"]),
        ({"tls": {"key_file": "k.pem"}}, ["tls.cert_file", "key_file is set"]),
        ({"tls": {"client_ca_file": "ca.pem"}}, ["tls.cert_file", "client_ca_file is set"]),
        ({"tls": {"certfile": "c.pem"}}, ["tls.certfile", "unknown setting", "cert_file"]),
        ({"auth": {"token_file": "t"}}, ["auth.token_file", "unknown setting", "tokens_file"]),
        ({"auth": {"jwks_file": "k", "audience": "a"}}, ["auth.issuer", "expected"]),
        ({"auth": {"jwks_file": "k", "issuer": "i"}}, ["auth.audience", "expected"]),
        ({"auth": JWT | {"jwks_url": "https://x/k"}}, ["auth.jwks_url", "jwks_file is set"]),
        ({"auth": JWT | {"jwks_file": "", "jwks_url": "http://x/k"}}, ["auth.jwks_url", "https"]),
        ({"auth": JWT | {"leeway_s": 31}}, ["auth.leeway_s", "31", "30"]),
    ],
)
def test_what_is_wrong_is_named(sections: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SettingsError) as error:
        settings(**sections)
    for word in words:
        assert word in str(error.value)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    url = "https://user:hunter2@id.example/keys"
    with pytest.raises(SettingsError) as error:
        settings(auth=JWT | {"jwks_file": "", "jwks_url": url})
    assert "hunter2" not in str(error.value)
