"""Where an address leads: to this machine, or out of it."""

from __future__ import annotations

import ipaddress


def is_loopback(target: str) -> bool:
    """Whether what is sent to ``HOST:PORT``, or to a name that gRPC resolves, stays on this machine.

    A host name other than ``localhost`` does not count: whoever answers for it decides where it leads.
    """
    scheme, separator, rest = target.partition(":")
    if separator and scheme in ("unix", "unix-abstract"):
        return True
    if separator and scheme in ("dns", "ipv4", "ipv6"):
        if rest.startswith("//") and not rest.startswith("///"):
            return False  # another name server answers
        target = rest.rpartition("/")[2]
    hosts = [host_of(part) for part in target.split(",")]
    return all(host == "localhost" or _is_loopback_ip(host) for host in hosts)


def host_of(address: str) -> str:
    """The host of ``HOST:PORT``, ``[HOST]:PORT`` or ``HOST``, in lower case."""
    if address.startswith("["):
        return address[1:].partition("]")[0].lower()
    host = address if address.count(":") > 1 else address.partition(":")[0]
    return host.lower()


def _is_loopback_ip(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
