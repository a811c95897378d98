"""Who calls: identities, and how tokens prove them. Knows nothing of gRPC."""

from affectstream_server.auth.identity import ANONYMOUS, Identity

__all__ = ["ANONYMOUS", "Identity"]
