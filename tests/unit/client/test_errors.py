"""A status becomes an error that says what, where, and whether to try again."""

from __future__ import annotations

import re

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from affectstream import errors, status

Code = grpc.StatusCode


def details(*parts: Message) -> grpc.aio.Metadata:
    packed = []
    for part in parts:
        holder = AnyMessage()
        holder.Pack(part)
        packed.append(holder)
    blob = status_pb2.Status(code=3, message="ignored", details=packed).SerializeToString()
    return grpc.aio.Metadata(("x-other", "1"), (status.DETAILS_KEY, blob))


def info(domain: str = status.DOMAIN, **metadata: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason="BAD_SAMPLE_RATE", domain=domain, metadata=metadata)


def test_field_value_limit_and_reason_are_read() -> None:
    error = status.to_error(
        Code.INVALID_ARGUMENT,
        "sample_rate_hz: got 96000, expected 8000 to 48000 Hz",
        details(info(field="config.audio.sample_rate_hz", value="96000", limit="8000 to 48000 Hz")),
    )
    assert isinstance(error, errors.InvalidRequest)
    assert (error.field, error.value, error.limit) == (
        "config.audio.sample_rate_hz",
        "96000",
        "8000 to 48000 Hz",
    )
    assert error.reason == "BAD_SAMPLE_RATE"
    assert str(error) == error.message == "sample_rate_hz: got 96000, expected 8000 to 48000 Hz"
    assert not error.retryable


def test_a_bad_request_alone_names_the_field() -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field="config.model", description="unknown")
    error = status.to_error(
        Code.INVALID_ARGUMENT, "", details(error_details_pb2.BadRequest(field_violations=[violation]))
    )
    assert error.field == "config.model"


def test_retry_info_says_when() -> None:
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000))
    error = status.to_error(Code.RESOURCE_EXHAUSTED, "too many streams", details(info(), retry))
    assert isinstance(error, errors.ResourceExhausted)
    assert error.retry_after_s == 1.5
    assert error.retryable


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.UNAVAILABLE, errors.ServerUnavailable),
        (Code.DEADLINE_EXCEEDED, errors.TimedOut),
        (Code.RESOURCE_EXHAUSTED, errors.ResourceExhausted),
        (Code.INVALID_ARGUMENT, errors.InvalidRequest),
        (Code.OUT_OF_RANGE, errors.InvalidRequest),
        (Code.FAILED_PRECONDITION, errors.FailedPrecondition),
        (Code.UNAUTHENTICATED, errors.Unauthenticated),
        (Code.PERMISSION_DENIED, errors.PermissionDenied),
        (Code.NOT_FOUND, errors.NotFound),
        (Code.UNIMPLEMENTED, errors.Unimplemented),
        (Code.CANCELLED, errors.Cancelled),
        (Code.INTERNAL, errors.ServerError),
        (Code.UNKNOWN, errors.ServerError),
        (Code.DATA_LOSS, errors.ServerError),
    ],
)
def test_every_status_has_its_error(code: grpc.StatusCode, kind: type[errors.AffectStreamError]) -> None:
    error = status.to_error(code, "secret: Traceback in /srv/app.py")
    assert type(error) is kind
    assert error.status is code
    assert "secret" not in str(error), "a text that no Affectstream server made is not shown"
    assert str(error)


def test_text_of_another_domain_is_not_shown_either() -> None:
    error = status.to_error(Code.INTERNAL, "secret", details(info(domain="example.com")))
    assert "secret" not in str(error)


@pytest.mark.parametrize("metadata", [None, (), grpc.aio.Metadata((status.DETAILS_KEY, b"\xff\xfe broken"))])
def test_missing_or_broken_details_do_no_harm(metadata: object) -> None:
    error = status.to_error(Code.INVALID_ARGUMENT, "whatever", metadata)
    assert isinstance(error, errors.InvalidRequest)
    assert (error.field, error.retry_after_s) == ("", None)


def test_a_message_is_one_line() -> None:
    error = status.to_error(Code.INTERNAL, "first\nsecond\t third", details(info()))
    assert str(error) == "first second third"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("last error: Failed to connect to remote host: Connection refused", "connection refused"),
        ("DNS resolution failed for nosuch:1", "no such host name"),
        ("Ssl handshake failed: CERTIFICATE_VERIFY_FAILED: unable to get local issuer", "certificate"),
        ("Deadline Exceeded", "no answer"),
        ("something new at 0x7f00", "no connection"),
    ],
)
def test_a_connect_error_names_the_address_and_a_known_cause(text: str, cause: str) -> None:
    error = status.connect_error("example.org:443", text)
    assert isinstance(error, errors.ServerUnavailable)
    assert str(error).startswith("no server at example.org:443: ")
    assert cause in str(error)
    assert "0x" not in str(error)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    classes = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.AffectStreamError)
    }
    drawn = [line for line in (errors.__doc__ or "").splitlines() if "──" in line]
    assert len(drawn) == len(classes) - 1
    for line in drawn:
        name, code, helps = re.split(r"\s{2,}", line.lstrip(" ├└│─"))[:3]
        kind = classes[name]
        assert code.partition(",")[0] == (kind.status.name if kind.status else "-"), name
        assert helps.startswith(("yes", "after")) == kind.retryable, name


def test_a_reset_right_behind_the_trailers_hides_no_status() -> None:
    blob = details(info(field="config.model"))
    error = status.to_error(Code.CANCELLED, "Received RST_STREAM with error code 8", blob)
    assert isinstance(error, errors.InvalidRequest)
    assert (error.status, str(error), error.field) == (Code.INVALID_ARGUMENT, "ignored", "config.model")


def test_a_cancelled_call_of_others_stays_cancelled() -> None:
    for metadata in (None, details(info(domain="example.org"))):
        error = status.to_error(Code.CANCELLED, "Received RST_STREAM with error code 8", metadata)
        assert type(error) is errors.Cancelled
        assert str(error) == "the call was cancelled"
