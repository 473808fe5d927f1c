"""Wipe: everybody and every device is deleted, in decisions of bounded size."""

import pytest

from contract.messages import WipedAnswer, WipeRequest, encode
from contract.people.keys import site_key
from contract.people.site import DeviceRecord, GroupRecord, SettingRecord, site_key_of
from engine.calls import wipe
from engine.calls.people import NOTHING_PREPARED, PEOPLE_UNREADABLE, ChangeDecision
from engine.calls.wipe import WipeCall
from engine.gallery.pending import PendingPeople
from engine.gallery.port import Scope
from tests.support.faces import Enrolled, context

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
    site.write(decision.people_records())
    return decision


def test_people_and_devices_go_and_the_rest_of_the_site_stays(enrolled: Enrolled) -> None:
    decision = decide(enrolled)
    assert decision.answer == WipedAnswer(people=3, devices=2, left=0)
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
    assert (again.answer, again.changes) == (WipedAnswer(people=0, devices=0, left=0), False)


def test_a_decision_stops_at_its_limit_and_the_next_one_goes_on(
    enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wipe, "MOST_RECORDS", 4)
    answers = [decide(enrolled).answer for _ in range(3)]
    assert answers == [
        WipedAnswer(people=1, devices=0, left=4),
        WipedAnswer(people=2, devices=0, left=2),
        WipedAnswer(people=0, devices=2, left=0),
    ]


def test_requests_of_one_transaction_never_delete_anybody_twice(
    enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wipe, "MOST_RECORDS", 1)
    pending, deleted = PendingPeople(enrolled.people), list[str]()
    left = 5
    while left:
        decision = CALL.decide(REQUEST, NOTHING_PREPARED, pending, context())
        pending.decided(decision.people, decision.site)
        assert isinstance(decision.answer, WipedAnswer)
        left = decision.answer.left
        deleted += decision.people
    assert sorted(deleted) == ["anna", "bert", "cara"]
    assert not list(pending.everybody())


def test_while_a_record_cannot_be_read_nobody_is_deleted(enrolled: Enrolled) -> None:
    enrolled.write([(b"person/dora", b"?")])
    assert decide(enrolled).refusal == PEOPLE_UNREADABLE
    assert len(enrolled.people) == 3
