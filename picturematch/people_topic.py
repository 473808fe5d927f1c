"""The reading of the people topic by a running process: records that cannot be read are told, not fatal."""

import logging
from collections.abc import Iterable, Sequence

from broker.port import Record
from contract.people.directory import Directory
from contract.people.unreadable import UnreadableRecord

log = logging.getLogger(__name__)

_TOLD_AT_MOST = 20
"""Lines for one batch of records, and records named in one answer: a damaged topic must not fill the disk as well."""


class PeopleTopic:
    """Applies the topic's records to `people`, and tells what of them cannot be read."""

    def __init__(self, people: Directory, topic: str) -> None:
        self._people, self._topic = people, topic

    def take(self, records: Sequence[Record]) -> None:
        """Fold the records that follow. One log line names each that cannot be read, and one each that is replaced."""
        before = dict(self._people.unreadable)
        found = self._people.apply(records)
        for record in found[:_TOLD_AT_MOST]:
            if record.key is None:
                log.error("topic %s, %s; it is skipped", self._topic, record)
            else:
                log.error(
                    "topic %s, %s; calls that need the people are refused until a later record of this key arrives:"
                    " see `picturematch people check`",
                    *(self._topic, record),
                )
        if len(found) > _TOLD_AT_MOST:
            log.error("topic %s: %d more records cannot be read", self._topic, len(found) - _TOLD_AT_MOST)
        replaced = [record for key, record in before.items() if self._people.unreadable.get(key) is not record]
        for record in replaced[:_TOLD_AT_MOST]:
            log.warning("topic %s, %s; a later record of this key has replaced it", self._topic, record)

    def not_ready(self) -> list[str]:
        """Why nobody can be matched now: the records that cannot be read; none when all can."""
        return list(self._told(self._people.unreadable.values()))

    def _told(self, unreadable: Iterable[UnreadableRecord]) -> Iterable[str]:
        records = sorted(unreadable, key=lambda record: record.offset)
        for record in records[:_TOLD_AT_MOST]:
            yield f"a record of topic {self._topic} cannot be read ({record})"
        if len(records) > _TOLD_AT_MOST:
            yield f"{len(records) - _TOLD_AT_MOST} more records of topic {self._topic} cannot be read"
