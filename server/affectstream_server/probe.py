"""`python -m affectstream_server.probe HOST:PORT`: exit status 0 if streams are accepted there.

``--live`` asks whether the process lives, though its model may not be ready. For health checks of
containers that have no other means. Health needs no token; a server that asks for certificates asks here too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from affectstream.commands import InputError, access
from affectstream.status import connect_cause
from affectstream.tls import Tls
from affectstream_server.edge.server import LIVENESS


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Exit with 0 if the server accepts streams.")
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("--live", action="store_true", help="only whether it lives")
    parser.add_argument("--timeout", type=float, default=3.0, metavar="S", help="default: %(default)s")
    access.add_tls_arguments(parser)
    args = parser.parse_args(arguments)
    try:
        tls = access.tls(args)
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    request = health_pb2.HealthCheckRequest(service=LIVENESS if args.live else "")
    with _channel(args.address, tls) as channel:
        check: Any = health_pb2_grpc.HealthStub(channel)
        try:
            status = check.Check(request, timeout=args.timeout).status
        except grpc.RpcError as error:
            sys.stderr.write(f"{args.address}: {connect_cause(error.details() or '') or error.code().name}\n")
            return 1
    return 0 if status == health_pb2.HealthCheckResponse.SERVING else 1


def _channel(address: str, tls: Tls | None) -> grpc.Channel:
    if tls is None:
        return grpc.insecure_channel(address)
    return grpc.secure_channel(address, tls.credentials(), options=tls.options)


if __name__ == "__main__":
    sys.exit(main())
