"""Erases the contents of single records, in place: the record stays, without its value.

A record cannot be taken out of the middle of a partition, because readers report a gap as damage. So an erased record
keeps its offset, time, key and headers, has the value None, and gets the header `erased` (`broker.port.ERASED`), whose
value is the key of the record that documents the erasure. In a compacted topic such a record is a tombstone; compaction
removes it as it removes any record that a later one replaces.

The owner of the data folder erases. Another process files an erasure in the folder, as a file erase-NAME.request, which
the owner deletes once the erasure is durable and the erased bytes are neither in the database file nor in its WAL.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from broker.embedded.checksum import record_checksum
from broker.embedded.locks import remedy
from broker.embedded.store import OFFSET_BITS
from broker.embedded.transaction import Transaction
from broker.port import ERASED, BrokerError, Headers, NewRecord, Position
from contract.files import write_whole

_encode_headers = msgspec.msgpack.Encoder().encode
_decode_headers = msgspec.msgpack.Decoder(Headers).decode

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Erasure:
    """The places of the records to erase, and a record that is appended with the erasure and documents it.

    `others`: further records that are appended with it.
    """

    places: tuple[Position, ...]
    record: NewRecord
    others: tuple[NewRecord, ...] = ()

    @property
    def mark(self) -> bytes:
        """The value of the header `erased` in every record that this erasure has erased."""
        return self.record.key or b""


_decoder = msgspec.msgpack.Decoder(Erasure)


def has_erased(transaction: Transaction, erasure: Erasure) -> bool:
    """Return whether a record was erased by this erasure before."""
    return any(
        (ERASED, erasure.mark) in _headers(headers)
        for place in erasure.places
        if (row_id := _row_id(transaction, place)) is not None
        for (headers,) in transaction.connection.execute(
            "SELECT headers FROM record WHERE id = ? AND value IS NULL", (row_id,)
        ).fetchall()
    )


def erase_records(transaction: Transaction, places: Sequence[Position], mark: bytes) -> int:
    """Erase the records at the places; return the number of records that were not erased before.

    A place without a record is ignored. A damaged record is erased too, and is whole afterwards.
    """
    return sum(_erase_record(transaction, place, mark) for place in places)


def _row_id(transaction: Transaction, place: Position) -> int | None:
    topic = transaction.topics.get(place.topic)
    if topic is None or not 0 <= place.partition < len(topic.shards):
        return None
    return topic.shards[place.partition] << OFFSET_BITS | place.offset


def _erase_record(transaction: Transaction, place: Position, mark: bytes) -> bool:
    row_id = _row_id(transaction, place)
    if row_id is None:
        return False
    row = transaction.connection.execute(
        "SELECT timestamp_ms, key, headers FROM record WHERE id = ? AND value IS NOT NULL", (row_id,)
    ).fetchone()
    if row is None:
        return False
    timestamp_ms, key, headers = row
    marked = _encode_headers((*_headers(headers), (ERASED, mark)))
    transaction.connection.execute(
        "UPDATE record SET bytes = ?, checksum = ?, headers = ?, value = NULL WHERE id = ?",
        (
            len(key or b"") + len(marked),
            record_checksum(place.topic, place.partition, place.offset, timestamp_ms, key, marked, None),
            marked,
            row_id,
        ),
    )
    shard = row_id >> OFFSET_BITS
    transaction.removed[shard] = max(transaction.removed.get(shard, 0), place.offset)  # memory has the old value
    return True


def _headers(encoded: bytes | None) -> Headers:
    try:
        return _decode_headers(encoded) if encoded else ()
    except msgspec.DecodeError:
        return ()


def file_erasure(folder: Path, erasure: Erasure, name: str) -> Path:
    """File an erasure for the owner of the folder; return the path of the file, which the owner deletes when done.

    Raises:
        BrokerError: the folder cannot be written.
    """
    path = folder / f"erase-{name}.request"
    try:
        write_whole(path, msgspec.msgpack.encode(erasure))
    except OSError as error:
        raise BrokerError(f"{path} cannot be written: {remedy(error)}") from error
    return path


def refused(path: Path) -> Path:
    """Return the path to which the owner moves a filed erasure that cannot be read."""
    return path.with_suffix(".refused")


def filed_erasures(folder: Path) -> list[tuple[Path, Erasure]]:
    """Return the filed erasures; a file that is no erasure is moved aside and logged."""
    found = []
    for path in sorted(folder.glob("erase-*.request")):
        try:
            found.append((path, _decoder.decode(path.read_bytes())))
        except msgspec.DecodeError:
            path.replace(refused(path))
            _log.error("%s contains no erasure; it is ignored", path)
    return found
