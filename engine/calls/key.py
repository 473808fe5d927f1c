"""Key: create and delete API keys."""

from msgspec import structs

from contract.answers import Answer, KeyAnswer
from contract.codec import encode
from contract.errors import Code, Refusal, Refused
from contract.events import Event
from contract.ids import made_id
from contract.kinds import kind_of
from contract.people.keys import site_key
from contract.people.site import KeyRecord, Site, site_key_of
from contract.site_requests import KeyRequest
from engine.calls.call import Change
from engine.calls.people import NOTHING_PREPARED, ChangeDecision, PeopleNow, Prepared, refuse_change
from engine.calls.reporting import Circumstances
from engine.context import Context
from engine.gallery.people import Snapshot

MOST_KEYS = 1000
"""The most API keys; an ingress compares a key that was sent with each of them."""


class KeyCall(Change[KeyRequest]):
    """The kind of call that creates and deletes API keys."""

    kind = kind_of(KeyRequest)
    event_type = "picturematch.site.v1"
    outcomes = ("created", "deleted", "refused", "expired")
    request_type = KeyRequest

    def change(self, request: KeyRequest, prepared: Prepared, people: PeopleNow, context: Context) -> ChangeDecision:
        """Create or delete a key; names are unique among the keys that exist.

        Raises:
            Refused: 40071: a key to be created exists, or there are too many; 40401: no key has the name.
        """
        site = people.site
        known = next((key for key in site.keys.values() if key.name == request.name), None)
        if request.action == "create":
            record = _created(request, site, known)
            return _decision("created", record, encode(record), site.put(record))
        if known is None:
            raise Refused(Code.ID_NOT_FOUND, "no API key has this name")
        return _decision("deleted", known, None, site.without(site_key_of(known)))

    def refuse(self, request: KeyRequest, refusal: Refusal, snapshot: Snapshot, context: Context) -> ChangeDecision:
        """Return the decision that answers a request with that refusal."""
        return refuse_change(refusal, NOTHING_PREPARED)

    def answer(self, request: KeyRequest, decision: ChangeDecision, context: Context, photo: bytes | None) -> Answer:
        """Return the answer to a request that succeeded."""
        return decision.require_answer()

    def event(self, request: KeyRequest, decision: ChangeDecision, context: Context, at: Circumstances) -> Event:
        """Return the event that records the decision; it names the key and contains nothing of it."""
        return structs.replace(at.event(self.kind, request, decision.outcome, decision.refusal), name=request.name)


def _created(request: KeyRequest, site: Site, known: KeyRecord | None) -> KeyRecord:
    if known is not None:
        raise Refused(
            Code.PARAM_ERROR, "name: an API key with this name exists; delete it first, or choose another name"
        )
    if len(site.keys) >= MOST_KEYS:
        raise Refused(Code.PARAM_ERROR, f"there are {MOST_KEYS} API keys already; delete those that nobody uses")
    return KeyRecord(
        key_id=made_id(request.request_id),
        name=request.name,
        role=request.role,
        sha256=request.sha256,
        created_s=request.received_time_s,
    )


def _decision(outcome: str, record: KeyRecord, value: bytes | None, site: Site) -> ChangeDecision:
    answer = KeyAnswer(key_id=record.key_id, name=record.name, role=record.role, created_s=record.created_s)
    return ChangeDecision(outcome, answer, site=site, others=((site_key(site_key_of(record)), value),))
