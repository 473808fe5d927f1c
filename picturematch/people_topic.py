"""Reads the people topic in a running process; records that cannot be read are logged and are not fatal."""

import logging
from collections.abc import Callable, Iterable, Sequence

from broker.port import Record
from contract.people.directory import Directory
from contract.people.unreadable import UnreadableRecord

log = logging.getLogger(__name__)

_NAMED_AT_MOST = 20
"""The most records that are named for one batch or in one answer, so that a damaged topic does not fill the disk."""


class PeopleTopic:
    """Applies the records of the people topic to `people`, and reports the records that cannot be read.

    `applied`: called with the records that were applied.
    """

    def __init__(
        self, people: Directory, topic: str, applied: Callable[[Sequence[Record]], None] = lambda records: None
    ) -> None:
        self._people, self._topic, self._applied = people, topic, applied

    def take(self, records: Sequence[Record]) -> None:
        """Apply the next records; log each record that cannot be read, and each such record that is replaced."""
        before = dict(self._people.unreadable)
        found = self._people.apply(records)
        self._applied(records)
        for record in found[:_NAMED_AT_MOST]:
            if record.key is None:
                log.error("topic %s, %s; it is skipped", self._topic, record)
            else:
                log.error(
                    "topic %s, %s; calls that need the people are refused until a later record of this key arrives:"
                    " see `picturematch people check`",
                    *(self._topic, record),
                )
        if len(found) > _NAMED_AT_MOST:
            log.error("topic %s: %d more records cannot be read", self._topic, len(found) - _NAMED_AT_MOST)
        replaced = [record for key, record in before.items() if self._people.unreadable.get(key) is not record]
        for record in replaced[:_NAMED_AT_MOST]:
            log.warning("topic %s, %s; a later record of this key has replaced it", self._topic, record)

    def not_ready(self) -> list[str]:
        """Return the reasons why nobody can be matched now: the records that cannot be read; none where all can."""
        return list(self._described(self._people.unreadable.values()))

    def _described(self, unreadable: Iterable[UnreadableRecord]) -> Iterable[str]:
        records = sorted(unreadable, key=lambda record: record.offset)
        for record in records[:_NAMED_AT_MOST]:
            yield f"a record of topic {self._topic} cannot be read ({record})"
        if len(records) > _NAMED_AT_MOST:
            yield f"{len(records) - _NAMED_AT_MOST} more records of topic {self._topic} cannot be read"
