"""`python -m affectstream_server.probe HOST:PORT`: exit status 0 if streams are accepted there.

``--live`` asks whether the process lives, though its model may not be ready. For health checks of
containers that have no other means.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from affectstream_server.edge.server import LIVENESS


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Exit with 0 if the server accepts streams.")
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("--live", action="store_true", help="only whether it lives")
    parser.add_argument("--timeout", type=float, default=3.0, metavar="S", help="default: %(default)s")
    args = parser.parse_args(arguments)
    request = health_pb2.HealthCheckRequest(service=LIVENESS if args.live else "")
    with grpc.insecure_channel(args.address) as channel:
        check: Any = health_pb2_grpc.HealthStub(channel)
        try:
            status = check.Check(request, timeout=args.timeout).status
        except grpc.RpcError as error:
            sys.stderr.write(f"{args.address}: {error.code().name}\n")
            return 1
    return 0 if status == health_pb2.HealthCheckResponse.SERVING else 1


if __name__ == "__main__":
    sys.exit(main())
