"""A Triton that only remembers: right in all it says of itself, and as late as a measured one was.

`python -m bench.recorded --address HOST:PORT` speaks Triton's gRPC with its own messages. It has the bundled
model's configuration, answers the canary with the model's own answer and everything else with that too, each
request after a time drawn from a measured Triton's (`recorded_triton.json`; the order is fixed by a seed).
So the service's whole way to Triton is measured, and the inference server takes no core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import onnxruntime
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from affectstream.contract import AUDIO, DIMS, EMBEDDING, LOGITS, NUM_SAMPLES
from affectstream_server.scoring.canary import canary_audio
from affectstream_server.scoring.triton_target import BUNDLED
from bench.histogram import Histogram
from bench.serving import serve
from tools.triton.server import REPOSITORY

LATENCIES: Final = Path(__file__).with_name("recorded_triton.json")
MODEL: Final = "affect_embedded"
_VERSION: Final = "1"
_SEED: Final = 12
_OUTPUTS: Final = (LOGITS.name, DIMS.name, EMBEDDING.name)
_MESSAGE_BYTES: Final = 64 << 20

Context = Any


class Latencies:
    """Times drawn from a histogram, the same ones in each run."""

    def __init__(self, histogram: Histogram, seed: int = _SEED) -> None:
        self._times_ms = histogram.times_ms()
        self._random = random.Random(seed)  # noqa: S311 - nothing to guess

    def draw_s(self) -> float:
        """The next one."""
        return self._random.choice(self._times_ms) / 1_000


class Recorded(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Triton's service, for one model."""

    def __init__(self, latencies: Latencies) -> None:
        self._latencies = latencies
        folder = REPOSITORY / MODEL
        self._config = text_format.Parse(
            (folder / "config.pbtxt").read_text(encoding="utf-8"), model_config_pb2.ModelConfig()
        )
        labels = (folder / "labels.txt").read_text(encoding="utf-8").split()
        self._answers = _answers()
        logits = self._answers[LOGITS.name][0].tolist()
        rows = [f"{logits[place]}:{place}:{label}".encode() for place, label in enumerate(labels)]
        self._classes = b"".join(len(row).to_bytes(4, "little") + row for row in rows)
        self._labels = len(labels)

    async def ServerLive(self, _: Any, __: Context) -> Any:  # noqa: N802 - Triton's name
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerReady(self, _: Any, __: Context) -> Any:  # noqa: N802
        return service_pb2.ServerReadyResponse(ready=True)

    async def ModelMetadata(self, request: Any, _: Context) -> Any:  # noqa: N802
        return service_pb2.ModelMetadataResponse(name=request.name, versions=[_VERSION])

    async def ModelConfig(self, _: Any, __: Context) -> Any:  # noqa: N802
        return service_pb2.ModelConfigResponse(config=self._config)

    async def ModelInfer(self, request: Any, _: Context) -> Any:  # noqa: N802
        if request.id != "canary":
            await asyncio.sleep(self._latencies.draw_s())
        response = service_pb2.ModelInferResponse(
            model_name=request.model_name, model_version=_VERSION, id=request.id
        )
        for wanted in request.outputs:
            output = response.outputs.add(name=wanted.name)
            if wanted.parameters["classification"].int64_param:
                output.datatype = "BYTES"
                output.shape.extend((1, self._labels))
                response.raw_output_contents.append(self._classes)
            else:
                answer = self._answers[wanted.name]
                output.datatype = "FP32"
                output.shape.extend(answer.shape)
                response.raw_output_contents.append(answer.tobytes())
        return response


def _answers() -> Mapping[str, NDArray[np.float32]]:
    """What the bundled model says of the canary, by output, ``[1, …]``."""
    session = onnxruntime.InferenceSession(BUNDLED.read_bytes(), providers=["CPUExecutionProvider"])
    audio = canary_audio()[np.newaxis]
    count = np.array([[audio.shape[1]]], np.int32)
    found = session.run(_OUTPUTS, {AUDIO.name: audio, NUM_SAMPLES.name: count})
    return dict(zip(_OUTPUTS, found, strict=True))


def record(times_ms: Sequence[float], about: Mapping[str, Any], path: Path = LATENCIES) -> None:
    """Write the times of a measured Triton for later runs, with what measured them."""
    histogram = Histogram(round(one * 1e6) for one in times_ms)
    document = {**about, **histogram.summary(), "histogram": histogram.encode()}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read(path: Path = LATENCIES) -> Histogram:
    """What `record` wrote."""
    return Histogram.decode(json.loads(path.read_text(encoding="utf-8"))["histogram"])


async def _serve(address: str, path: Path) -> None:
    server = grpc.aio.server(options=(("grpc.max_receive_message_length", _MESSAGE_BYTES),))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Recorded(Latencies(read(path))), server)
    await serve(server, address)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.recorded", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1:0", metavar="HOST:PORT", help="where to listen")
    parser.add_argument("--latencies", type=Path, default=LATENCIES, metavar="FILE", help="what it remembers")
    args = parser.parse_args()
    asyncio.run(_serve(args.address, args.latencies))
    return 0


if __name__ == "__main__":
    sys.exit(main())
