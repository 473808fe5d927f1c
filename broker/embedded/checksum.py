"""The checksum of a record, by which a reader detects that the file no longer contains what was written."""

import struct
from zlib import crc32

_HEAD = struct.Struct(">qqqqqq")
_ABSENT = -1


def record_checksum(
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    key: bytes | None,
    headers: bytes | None,
    value: bytes | None,
) -> int:
    """Return the CRC-32 (zlib's) of a record's position, time and contents; an absent content is not an empty one.

    Damaged bytes have the right checksum by chance once in four thousand million cases (2**32). The checksum does not
    protect against somebody who changes the file on purpose.
    """
    lengths = (_ABSENT if content is None else len(content) for content in (key, headers, value))
    crc = crc32(_HEAD.pack(partition, offset, timestamp_ms, *lengths), crc32(topic.encode()))
    for content in (key, headers, value):
        if content:
            crc = crc32(content, crc)
    return crc
