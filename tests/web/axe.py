"""What axe finds on the page as it stands."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.async_playwright import Axe

from tests.support.browser import Visit

SERIOUS = {"serious", "critical"}


async def findings(visitor: Visit) -> list[str]:
    """What axe finds serious: the rule, and where."""
    found = await Axe().run(visitor.page)
    violations: list[dict[str, Any]] = found.response["violations"]
    assert len(found.response["passes"]) > 10
    return [
        f"{each['id']}: {[node['target'] for node in each['nodes']]}"
        for each in violations
        if each["impact"] in SERIOUS
    ]
