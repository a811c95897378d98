"""One connection to Triton for the whole process, and its errors as a tree.

TritonError
├── Unreachable   no connection, or it broke; the call may be made again
├── NotThere      the model, or this version of it, is not loaded
├── QueueFull     the model's queue is at its limit
├── TimedOut      no answer in time
└── Broken        the model failed, or does not take what it was sent
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from affectstream.contract import DIMS, EMBEDDING, LOGITS

Headers = Callable[[], Mapping[str, str]]
"""What goes with a call beside its tensors: trace context. Called in the context of the one who asks."""

_CHANNEL: Final = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A restarted Triton is found within half a second of listening.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # A host that is gone is noticed though nothing says so. Triton bears no more frequent pings.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.enable_retries", 0),
)


class TritonError(Exception):
    """A call to Triton failed. The message is Triton's or gRPC's: for the log, not for callers."""


class Unreachable(TritonError):
    pass


class NotThere(TritonError):
    pass


class QueueFull(TritonError):
    pass


class TimedOut(TritonError):
    pass


class Broken(TritonError):
    pass


@dataclass(frozen=True, slots=True)
class Question:
    """A request to one version of a model: tensors by name, with the type that Triton calls them."""

    model: str
    version: str
    request_id: str
    tensors: Sequence[tuple[str, str, NDArray[Any]]]
    outputs: Sequence[str] = (LOGITS.name, DIMS.name, EMBEDDING.name)
    """What to answer with, by name."""


class TritonClient:
    """tritonclient's gRPC client on the event loop that first uses it. One a process."""

    def __init__(self, address: str, headers: Headers = dict) -> None:
        self.address = address
        self._headers = headers
        self._opened: Any = None

    @property
    def _client(self) -> Any:
        if self._opened is None:
            self._opened = InferenceServerClient(self.address, channel_args=list(_CHANNEL))
        return self._opened

    async def latest_version(self, model: str, timeout_s: float) -> str:
        """The highest version of a model that is loaded. Raises `TritonError`."""
        try:
            metadata = await self._client.get_model_metadata(model, client_timeout=timeout_s)
        except InferenceServerException as error:
            raise _translated(error) from None
        return str(max(metadata.versions, key=int, default=""))

    async def config(self, model: str, version: str, timeout_s: float) -> dict[str, Any]:
        """The configuration that is loaded, as JSON. Raises `TritonError`."""
        try:
            answer = await self._client.get_model_config(
                model, version, as_json=True, client_timeout=timeout_s
            )
        except InferenceServerException as error:
            raise _translated(error) from None
        config: dict[str, Any] = answer["config"]
        return config

    async def infer(self, question: Question, timeout_s: float) -> dict[str, NDArray[Any] | None]:
        """The question's outputs as they came; None for one that did not. Raises `TritonError`."""
        wanted = [InferRequestedOutput(name) for name in question.outputs]
        result = await self._infer(question, wanted, timeout_s)
        return {name: _array(result, name) for name in question.outputs}

    async def labels(self, question: Question, count: int, timeout_s: float) -> tuple[str, ...]:
        """The labels that Triton itself puts to the places of LOGITS, in order; "" where it has none."""
        result = await self._infer(
            question, [InferRequestedOutput(LOGITS.name, class_count=count)], timeout_s
        )
        rows = _array(result, LOGITS.name)
        if rows is None or rows.dtype != object:
            raise Broken(f"{LOGITS.name} came without classes")
        # score:place[:label]
        classes = [row.decode(errors="replace").split(":", 2) for row in np.ravel(rows).tolist()]
        places = {int(one[1]): one[2] if len(one) > 2 else "" for one in classes}
        return tuple(places.get(place, "") for place in range(count))

    async def close(self) -> None:
        """Close the connection; calls on it are cancelled."""
        if self._opened is not None:
            await self._opened.close()

    async def _infer(self, question: Question, outputs: list[Any], timeout_s: float) -> Any:
        inputs = []
        for name, dtype, values in question.tensors:
            tensor = InferInput(name, values.shape, dtype)
            tensor.set_data_from_numpy(values)
            inputs.append(tensor)
        try:
            return await self._client.infer(
                question.model,
                inputs,
                model_version=question.version,
                outputs=outputs,
                request_id=question.request_id,
                client_timeout=timeout_s,
                headers=dict(self._headers()),
            )
        except InferenceServerException as error:
            raise _translated(error) from None


def _array(result: Any, name: str) -> NDArray[Any] | None:
    """A tensor of an answer. Raises `Broken` where its bytes are not its shape."""
    try:
        values: NDArray[Any] | None = result.as_numpy(name)
    except ValueError:
        raise Broken(f"{name} has other bytes than its shape says") from None
    return values


def _translated(error: Any) -> TritonError:
    """Triton's status and words as one of our errors."""
    status, message = str(error.status() or ""), str(error.message())
    text = f"{status.removeprefix('StatusCode.')}: {message}"
    match status.removeprefix("StatusCode."):
        case "UNAVAILABLE" if "maximum queue size" in message:
            return QueueFull(text)
        case "UNAVAILABLE" if "Request for unknown model" in message:
            return NotThere(text)
        case "UNAVAILABLE":
            return Unreachable(text)
        case "NOT_FOUND":
            return NotThere(text)
        case "DEADLINE_EXCEEDED":
            return TimedOut(text)
        case _:
            return Broken(text)
