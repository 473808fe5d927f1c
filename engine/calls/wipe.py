"""Wipe: delete all people and devices (POST of WipeData), in one decision and one transaction, or not at all.

The decision is made on the event loop, and its records must be written within the caller's deadline. So a wipe of more
than `MOST_RECORDS` records is refused; where the deadline passes all the same, the transaction is aborted.
"""

from dataclasses import replace

from contract.answers import Answer, WipedAnswer
from contract.errors import Code, Refusal, Refused
from contract.events import Event
from contract.kinds import kind_of
from contract.people.keys import SiteKey, site_key
from contract.site_requests import WipeRequest
from engine.calls.call import Change
from engine.calls.people import (
    NOTHING_PREPARED,
    PEOPLE_UNREADABLE,
    ChangeDecision,
    KeyedValue,
    PeopleNow,
    Prepared,
    deleted_person,
    refuse_change,
)
from engine.calls.reporting import Circumstances
from engine.context import Context
from engine.gallery.people import NOBODY, Snapshot

MOST_RECORDS = 30_000
"""The most records that one call deletes, such as those of 10,000 people with one face and its photo each."""


class WipeCall(Change[WipeRequest]):
    """The kind of call that deletes all people and devices."""

    kind = kind_of(WipeRequest)
    event_type = "picturematch.site.v1"
    outcomes = ("deleted", "refused", "expired")
    request_type = WipeRequest

    def change(self, request: WipeRequest, prepared: Prepared, people: PeopleNow, context: Context) -> ChangeDecision:
        """Delete all people and all devices.

        Raises:
            Refused: a record about the people or the site cannot be read, or there are more than MOST_RECORDS records.
        """
        if people.unreadable:
            raise Refused.of(PEOPLE_UNREADABLE)
        site, gone = people.site, list[str]()
        devices = [(site_key(SiteKey("device", device_id)), None) for device_id in site.devices]
        photos, others = list[KeyedValue](), list[KeyedValue](devices)
        for person in people.everybody():
            of_photos, of_people = deleted_person(person.identity_id, people.known(person.identity_id))
            gone.append(person.identity_id)
            photos += of_photos
            others += of_people
            if len(photos) + len(others) > MOST_RECORDS:
                raise _too_many(people.count)
        return ChangeDecision(
            "deleted",
            WipedAnswer(people=len(gone), devices=len(devices)),
            dict.fromkeys(gone, NOBODY),
            site=replace(site, devices={}) if devices else None,
            photos=tuple(photos),
            others=tuple(others),
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


def _too_many(people: int) -> Refused:
    return Refused(
        Code.GROUP_LEN_ERROR,
        f"WipeData deletes at most {MOST_RECORDS} records at once (each person, face, photo and device is one), and the"
        f" {people} people who are enrolled have more; nobody was deleted: run `picturematch people delete --all`,"
        " and then WipeData for the devices",
    )
