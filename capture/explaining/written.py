"""Finds the records of the people topic that an enrolment wrote, among those before the version of its event. Pure.

The event names the version behind its records. They are, in this order: a face, permissions, the person, and the
deletions of dropped faces (engine.calls.people.ChangeDecision.people_records).
"""

from collections.abc import Sequence

from broker.port import Record
from contract.events import Event
from contract.people.keys import FaceKey, NotReadable, PeopleKey, PersonKey, SiteKey, parse_key
from contract.requests import EnrolRequest


def count_written(records: Sequence[Record], event: Event, request: EnrolRequest) -> int:
    """Return how many of the last records an enrolment wrote; 0 where it changed nothing.

    `records`: the last records below the gallery version of the event, in the order of the log.
    """
    if event.error is not None or event.outcome == "expired":
        return 0
    identity_id, place = request.identity_id, len(records)
    while place and records[place - 1].value is None and _is_face(_key(records[place - 1]), identity_id):
        place -= 1
    if not place or records[place - 1].value is None or _key(records[place - 1]) != PersonKey(identity_id):
        return 0
    place -= 1
    if _may_repeat(request) and records[place].timestamp_ms < int(1000 * event.received_time):
        return 0  # an earlier request wrote them, and this one repeats it
    named = set((request.info or {}).get("permission_ids", ())) if request.create_no_exit_permission else set()
    while place and _names_permission(_key(records[place - 1]), named):
        place -= 1
    has_face = request.photo is not None or request.feature is not None
    if place and has_face and records[place - 1].value is not None and _is_face(_key(records[place - 1]), identity_id):
        place -= 1
    return len(records) - place


def _may_repeat(request: EnrolRequest) -> bool:
    """Return whether the request may repeat an earlier one, and so change nothing (engine.calls.repeated)."""
    has_face = request.photo is not None or request.feature is not None
    return has_face and not request.update and not request.ignore_exist


def _names_permission(key: PeopleKey | None, named: set[object]) -> bool:
    return isinstance(key, SiteKey) and key.kind == "permission" and key.id in named


def _is_face(key: PeopleKey | None, identity_id: str) -> bool:
    return isinstance(key, FaceKey) and key.identity_id == identity_id


def _key(record: Record) -> PeopleKey | None:
    try:
        return None if record.key is None else parse_key(record.key)
    except NotReadable:
        return None
