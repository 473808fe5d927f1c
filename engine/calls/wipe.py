"""Wipe: delete all people and devices (POST of WipeData), in decisions of bounded size.

A request deletes as many people as one transaction should contain, and the devices once no person is left. Whoever
sends it repeats it until nothing is left.
"""

from dataclasses import dataclass, field, replace

from contract.errors import Refusal, Refused
from contract.events import Event
from contract.kinds import kind_of
from contract.messages import Answer, WipedAnswer, WipeRequest
from contract.people.keys import SiteKey, person_key, site_key
from engine.calls.call import Change
from engine.calls.people import (
    NOTHING_PREPARED,
    PEOPLE_UNREADABLE,
    ChangeDecision,
    KeyedValue,
    PeopleNow,
    Prepared,
    deleted_faces,
    deleted_photos,
    refuse_change,
)
from engine.calls.reporting import Circumstances
from engine.context import Context
from engine.gallery.people import NOBODY, Snapshot

MOST_RECORDS = 2000
"""No further person or device is deleted by a decision that has written so many records."""


@dataclass(slots=True)
class _Wiped:
    """What a decision deletes."""

    people: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    photos: list[KeyedValue] = field(default_factory=list)
    records: list[KeyedValue] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return len(self.photos) + len(self.records) >= MOST_RECORDS


class WipeCall(Change[WipeRequest]):
    """The kind of call that deletes all people and devices."""

    kind = kind_of(WipeRequest)
    event_type = "picturematch.site.v1"
    outcomes = ("deleted", "refused", "expired")
    request_type = WipeRequest

    def change(self, request: WipeRequest, prepared: Prepared, people: PeopleNow, context: Context) -> ChangeDecision:
        """Delete people and, after the last one, devices, up to the limit of one decision.

        Raises:
            Refused: a record about the people or the site cannot be read.
        """
        if people.unreadable:
            raise Refused.of(PEOPLE_UNREADABLE)
        wiped, site = _wiped(people), people.site
        devices = {key: device for key, device in site.devices.items() if key not in wiped.devices}
        return ChangeDecision(
            "deleted",
            WipedAnswer(
                people=len(wiped.people),
                devices=len(wiped.devices),
                left=sum(1 for _ in people.everybody()) - len(wiped.people) + len(devices),
            ),
            dict.fromkeys(wiped.people, NOBODY),
            site=replace(site, devices=devices) if wiped.devices else None,
            photos=tuple(wiped.photos),
            others=tuple(wiped.records),
        )

    def refuse(self, request: WipeRequest, refusal: Refusal, snapshot: Snapshot, context: Context) -> ChangeDecision:
        """Return the decision that answers a request with that refusal."""
        return refuse_change(refusal, NOTHING_PREPARED)

    def answer(self, request: WipeRequest, decision: ChangeDecision, context: Context, photo: bytes | None) -> Answer:
        """Return the answer to a request that succeeded."""
        return decision.require_answer()

    def event(self, request: WipeRequest, decision: ChangeDecision, context: Context, at: Circumstances) -> Event:
        """Return the event that records the decision."""
        return at.event(self.kind, request, decision.outcome, decision.refusal)


def _wiped(people: PeopleNow) -> _Wiped:
    wiped = _Wiped()
    for person in people.everybody():
        if wiped.full:
            return wiped
        identity_id, known = person.identity_id, people.known(person.identity_id)
        wiped.people.append(identity_id)
        wiped.photos += deleted_photos(identity_id, person.faces, known)
        wiped.records += [(person_key(identity_id), None), *deleted_faces(identity_id, person.faces, known)]
    for device_id in people.site.devices:
        if wiped.full:
            return wiped
        wiped.devices.append(device_id)
        wiped.records.append((site_key(SiteKey("device", device_id)), None))
    return wiped
