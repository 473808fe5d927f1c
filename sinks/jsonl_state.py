"""What the folder of a JSON lines sink knows of itself, and what that makes of the lines a crash left behind. Pure."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from broker.port import Record
from sinks.jsonl_lines import Place, digest_of, line_of, place_of


class Last(msgspec.Struct, frozen=True):
    """The last line of a partition: the offset of its event, and the line's digest."""

    offset: int
    digest: str


class Written(msgspec.Struct, frozen=True):
    """How far a folder is: the number of its last file, how many bytes of that file are durable, and per partition the
    last line that stands in this file or in one before it."""

    file: int = 0
    size: int = 0
    last: dict[int, Last] = msgspec.field(default_factory=dict)

    def holds(self, partition: int, offset: int) -> bool:
        """Whether the event at that place stands in the files."""
        last = self.last.get(partition)
        return last is not None and offset <= last.offset

    def with_lines(self, lines: Iterable[tuple[Place, bytes]]) -> "Written":
        """The same after these lines were appended to the last file."""
        size, last = self.size, dict(self.last)
        for place, line in lines:
            size += len(line)
            last[place.partition] = Last(place.offset, digest_of(line))
        return Written(self.file, size, last)


class _Sealed(msgspec.Struct, frozen=True):
    sha256: str
    written: msgspec.Raw


def encode_written(written: Written) -> bytes:
    """As a file's content, with its own checksum."""
    body = msgspec.json.encode(written)
    return msgspec.json.encode(_Sealed(hashlib.sha256(body).hexdigest(), msgspec.Raw(body))) + b"\n"


def decode_written(content: bytes) -> Written | None:
    """What `encode_written` wrote; None when a byte of it is another."""
    try:
        sealed = msgspec.json.decode(content, type=_Sealed)
        body = bytes(sealed.written)
        return msgspec.json.decode(body, type=Written) if hashlib.sha256(body).hexdigest() == sealed.sha256 else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class Kept:
    """How many lines of a tail are kept, and how far the folder is with them."""

    lines: int
    written: Written


def keep_of_tail(
    written: Written, tail: Sequence[bytes], ends: Mapping[int, int], there: Mapping[tuple[int, int], Record | None]
) -> Kept:
    """Which lines behind the durable part are kept: all before the first one that is not exactly the next of its
    partition as the log has it.

    No line of the tail is committed, so what is cut off is delivered again. A line that is damaged must not be
    believed: its place would have other events taken as written.

    Args:
        written: The durable part.
        tail: The lines behind it, the last one perhaps half.
        ends: Partition -> end offset of the topic.
        there: (partition, offset) -> the log's record, for every place that the tail names.
    """
    for number, line in enumerate(tail):
        place = place_of(line)
        if (
            place is None
            or place.offset >= ends.get(place.partition, 0)
            or written.holds(place.partition, place.offset)
        ):
            return Kept(number, written)
        record = there.get((place.partition, place.offset))
        if record is None or line_of(record) != line:
            return Kept(number, written)
        written = written.with_lines([(place, line)])
    return Kept(len(tail), written)


def foreign_partition(
    written: Written, ends: Mapping[int, int], there: Mapping[tuple[int, int], Record | None]
) -> int | None:
    """A partition of which the folder holds an event that the log does not have, or has another at its place; None when
    they fit. An event fits that the log has removed since, and one whose record was damaged in the log since."""
    for partition, last in written.last.items():
        record = there.get((partition, last.offset))
        if last.offset >= ends.get(partition, 0):
            return partition
        if record is not None and not record.damaged and digest_of(line_of(record)) != last.digest:
            return partition
    return None
