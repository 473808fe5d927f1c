"""Wipe: delete all people and devices (POST of WipeData), in one decision and one transaction, or not at all.

The decision is made on the event loop, and its records must be written within the caller's deadline. So a site with
more than `MOST_PEOPLE` people is refused; where the deadline passes all the same, the transaction is aborted.
"""

from dataclasses import replace

from contract.answers import Answer, WipedAnswer
from contract.errors import Code, Refusal, Refused
from contract.events import Event
from contract.kinds import kind_of
from contract.people.keys import SiteKey, site_key
from contract.requests import WipeRequest
from engine.calls.call import Change
from engine.calls.people import (
    NOTHING_PREPARED,
    PEOPLE_UNREADABLE,
    ChangeDecision,
    PeopleNow,
    Prepared,
    deleted_person,
    refuse_change,
)
from engine.calls.reporting import Circumstances
from engine.context import Context
from engine.gallery.people import NOBODY, Snapshot

MOST_PEOPLE = 10_000
"""The most people whom one call deletes: about 30,000 records."""


class WipeCall(Change[WipeRequest]):
    """The kind of call that deletes all people and devices."""

    kind = kind_of(WipeRequest)
    event_type = "picturematch.site.v1"
    outcomes = ("deleted", "refused", "expired")
    request_type = WipeRequest

    def change(self, request: WipeRequest, prepared: Prepared, people: PeopleNow, context: Context) -> ChangeDecision:
        """Delete all people and all devices.

        Raises:
            Refused: a record about the people or the site cannot be read, or there are more than MOST_PEOPLE people.
        """
        if people.unreadable:
            raise Refused.of(PEOPLE_UNREADABLE)
        if people.count > MOST_PEOPLE:
            raise Refused(
                Code.GROUP_LEN_ERROR,
                f"WipeData deletes at most {MOST_PEOPLE} people at once, and {people.count} are enrolled; nobody was"
                " deleted: delete people in lists or with their groups first",
            )
        gone, site = [person.identity_id for person in people.everybody()], people.site
        records = [deleted_person(identity_id, people.known(identity_id)) for identity_id in gone]
        devices = tuple((site_key(SiteKey("device", device_id)), None) for device_id in site.devices)
        return ChangeDecision(
            "deleted",
            WipedAnswer(people=len(gone), devices=len(devices)),
            dict.fromkeys(gone, NOBODY),
            site=replace(site, devices={}) if devices else None,
            photos=tuple(record for photos, _ in records for record in photos),
            others=(*(record for _, others in records for record in others), *devices),
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
