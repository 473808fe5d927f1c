"""The recorded state of a JSON lines sink's folder, and the decision which lines to keep after a crash. Pure."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from broker.port import Record
from sinks.jsonl_lines import Place, digest_of, line_of, place_of


class Last(msgspec.Struct, frozen=True):
    """The last line of a partition: the offset of the line's event, and the line's digest."""

    offset: int
    digest: str


class Written(msgspec.Struct, frozen=True):
    """The state of a folder: the number of its last file, the number of durable bytes in that file, and by partition
    the last line in this file or an earlier one."""

    file: int = 0
    size: int = 0
    last: dict[int, Last] = msgspec.field(default_factory=dict)

    def contains(self, partition: int, offset: int) -> bool:
        """Return whether the files contain the event at that place."""
        last = self.last.get(partition)
        return last is not None and offset <= last.offset

    def with_lines(self, lines: Iterable[tuple[Place, bytes]]) -> "Written":
        """Return the state after these lines were appended to the last file."""
        size, last = self.size, dict(self.last)
        for place, line in lines:
            size += len(line)
            last[place.partition] = Last(place.offset, digest_of(line))
        return Written(self.file, size, last)


class _Sealed(msgspec.Struct, frozen=True):
    sha256: str
    written: msgspec.Raw


def encode_written(written: Written) -> bytes:
    """Return the contents of `written.json`, which include a checksum."""
    body = msgspec.json.encode(written)
    return msgspec.json.encode(_Sealed(hashlib.sha256(body).hexdigest(), msgspec.Raw(body))) + b"\n"


def decode_written(content: bytes) -> Written | None:
    """Return the state that `encode_written` encoded; None where the contents were changed."""
    try:
        sealed = msgspec.json.decode(content, type=_Sealed)
        body = bytes(sealed.written)
        return msgspec.json.decode(body, type=Written) if hashlib.sha256(body).hexdigest() == sealed.sha256 else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class Kept:
    """The number of lines of a tail that are kept, and the state of the folder including them."""

    lines: int
    written: Written


def keep_of_tail(
    written: Written, tail: Sequence[bytes], ends: Mapping[int, int], there: Mapping[tuple[int, int], Record | None]
) -> Kept:
    """Decide which lines behind the durable part are kept: all before the first line that differs from the log.

    A line differs unless it is exactly the line of the log's record at its place, and its place follows those of the
    earlier lines. No line of the tail is committed, so lines that are cut off are delivered again. A damaged line must
    not be kept, because with its place other events would count as written.

    Args:
        written: The state of the durable part.
        tail: The lines behind the durable part; the last one may be incomplete.
        ends: Partition -> end offset of the topic.
        there: (partition, offset) -> the log's record, for every place that the tail names.
    """
    for number, line in enumerate(tail):
        place = place_of(line)
        if (
            place is None
            or place.offset >= ends.get(place.partition, 0)
            or written.contains(place.partition, place.offset)
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
    """Return a partition whose last event in the folder differs from the log; None where all events may be of the log.

    An event differs if its offset lies behind the log's end, or if the log has another event at its place. Events that
    the log has removed since, and events whose record was damaged in the log since, do not differ.
    """
    for partition, last in written.last.items():
        record = there.get((partition, last.offset))
        if last.offset >= ends.get(partition, 0):
            return partition
        if record is not None and not record.damaged and digest_of(line_of(record)) != last.digest:
            return partition
    return None
