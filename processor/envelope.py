"""The headers of a request record: who waits for the reply and until when, the gallery version that the request needs,
who made an administrative call, its trace context, and whether the request was sent before."""

from dataclasses import dataclass, field

from broker.port import Headers as RecordHeaders
from broker.port import NewRecord, Record
from contract.answers import Effort, Reply
from contract.audit import Actor, read_actor
from contract.codec import encode
from contract.requests import Headers
from contract.trace import Trace, trace_of


@dataclass(frozen=True, slots=True)
class ReplyAddress:
    """The topic and partition from which the waiting ingress reads replies, and the id of that ingress."""

    topic: str
    partition: int
    instance: bytes


@dataclass(slots=True)
class Spent:
    """The time that a request has taken so far; `effort` is set once a matching thread has worked on the request."""

    effort: Effort | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """The decoded headers of a request record. A missing or malformed header is None or 0; `attempt` is then 1.

    `spent` changes while the request is processed; all other fields are constant.
    """

    request_id: str
    reply_to: ReplyAddress | None
    deadline_s: float | None
    gallery_version: int
    retry_of: str | None = None
    attempt: int = 1
    replay_of: str | None = None
    actor: Actor | None = None
    retried_by: str | None = None
    trace: Trace | None = None
    spent: Spent = field(default_factory=Spent, compare=False)

    def expired(self, now_s: float) -> bool:
        """Return whether the deadline has passed, so that nobody waits for the reply any more."""
        return self.deadline_s is not None and now_s > self.deadline_s

    def reply(self, reply: Reply) -> tuple[NewRecord, ...]:
        """Return the record of the reply, if an ingress waits for one."""
        if self.reply_to is None:
            return ()
        key = self.request_id.encode()
        headers: RecordHeaders = (
            (Headers.REQUEST_ID, key),
            (Headers.REPLY_INSTANCE, self.reply_to.instance),
            *(() if self.trace is None else self.trace.headers),
        )
        return (NewRecord(self.reply_to.topic, key, encode(reply), headers, self.reply_to.partition),)


def envelope_of(record: Record, replies_topic: str) -> Envelope:
    """Return the decoded headers of a record. Replies go to `replies_topic` or nowhere, whatever the headers name."""
    deadline_ms = _number(record.header(Headers.DEADLINE_MS))
    return Envelope(
        request_id=_text(record.header(Headers.REQUEST_ID)) or f"{record.topic}-{record.partition}-{record.offset}",
        reply_to=_reply_address(record, replies_topic),
        deadline_s=None if deadline_ms is None else deadline_ms / 1000.0,
        gallery_version=_number(record.header(Headers.GALLERY_VERSION)) or 0,
        retry_of=_text(record.header(Headers.RETRY_OF)) or None,
        attempt=_number(record.header(Headers.ATTEMPT)) or 1,
        replay_of=_text(record.header(Headers.REPLAY_OF)) or None,
        actor=read_actor(record.header(Headers.ACTOR)),
        retried_by=_text(record.header(Headers.RETRIED_BY)) or None,
        trace=trace_of(record.headers),
    )


def _reply_address(record: Record, replies_topic: str) -> ReplyAddress | None:
    partition = _number(record.header(Headers.REPLY_PARTITION))
    instance = record.header(Headers.REPLY_INSTANCE)
    if partition is None or instance is None or _text(record.header(Headers.REPLY_TOPIC)) != replies_topic:
        return None
    return ReplyAddress(replies_topic, partition, instance)


def _number(raw: bytes | None) -> int | None:
    return int(raw) if raw is not None and raw.isdigit() and len(raw) < 20 else None


def _text(raw: bytes | None) -> str:
    return "" if raw is None else raw.decode("utf-8", "replace")
