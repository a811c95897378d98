"""The least that a grpc.aio server can do with the frames: parse them and drop them.

What the service costs beyond this is ours; what this costs is Python's gRPC. It serves StreamAffect
without a single event, and health for the probe.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from affectstream.v1 import affect_pb2 as pb
from bench.serving import serve

_SERVICE = "affectstream.v1.AffectService"


async def _drop(
    requests: AsyncIterator[pb.StreamAffectRequest],
    context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG001 - gRPC's signature
) -> None:
    async for _ in requests:
        pass


async def _serve(address: str) -> None:
    server = grpc.aio.server()
    drop = grpc.stream_stream_rpc_method_handler(
        _drop, pb.StreamAffectRequest.FromString, pb.StreamAffectResponse.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"StreamAffect": drop}),))
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    await serve(server, address)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.floor", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1:0", metavar="HOST:PORT", help="where to listen")
    asyncio.run(_serve(parser.parse_args().address))
    return 0


if __name__ == "__main__":
    sys.exit(main())
