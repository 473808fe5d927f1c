"""Wipe: everybody and every device is deleted in one decision, or nobody is."""

import time

import numpy as np
import pytest

from contract.answers import WipedAnswer
from contract.codec import encode
from contract.errors import Code
from contract.people.keys import face_key, person_key, site_key
from contract.people.records import WHOLE_FACE, FaceRecord, PersonRecord
from contract.people.site import DeviceRecord, GroupRecord, SettingRecord, site_key_of
from contract.site_requests import WipeRequest
from engine.calls import wipe
from engine.calls.people import NOTHING_PREPARED, PEOPLE_UNREADABLE, ChangeDecision
from engine.calls.wipe import WipeCall
from engine.gallery.pending import PendingPeople
from engine.gallery.port import Scope
from tests.support.faces import MODELS, Enrolled, context

CALL = WipeCall()
REQUEST = WipeRequest(request_id="r", received_time_s=1.0)


@pytest.fixture
def enrolled() -> Enrolled:
    """Three people, one of them with two faces, two devices, a group and a setting."""
    site = Enrolled()
    for number, identity_id in enumerate(("anna", "bert", "cara")):
        site.enrol(identity_id, number)
    site.enrol("anna", 7, ignore_exist=True)
    for number in range(2):
        device = DeviceRecord(
            device_id=f"d{number}",
            name="door",
            address=f"10.0.0.{number}",
            device_type="photo",
            group_id="default_group",
            permission_id="0",
        )
        site.write([(site_key(site_key_of(device)), encode(device))])
    for record in (GroupRecord(group_id="g1", name="staff"), SettingRecord(name="matching", value={"REG_MIN_FACE": 9})):
        site.write([(site_key(site_key_of(record)), encode(record))])
    return site


def decide(site: Enrolled) -> ChangeDecision:
    decision = CALL.decide(REQUEST, NOTHING_PREPARED, PendingPeople(site.people), context())
    site.write(decision.people_records([(0, 0)] * len(decision.photos)))
    return decision


def test_people_and_devices_go_and_the_rest_of_the_site_stays(enrolled: Enrolled) -> None:
    decision = decide(enrolled)
    assert decision.answer == WipedAnswer(people=3, devices=2)
    assert decision.outcome == "deleted"
    people = enrolled.people
    assert (len(people), people.faces_count, dict(people.site.devices)) == (0, 0, {})
    assert people.snapshot().gallery.count(Scope(None)) == 0
    assert {key for key, value in decision.photos if value is None} == {
        b"photo/anna/0",
        b"photo/anna/1",
        b"photo/bert/0",
        b"photo/cara/0",
    }
    assert "g1" in people.site.groups
    assert "matching" in people.site.settings
    assert decision.site == people.site, "the next decision is based on what the records say"


def test_a_wipe_of_an_empty_site_changes_nothing(enrolled: Enrolled) -> None:
    decide(enrolled)
    again = decide(enrolled)
    assert (again.answer, again.changes) == (WipedAnswer(people=0, devices=0), False)


def test_a_site_with_more_records_than_one_decision_may_delete_is_refused_and_loses_nobody(
    enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Three people, four faces, four photos and two devices.
    monkeypatch.setattr(wipe, "MOST_RECORDS", 12)
    decision = decide(enrolled)
    assert decision.refusal is not None
    assert decision.refusal.code is Code.GROUP_LEN_ERROR
    assert "at most 12 records at once" in decision.refusal.message
    assert "the 3 people who are enrolled have more; nobody was deleted" in decision.refusal.message
    assert "`picturematch people delete --all`" in decision.refusal.message
    assert (decision.changes, decision.photos, len(enrolled.people)) == (False, (), 3)
    monkeypatch.setattr(wipe, "MOST_RECORDS", 13)
    decision = decide(enrolled)
    assert len(decision.photos) + len(decision.others) == 13
    assert decision.answer == WipedAnswer(people=3, devices=2)


def test_two_wipes_of_one_transaction_delete_nobody_twice(enrolled: Enrolled) -> None:
    pending = PendingPeople(enrolled.people)
    answers = []
    for _ in range(2):
        decision = CALL.decide(REQUEST, NOTHING_PREPARED, pending, context())
        pending.decided(decision.people, decision.site)
        answers.append(decision.answer)
    assert answers == [WipedAnswer(people=3, devices=2), WipedAnswer(people=0, devices=0)]
    assert (pending.count, pending.members("default_group"), list(pending.everybody())) == (0, 0, [])


def test_thousands_of_people_are_deleted_by_one_decision_in_a_short_time() -> None:
    many, site = 5_000, Enrolled()
    embedder, dimension = MODELS.embedder_identity, MODELS.embedder.dimension
    vectors = np.random.default_rng(1).normal(size=(many, dimension)).astype("<f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for number, vector in enumerate(vectors):
        face = FaceRecord(
            identity_id=f"p{number}", number=0, embedder=embedder, templates={WHOLE_FACE: vector.tobytes()}
        )
        person = PersonRecord(
            identity_id=f"p{number}", group_ids=("default_group",), info={"name": "N"}, faces=(0,), next_face=1
        )
        site.write([(face_key(f"p{number}", 0, embedder), encode(face)), (person_key(f"p{number}"), encode(person))])
    began = time.process_time()
    decision = CALL.decide(REQUEST, NOTHING_PREPARED, pending := PendingPeople(site.people), context())
    pending.decided(decision.people, decision.site)
    took_s = time.process_time() - began
    assert decision.answer == WipedAnswer(people=many, devices=0)
    assert len(decision.others) == 2 * many
    assert took_s < 1.5, "it takes 0.1 s, and everything else waits for it"
    site.write(decision.people_records([(0, 0)] * len(decision.photos)))
    assert (len(site.people), site.people.faces_count) == (0, 0)


def test_while_a_record_cannot_be_read_nobody_is_deleted(enrolled: Enrolled) -> None:
    enrolled.write([(b"person/dora", b"?")])
    assert decide(enrolled).refusal == PEOPLE_UNREADABLE
    assert len(enrolled.people) == 3
