"""Who is told what happens on an utterance's way, and when. Unless telemetry is on: nobody.

The core calls these; they return at once and raise nothing. Times are `time.perf_counter`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from affectstream.v1 import affect_pb2 as pb
    from affectstream_server.scoring.scorer import ModelInfo
    from affectstream_server.stages.decide import Verdict
    from affectstream_server.utterance import Opened, Utterance


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose work is done, for the log."""

    session_id: str = ""
    """As it may be told: see `pseudonym`."""
    trace_id: str = ""


NOBODYS: Final = Whose()
WHOSE: Final[ContextVar[Whose]] = ContextVar("whose", default=NOBODYS)
"""Set in the task that works for a session or an utterance."""


def pseudonym(session_id: str) -> str:
    """What spans, logs and inference servers are told in place of an id that a caller chose.

    The same everywhere and always, so that who knows the id finds it: 12 hexadecimal digits of its SHA-256.
    """
    return sha256(session_id.encode()).hexdigest()[:12]


class ScoreObserver:
    """Is told of one score that was asked for."""

    def call(self, model: ModelInfo, breaker: str) -> AbstractContextManager[str]:  # noqa: ARG002
        """A call of an inference server, as long as the block. Gives its request id; "": any will do."""
        return nullcontext("")

    def answered(self, verdict: Verdict) -> None:
        """The verdict came; without it, the score was dropped."""

    def headers(self) -> Mapping[str, str]:
        """What goes with the call that is being made."""
        return {}


UNSCORED: Final = ScoreObserver()
SCORING: Final[ContextVar[ScoreObserver]] = ContextVar("scoring", default=UNSCORED)
"""The score that this task makes."""


def call_headers() -> Mapping[str, str]:
    """What goes with the inference server's call that this task makes."""
    return SCORING.get().headers()


class SessionObserver:
    """Is told of one session's utterances. The session's last call is `ended`."""

    def __init__(self, session_id: str = "", told_id: str = "") -> None:
        """``told_id`` is told in place of ``session_id``, with which ids of its utterances begin."""
        self.whose = Whose(told_id)
        self._session_id = session_id

    def told(self, utterance_id: str) -> str:
        """The id of one of its utterances, as spans, logs and inference servers may be told it."""
        return self.whose.session_id + utterance_id.removeprefix(self._session_id)

    def moved(self, epoch: int) -> None:
        """Another stream brings the audio. Called in that call's task."""

    def opened(self, opened: Opened, channel: int, traceparent: str = "") -> None:
        """Speech was declared started; ``traceparent`` is its turn's, empty: it has none."""

    def declared(self, utterance: Utterance) -> None:
        """The endpoint was declared."""

    @contextmanager
    def score(self, utterance: Utterance, *, ahead: bool) -> Iterator[ScoreObserver]:
        """A score is asked for, as long as the block; ``ahead`` of the endpoint."""
        with _set(self.whose, UNSCORED) as asked:
            del utterance, ahead
            yield asked

    def speculated(self, *, used: bool) -> None:
        """A score from ahead of the endpoint became the final's, or was dropped."""

    def traceparent(self, utterance_id: str) -> str:  # noqa: ARG002
        """W3C trace context of an utterance's span; empty: there is none."""
        return ""

    def decided(self, verdict: Verdict, event: pb.AffectEvent) -> None:
        """The final event was made; it is queued next."""

    def sealed(self, event: pb.SessionEvent, publish_s: float) -> None:
        """An event was serialised, and handed to the bus in ``publish_s``; it is written next."""

    def written(self) -> None:
        """The event that was sealed last was handed to gRPC."""

    def closing(self, reason: str) -> None:
        """The session's last word was queued."""

    def lost(self) -> None:
        """The stream is over, and the session waits for another."""

    def ended(self, reason: str) -> None:
        """The session is over. ``reason`` holds where none was given before."""


class Observer:
    """Is told of a whole process."""

    def session(
        self,
        session_id: str,
        told_id: str,
        config: pb.SessionConfig,  # noqa: ARG002
        tenant: str,  # noqa: ARG002
    ) -> SessionObserver:
        """A session began, which is told of as ``told_id``. Called in the task of the call that began it."""
        observer = SessionObserver(session_id, told_id)
        WHOSE.set(observer.whose)
        return observer

    def analysis(self, tenant: str) -> SessionObserver:  # noqa: ARG002
        """An AnalyzeUtterance call was admitted; its one utterance is told as a session's are."""
        return SessionObserver()

    def looked(self, blocks: int, seconds: float) -> None:
        """The detector looked at a batch."""


UNOBSERVED: Final = SessionObserver()
NOBODY: Final = Observer()


@contextmanager
def _set(whose: Whose, asked: ScoreObserver) -> Iterator[ScoreObserver]:
    whose_token, token = WHOSE.set(whose), SCORING.set(asked)
    try:
        yield asked
    finally:
        SCORING.reset(token)
        WHOSE.reset(whose_token)
