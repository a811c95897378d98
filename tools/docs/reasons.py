"""Errors and warnings: every reason and code, its status, whether a retry helps, and when it comes."""

from __future__ import annotations

from collections.abc import Mapping

from affectstream.reasons import BRIDGE, CLIENT, SERVER, WARNINGS, Reason
from tools.docs.markdown import page, prose, table


def render() -> str:
    """The page."""
    return page(
        "Errors and warnings",
        "affectstream/reasons.py",
        "An error that ends a call has a gRPC status, a `reason` that stays what it is (ErrorInfo, domain "
        "`affectstream.dev`), and where there are such the `field`, its `value` and the `limit`. In Python: "
        "[the tree of errors](python.md#errors). Over the bridge: [close codes](../bridge.md#errors). "
        "New reasons are added without a new version: go by the status where you do not know one.",
        "## From the server",
        _reasons(SERVER),
        "## From the bridge",
        "Beside the server's own.",
        _reasons(BRIDGE),
        "## From the Python client",
        "Before anything is sent.",
        _reasons(CLIENT),
        "## Warnings",
        "Something was not as it should be, and the stream goes on.",
        table(["code", "when"], ([f"`{code}`", prose(when)] for code, when in sorted(WARNINGS.items()))),
    )


def _reasons(reasons: Mapping[str, Reason]) -> str:
    return table(
        ["reason", "status", "when", "a retry helps"],
        (
            [f"`{name}`", reason.status, prose(reason.when), _retry(reason)]
            for name, reason in sorted(reasons.items())
        ),
    )


def _retry(reason: Reason) -> str:
    if not reason.retry:
        return "no"
    return f"{reason.retry}; it says after how long" if reason.delay else reason.retry
