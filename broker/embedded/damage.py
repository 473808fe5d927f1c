"""Logs and counts the damaged records that were read, each position once."""

import logging
from collections.abc import Iterable

from broker.port import Position, Record

_log = logging.getLogger(__name__)

_NAMED = 20  # so many damaged records are logged; `picturematch log check` reports all
_REMEMBERED = 100_000
_KEY_CHARACTERS = 120


class DamageLog:
    """The damaged records that were read from one open log. All calls come from the event loop."""

    def __init__(self) -> None:
        self._places: set[Position] = set()

    @property
    def count(self) -> int:
        """The number of damaged records that were read so far."""
        return len(self._places)

    def note(self, records: Iterable[Record]) -> None:
        """Count and log those of the records that are damaged and were not noted before."""
        for record in records:
            if not record.damaged or record.position in self._places or len(self._places) >= _REMEMBERED:
                continue
            self._places.add(record.position)
            if len(self._places) <= _NAMED:
                _log.error("%s", damage_sentence(record))
            elif len(self._places) == _NAMED + 1:
                _log.error("more records of the log are damaged; `picturematch log check` reports all of them")


def damage_sentence(record: Record) -> str:
    """Return a sentence that names the position and the key of a damaged record."""
    key = "unreadable" if record.key is None else repr(record.key)[1:][:_KEY_CHARACTERS]
    return (
        f"the record at topic {record.topic}, partition {record.partition}, offset {record.offset} is damaged in the"
        f" file of the log and cannot be used (key {key})"
    )
