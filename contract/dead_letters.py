"""The values of the dead-letters topic.

All messages are MessagePack maps in which pictures stay raw bytes. A reader ignores unknown fields, so that a newer
writer does not break an older reader; a field never changes its meaning.
"""

import msgspec

from contract.codec import decode_with
from contract.terms import Message

SINK_STAGE = "sink/"
"""What the stage of a sink's dead letters begins with; the sink's name follows."""


class DeadLetter(Message, tag="letter", tag_field="kind", frozen=True, kw_only=True):
    """A record that could not be processed, as the dead-letters topic contains it.

    `value`, `key` and `headers` are those of the record, unchanged. `attempt` counts from 1.
    """

    topic: str
    partition: int
    offset: int
    stage: str
    code: int
    error: str
    attempt: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class RetryMark(Message, tag="retry", tag_field="kind", frozen=True, kw_only=True):
    """A record of the dead-letters topic: the letter at `partition` and `offset` was sent again as `request_id`."""

    partition: int
    offset: int
    request_id: str


_decoder: msgspec.msgpack.Decoder[DeadLetter | RetryMark] = msgspec.msgpack.Decoder(DeadLetter | RetryMark)


def decode_dead_letter(data: bytes) -> DeadLetter | RetryMark:
    """Return the dead letter or the retry mark that a record of the dead-letters topic contains.

    Raises:
        msgspec.DecodeError: the bytes are neither a dead letter nor a retry mark.
    """
    return decode_with(_decoder, data)
