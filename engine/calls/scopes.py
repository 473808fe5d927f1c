"""The common parts of the calls that change groups, permissions and their members.

The decision about a deletion is made on the event loop, and all its records are one transaction. So a deletion that
deletes people too is refused where it would delete more than `Policy.max_recursive_delete`; the caller deletes people
in parts first. Deleting step by step instead would leave a group without some of its people after a deadline, although
the call was answered with TIMEOUT.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, TypeVar

from msgspec import structs

from contract.answers import Answer
from contract.codec import encode
from contract.errors import Code, Refusal, Refused
from contract.events import Event
from contract.people.keys import SiteKey, site_key
from contract.people.listing import ListedPerson
from contract.people.site import GroupRecord, PermissionRecord, site_key_of
from contract.site_requests import ScopeRequest
from engine.calls.call import Change
from engine.calls.people import (
    NOTHING_PREPARED,
    PEOPLE_UNREADABLE,
    ChangeDecision,
    PeopleNow,
    Prepared,
    deleted_person,
    merged_info,
    refuse_change,
)
from engine.calls.reporting import Circumstances
from engine.context import Context
from engine.gallery.people import NOBODY, Snapshot
from engine.policy import Policy

MAX_RECORD_BYTES = 16 * 1024
"""The most bytes of the record of a group or permission, which every process keeps in memory."""

R = TypeVar("R", bound=ScopeRequest)
Described = TypeVar("Described", GroupRecord, PermissionRecord)


class ScopeCall(Change[R]):
    """A call that changes groups, permissions or their members."""

    event_type = "picturematch.site.v1"
    outcomes: ClassVar[tuple[str, ...]] = ("created", "changed", "deleted", "refused", "expired")

    @abstractmethod
    def changed(self, request: R, people: PeopleNow, policy: Policy) -> ChangeDecision:
        """Return the decision about a request; every record of the people topic can be read.

        Raises:
            Refused: the request is refused and changes nothing.
        """

    @abstractmethod
    def name_of(self, request: R) -> str:
        """Return the name, or else the id, by which a request names its group or permission."""

    def change(self, request: R, prepared: Prepared, people: PeopleNow, context: Context) -> ChangeDecision:
        """Return the decision about a request.

        Raises:
            Refused: the request is refused, or a record of the people topic cannot be read.
        """
        if people.unreadable:
            raise Refused.of(PEOPLE_UNREADABLE)
        return self.changed(request, people, context.policy)

    def refuse(self, request: R, refusal: Refusal, snapshot: Snapshot, context: Context) -> ChangeDecision:
        """Return the decision that answers a request with that refusal."""
        return refuse_change(refusal, NOTHING_PREPARED)

    def answer(self, request: R, decision: ChangeDecision, context: Context, photo: bytes | None) -> Answer:
        """Return the answer to a request that succeeded."""
        return decision.require_answer()

    def event(self, request: R, decision: ChangeDecision, context: Context, at: Circumstances) -> Event:
        """Return the event that records the decision: the name, and the people who were changed or deleted."""
        return structs.replace(
            at.event(self.kind, request, decision.outcome, decision.refusal),
            name=self.name_of(request),
            identity_ids=tuple(decision.people),
        )


def described(record: Described, description: str | None, info: Mapping[str, Any] | None) -> Described:
    """Return a record with a new description (None: the present one), and `info` merged into its present info.

    Merging replaces members of the same name; a member whose value is None is removed.

    Raises:
        Refused: 40071: the record would be larger than `MAX_RECORD_BYTES`.
    """
    kept = record.description if description is None else description
    after = structs.replace(record, description=kept, info=merged_info(record.info, info))
    if len(encode(after)) > MAX_RECORD_BYTES:
        raise Refused(Code.PARAM_ERROR, f"description and info together must have at most {MAX_RECORD_BYTES} bytes")
    return after


def require_room_for(more: int, count: int, most: int, what: str) -> None:
    """Return where `more` groups or permissions may be created in addition to the `count` that exist.

    Raises:
        Refused: 40015: these would be more than `most`.
    """
    if count + more > most:
        raise Refused(
            Code.GROUP_LEN_ERROR, f"at most {most} {what} are allowed; delete one or raise the limit in the settings"
        )


def stored(outcome: str, record: GroupRecord | PermissionRecord, people: PeopleNow, answer: Answer) -> ChangeDecision:
    """Return the decision that creates or replaces a group or permission."""
    key = site_key_of(record)
    return ChangeDecision(outcome, answer, site=people.site.put(record), others=((site_key(key), encode(record)),))


def with_this_only(
    people: PeopleNow,
    ids_of: Callable[[ListedPerson], Sequence[str]],
    this_id: str,
    existing: Mapping[str, object],
    most: int,
) -> Sequence[str]:
    """Return the identity_ids, in order, of the people of whose groups (or permissions) only `this_id` exists.

    `ids_of` returns the ids of a person's groups or permissions; `existing` contains those that exist.

    Raises:
        Refused: 40015: these are more than `most` people.
    """

    def has_this_only(person: ListedPerson) -> bool:
        ids = ids_of(person)
        return this_id in ids and all(other == this_id or other not in existing for other in ids)

    found = [person.identity_id for person in islice(filter(has_this_only, people.everybody()), most + 1)]
    if len(found) > most:
        raise Refused(
            Code.GROUP_LEN_ERROR,
            f"user_recursive_delete deletes at most {most} people; delete people first, or leave it out",
        )
    return sorted(found)


def deleted(key: SiteKey, gone: Sequence[str], people: PeopleNow, answer: Answer) -> ChangeDecision:
    """Return the decision that deletes a group or permission, and the people `gone` with their faces and photos."""
    records = [deleted_person(identity_id, people.known(identity_id)) for identity_id in gone]
    return ChangeDecision(
        "deleted",
        answer,
        dict.fromkeys(gone, NOBODY),
        site=people.site.without(key),
        photos=tuple(record for photos, _ in records for record in photos),
        others=(*(record for _, others in records for record in others), (site_key(key), None)),
    )
