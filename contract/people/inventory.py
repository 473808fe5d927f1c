"""The inventory of the people topic: the last record of every key, and which of these records cannot be read. Pure.

The inventory knows no embedder, so it cannot check that a vector has the length of the embedder in use; a running
processor checks that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from contract.people.directory import Entry
from contract.people.keys import NotReadable, PersonKey, SiteKey, key_of, parse_key, person_of
from contract.people.site import read_site_record
from contract.people.unreadable import UnreadableRecord, read_face, read_person


@dataclass(slots=True)
class Inventory:
    """The last record of every key, from the topic's records in offset order.

    `keyless`: the records without a key, which do not belong into a compacted topic. No later record can replace them,
    and every reader skips them.
    """

    keyless: list[UnreadableRecord] = field(default_factory=list)
    _last: dict[bytes, tuple[int, str | None]] = field(default_factory=dict)

    def take(self, entries: Iterable[Entry]) -> None:
        """Apply the next records of the topic, in offset order."""
        for entry in entries:
            key = key_of(entry.key, entry.offset, damaged=entry.damaged)
            if key is None:
                self.keyless.append(UnreadableRecord(entry.offset, None, "it has no key"))
            elif entry.value is None:
                self._last.pop(key, None)
            else:
                self._last[key] = (entry.offset, _why_not_readable(key, entry.value))

    def unreadable(self) -> Sequence[UnreadableRecord]:
        """Return the unreadable records that no later record has replaced, in offset order."""
        found = (UnreadableRecord(offset, key, why) for key, (offset, why) in self._last.items() if why is not None)
        return sorted(found, key=lambda record: record.offset)

    def key_at(self, offset: int) -> bytes | None:
        """Return the key of the record at that offset; None where no record has that offset, or a later one replaced
        it."""
        return next((key for key, (last, _) in self._last.items() if last == offset), None)

    def keys_to_remove(self, key: bytes) -> Sequence[bytes]:
        """Return the keys to delete in order to remove the record of a key: that key, and for a person's key also the
        keys of the person's faces, which nothing else would remove."""
        try:
            named = parse_key(key)
        except NotReadable:
            return [key]
        if not isinstance(named, PersonKey):
            return [key]
        return [key, *(other for other in self._last if other != key and _is_about(other, named.identity_id))]


def _is_about(key: bytes, identity_id: str) -> bool:
    try:
        return person_of(parse_key(key)) == identity_id
    except NotReadable:
        return False


def _why_not_readable(key: bytes, value: bytes) -> str | None:
    try:
        named = parse_key(key)
        if isinstance(named, PersonKey):
            read_person(named, value)
        elif isinstance(named, SiteKey):
            read_site_record(named, value)
        else:
            read_face(named, value, embedder=None, dimension=0)
    except NotReadable as error:
        return str(error)
    return None
