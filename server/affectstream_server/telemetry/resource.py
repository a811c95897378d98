"""Which process it is whose spans and metrics these are."""

from __future__ import annotations

import secrets
from functools import cache

from opentelemetry.sdk.resources import Resource

from affectstream_server import __version__


@cache
def this_process() -> Resource:
    """The same for traces and for metrics. What `OTEL_RESOURCE_ATTRIBUTES` names is added."""
    return Resource.create(
        {
            "service.name": "affectstream",
            "service.version": __version__,
            "service.instance.id": secrets.token_hex(8),
        }
    )
