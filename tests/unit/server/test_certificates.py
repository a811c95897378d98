"""The server's files of certificates: what is wrong with one is named, with its setting and its cause."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from affectstream_server import certificates
from affectstream_server.section import SettingsError
from affectstream_server.settings_access import TlsSettings
from tests.support.pki import Authority


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    authority = Authority(tmp_path, "ours")
    pair = authority.issue("localhost")
    return {"cert_file": pair.cert, "key_file": pair.key, "client_ca_file": authority.file}


def test_what_is_whole_is_read(files: dict[str, str]) -> None:
    read = certificates.read(TlsSettings(**files))
    assert read.chain == Path(files["cert_file"]).read_bytes()
    assert read.key == Path(files["key_file"]).read_bytes()
    assert read.client_ca == Path(files["client_ca_file"]).read_bytes()
    assert "PRIVATE" not in repr(read)


def _expired(files: dict[str, str]) -> None:
    folder = Path(files["cert_file"]).parent
    pair = Authority(folder, "old").issue("localhost", expired=True)
    files |= {"cert_file": pair.cert, "key_file": pair.key}


def _another_key(files: dict[str, str]) -> None:
    files["key_file"] = Authority(Path(files["cert_file"]).parent, "other").issue("localhost").key


def _passphrase(files: dict[str, str]) -> None:
    locked = f"{files['key_file']}.locked"
    command = [
        "openssl",
        "pkey",
        "-in",
        files["key_file"],
        "-aes128",
        "-passout",
        "pass:word",
        "-out",
        locked,
    ]
    subprocess.run(command, check=True, capture_output=True)
    files["key_file"] = locked


def _text(name: str) -> Callable[[dict[str, str]], None]:
    def write(files: dict[str, str]) -> None:
        Path(files[name]).write_text("no PEM")

    return write


@pytest.mark.parametrize(
    ("harm", "key", "cause"),
    [
        (lambda files: files.update(cert_file="/nowhere"), "cert_file", "cannot be read: No such file"),
        (lambda files: files.update(key_file="/nowhere"), "key_file", "cannot be read: No such file"),
        (lambda files: files.update(key_file="/"), "key_file", "cannot be read: Is a directory"),
        (lambda files: files.update(client_ca_file="/nowhere"), "client_ca_file", "cannot be read"),
        (_text("cert_file"), "cert_file", "holds no certificate in PEM"),
        (_text("key_file"), "key_file", "holds no private key in PEM"),
        (_text("client_ca_file"), "client_ca_file", "holds no certificate in PEM"),
        (_another_key, "key_file", "is not the key of tls.cert_file"),
        (_passphrase, "key_file", "has a passphrase"),
        (_expired, "cert_file", "certificate has expired"),
    ],
)
def test_what_is_wrong_is_named(
    files: dict[str, str], harm: Callable[[dict[str, str]], None], key: str, cause: str
) -> None:
    harm(files)
    with pytest.raises(SettingsError) as error:
        certificates.read(TlsSettings(**files))
    assert str(error.value).startswith(f"tls.{key}: {files[key]}: {cause}")


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_every_common_kind_of_key(tmp_path: Path, kind: str) -> None:
    """The lines of docs/tls-and-tokens.md, with each kind of key."""
    cert, key = str(tmp_path / "c.pem"), str(tmp_path / "k.pem")
    algorithm = {
        "rsa": ["rsa:2048"],
        "ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "ed25519": ["ed25519"],
    }
    command = ["openssl", "req", "-x509", "-nodes", "-subj", "/CN=x", "-newkey", *algorithm[kind]]
    subprocess.run([*command, "-out", cert, "-keyout", key], check=True, capture_output=True)
    certificates.read(TlsSettings(cert_file=cert, key_file=key))
