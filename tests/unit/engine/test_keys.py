"""Creating and deleting API keys, as the admin lane decides it."""

import pytest

from contract.answers import KeyAnswer
from contract.errors import Code
from contract.ids import made_id
from contract.people.keys import SiteKey, parse_key
from contract.people.site import KeyRecord, Site, read_site_record
from contract.site_requests import KeyRequest
from engine.calls import call_of
from engine.calls import key as key_calls
from engine.calls.people import NOTHING_PREPARED, ChangeDecision
from engine.calls.reporting import Circumstances
from tests.support.faces import context

HASH = b"h" * 32


class Now:
    """People as they are now, with a site."""

    def __init__(self, site: Site) -> None:
        self.site = site


def asked(action: str = "create", name: str = "gate", request_id: str = "r1") -> KeyRequest:
    return KeyRequest(
        request_id=request_id, received_time_s=7.0, action=action, name=name, role="operator", sha256=HASH
    )


def decided(request: KeyRequest, site: Site) -> ChangeDecision:
    call = key_calls.KeyCall()
    assert call_of(request).kind == call.kind == "key"
    return call.decide(request, NOTHING_PREPARED, Now(site), context())


def test_a_created_key_is_a_record_with_the_hash_and_an_id_that_follows_from_the_request():
    decision = decided(asked(), Site())
    ((key, value),) = decision.people_records()
    name = parse_key(key)
    assert name == SiteKey("key", made_id("r1"))
    expected = KeyRecord(key_id=made_id("r1"), name="gate", role="operator", sha256=HASH, created_s=7.0)
    assert read_site_record(name, value or b"") == expected
    assert decision.site == Site().put(expected)
    assert decision.answer == KeyAnswer(key_id=made_id("r1"), name="gate", role="operator", created_s=7.0)
    assert decision.outcome == "created"


def test_a_name_is_used_once_until_its_key_is_deleted():
    site = decided(asked(), Site()).site
    again = decided(asked(request_id="r2"), site)
    assert (again.outcome, again.refusal.code, again.changes) == ("refused", Code.PARAM_ERROR, False)
    deleted = decided(asked("delete", request_id="r3"), site)
    assert deleted.people_records() == ((b"key/" + made_id("r1").encode(), None),)
    assert (deleted.outcome, deleted.site) == ("deleted", Site())
    assert decided(asked(request_id="r4"), deleted.site).outcome == "created"


def test_deleting_a_key_that_does_not_exist_is_refused():
    decision = decided(asked("delete"), Site())
    assert (decision.refusal.code, decision.changes) == (Code.ID_NOT_FOUND, False)


def test_there_are_at_most_so_many_keys(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(key_calls, "MOST_KEYS", 2)
    site = Site()
    for number in range(2):
        site = decided(asked(name=f"k{number}", request_id=f"r{number}"), site).site
    assert decided(asked(name="k2", request_id="r2"), site).refusal.code == Code.PARAM_ERROR


def test_the_event_names_the_key_and_contains_nothing_of_it():
    request, call = asked(), key_calls.KeyCall()
    event = call.event(request, decided(request, Site()), context(), Circumstances("admin", 0, 3, 8.0, 9))
    assert (event.kind, event.outcome, event.name, event.gallery_version) == ("key", "created", "gate", 9)
    assert HASH.decode() not in str(event)
