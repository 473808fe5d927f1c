"""Records that a guest files in the data folder for the owner, which appends them to the log.

A guest writes no record of the log. What its group commits beside an offset (dead letters) is filed as a file
append-NAME.request, before the offset is stored. The owner appends the records of a file in one transaction and then
deletes the file. A process that is killed between two of these steps repeats the step, so filed records are appended at
least once.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from broker.embedded.locks import remedy
from broker.port import BrokerError, NewRecord
from contract.files import write_whole

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Filed:
    """The records that one commit of a guest has filed, in the order in which they are appended."""

    records: tuple[NewRecord, ...]


_decoder = msgspec.msgpack.Decoder(Filed)


def name_of(group: str, topic: str, partition: int, next_offset: int) -> str:
    """Return the name under which a commit files its records: a repeated commit replaces its own file."""
    return hashlib.sha256(f"{group}\0{topic}\0{partition}\0{next_offset}".encode()).hexdigest()[:32]


def file_records(folder: Path, name: str, records: Sequence[NewRecord]) -> None:
    """File records for the owner of the folder; they are durable when this returns.

    Raises:
        BrokerError: the folder cannot be written.
    """
    path = folder / f"append-{name}.request"
    try:
        write_whole(path, msgspec.msgpack.encode(Filed(tuple(records))))
    except OSError as error:
        raise BrokerError(f"{path} cannot be written: {remedy(error)}") from error


def filed_records(folder: Path) -> list[tuple[Path, Filed]]:
    """Return the filed records, oldest file name first; a file that contains none is moved aside and logged."""
    found = []
    for path in sorted(folder.glob("append-*.request")):
        try:
            found.append((path, _decoder.decode(path.read_bytes())))
        except msgspec.DecodeError:
            move_aside(path)
            _log.error("%s contains no records that can be appended; the file was moved aside", path)
    return found


def move_aside(path: Path) -> None:
    """Rename a filed file, so that the owner passes it over and an operator can look at it."""
    path.replace(path.with_suffix(".refused"))
