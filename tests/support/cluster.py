"""Servers behind the deployment's proxy, as in a cluster: each at an address of its own, one name for all."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.children import END_S, Child, free_port
from tests.support.haproxy import NameServer, Proxy
from tests.support.pki import Pki

NAME: Final = "replicas.test"


class Cluster:
    """Nothing of it is left after ``with``.

    Args:
        folder: For logs and files.
        settings: Environment of each server, beside its certificate.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._folder = folder
        self.pki = Pki(folder)
        self._settings = {
            **settings,
            "AFFECTSTREAM_TLS__CERT_FILE": self.pki.server.cert,
            "AFFECTSTREAM_TLS__KEY_FILE": self.pki.server.key,
        }
        self._port = free_port()
        self.address = f"127.0.0.1:{free_port()}"
        """Where callers come in."""
        self._children: list[Child] = []
        self.replicas: dict[str, Child] = {}
        """Those that have the name, by their host."""
        self._begun = 0
        self._proxies = 0

    def __enter__(self) -> Self:
        self._names = NameServer(self._folder, NAME)
        self._children.append(self._names.child)
        self.proxy = self.start_proxy()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.kill()

    def start_replica(self) -> tuple[str, Child]:
        """A server at a host that none had. It has no name yet, and may not be ready."""
        self._begun += 1
        host = f"127.0.0.{10 + self._begun}"
        child = Child(
            self._folder / f"replica-{self._begun}.log",
            *(sys.executable, "-m", "affectstream_server", "--address", f"{host}:{self._port}"),
            environment=self._settings,
        )
        self._children.append(child)
        return host, child

    def name(self, replicas: Mapping[str, Child]) -> None:
        """These have the name from now on, and no others."""
        self.replicas = dict(replicas)
        self._names.answer(list(replicas))

    def start_proxy(self) -> Proxy:
        """A proxy, beside those that run."""
        self._proxies += 1
        folder = self._folder / f"proxy-{self._proxies}"
        replicas = f"{NAME}:{self._port}"
        proxy = Proxy(folder, self.pki, self.address, replicas, self._names.address)
        self._children.append(proxy.child)
        return proxy

    def wait_up(self, proxy: Proxy, count: int) -> None:
        """The proxy holds so many replicas for well, and no more. Takes up to `END_S`."""
        until_s = time.monotonic() + END_S
        while len(proxy.streams()) != count:
            assert time.monotonic() < until_s, proxy.child.said
            time.sleep(0.1)


def wait_ready(replica: Child) -> None:
    """It accepts streams. Takes up to `END_S`."""
    until_s = time.monotonic() + END_S
    while "affectstream: ready on " not in replica.said:
        assert replica.process.poll() is None, replica.said
        assert time.monotonic() < until_s, replica.said
        time.sleep(0.05)
