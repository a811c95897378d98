"""What was looked at, and what was found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final, Literal

State = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    check: str
    """Stable name, such as ``"tls"``."""
    state: State
    """``skip``: it was not asked for, or what it needs has failed."""
    said: str
    """One line: what was seen."""
    mend: str = ""
    """What helps; empty where nothing is wrong."""

    @property
    def stops(self) -> bool:
        """It failed."""
        return self.state == "fail"


CHECKS: Final = {
    "reach": "the name is known, and somebody listens",
    "tls": "certificate: chain, name, expiry; or plain text, and where it goes",
    "health": "streams are accepted",
    "token": "the server lets this caller in",
    "contract": "server and client mean the same by what they say",
    "canary": "a known sound is answered in time",
    "stream": "a short talk is streamed, and its finals come",
    "clock": "server and caller agree on the time",
    "bus": "what was streamed can be watched",
    "metrics": "Prometheus' page is there, and what it tells (--metrics)",
    "traces": "the collector takes spans (--collector)",
    "bridge": "browsers get in (--bridge)",
}
"""Every check in its order, and what it holds."""


def ok(check: str, said: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", said)


def warn(check: str, said: str, mend: str) -> Finding:
    """It works, and should be looked at."""
    return Finding(check, "warn", said, mend)


def fail(check: str, said: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(check, "fail", said, mend)


def skip(check: str, why: str) -> Finding:
    """It was not looked at."""
    return Finding(check, "skip", why)


@dataclass(frozen=True, slots=True)
class Report:
    """All findings about one address."""

    address: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Nothing failed; there may be warnings."""
        return not any(finding.stops for finding in self.findings)

    def as_dict(self) -> dict[str, object]:
        """As ``--json`` prints it."""
        return {
            "address": self.address,
            "ok": self.ok,
            "checks": [asdict(finding) for finding in self.findings],
        }

    def text(self) -> str:
        """For people: one line a check, and below it what helps."""
        lines = []
        for finding in self.findings:
            lines.append(f"{finding.state:<5} {finding.check:<9} {finding.said}")
            if finding.mend:
                lines.append(f"{'':<16}mend: {finding.mend}")
        counts = [
            f"{sum(f.state == state for f in self.findings)} {state}" for state in ("ok", "warn", "fail")
        ]
        return "\n".join([*lines, "", f"{self.address}: {', '.join(counts)}"])
