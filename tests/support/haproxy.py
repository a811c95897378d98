"""The deployment's proxy, with the file that the deployment ships."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from tests.support.children import Child, free_port, needed
from tests.support.pki import Pki

CONFIG: Final = Path(__file__).resolve().parents[2] / "deploy/helm/affectstream/files/haproxy.cfg"
_SAMPLE: Final = re.compile(
    r'^(\w+)\{proxy="replicas",server="(\w+)"(?:,state="(\w+)")?\} (\d+)$', re.MULTILINE
)


class NameServer:
    """Debian's dnsmasq, which gives one name the addresses that it is told."""

    def __init__(self, folder: Path, name: str) -> None:
        self._name = name
        self._hosts = folder / "hosts"
        self._hosts.write_text("")
        self.address = f"127.0.0.1:{free_port()}"
        self.child = Child(
            folder / "dns.log",
            *(needed("dnsmasq", "dnsmasq-base"), "--keep-in-foreground", "--conf-file=/dev/null"),
            *("--no-resolv", "--no-hosts", f"--addn-hosts={self._hosts}", "--local-ttl=0"),
            *("--bind-interfaces", "--listen-address=127.0.0.1", f"--port={self.address.partition(':')[2]}"),
            *("--pid-file=", "--user=root"),
        )

    def answer(self, hosts: list[str]) -> None:
        """These addresses from now on."""
        self._hosts.write_text("".join(f"{host} {self._name}\n" for host in hosts))
        self.child.process.send_signal(signal.SIGHUP)


class Proxy:
    """Debian's HAProxy before replicas with certificates for ``localhost``.

    Args:
        folder: For its certificate and its words.
        pki: Of callers and replicas.
        address: Where callers come in. Several may share it.
        replicas: NAME:PORT.
        names: HOST:PORT of the name server.
    """

    def __init__(self, folder: Path, pki: Pki, address: str, replicas: str, names: str) -> None:
        program = needed("haproxy", "haproxy")
        folder.mkdir()
        shutil.copy(pki.server.cert, folder / "tls.crt")
        shutil.copy(pki.server.key, folder / "tls.key")
        self._health = f"127.0.0.1:{free_port()}"
        environment = {
            "PROXY_BIND": address,
            "PROXY_CA": pki.ca,
            "PROXY_CERT": str(folder / "tls.crt"),
            "PROXY_COOKIE_KEY": "the same for every proxy",
            "PROXY_DNS": names,
            "PROXY_HEALTH": self._health,
            "PROXY_NAME": "localhost",
            "PROXY_REPLICAS": replicas,
        }
        self.child = Child(folder / "log", program, "-db", "-f", str(CONFIG), environment=environment)

    def streams(self) -> dict[str, int]:
        """How many streams are open at each replica that is checked and found well."""
        found: dict[str, dict[str, int]] = {}
        for name, server, state, value in self._samples():
            found.setdefault(server, {})[f"{name} {state}".strip()] = int(value)
        return {
            server: of["haproxy_server_current_sessions"]
            for server, of in found.items()
            if of.get("haproxy_server_status UP") and of.get("haproxy_server_check_status L7OK")
        }

    def _samples(self) -> Iterator[tuple[str, str, str, str]]:
        assert self.child.process.poll() is None, self.child.said
        with suppress(OSError), urlopen(f"http://{self._health}/metrics", timeout=5) as page:
            yield from _SAMPLE.findall(page.read().decode())
