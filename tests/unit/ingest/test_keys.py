"""API keys: how they are made, sent, compared, and recognised in URLs."""

import base64
import re

import pytest
from multidict import CIMultiDict, MultiDict

from contract.people.site import KeyRecord
from ingest import keys
from ingest.keys import KnownKey, SentKey, digest, find_key, is_in_url, new_key, sent_key


def record(name: str, key: str) -> KeyRecord:
    return KeyRecord(key_id=f"id-{name}", name=name, role="operator", sha256=digest(key.encode()), created_s=1.0)


def test_a_new_key_is_random_recognisable_and_needs_no_quoting():
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    for key in made:
        assert re.fullmatch(r"pm_[A-Za-z0-9_-]{43}", key)
        assert len(base64.urlsafe_b64decode(key.removeprefix("pm_") + "=")) == 32


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ({"X-API-Key": "k"}, SentKey(b"k")),
        ({"X-API-Key": "k", "Authorization": "Bearer other"}, SentKey(b"k")),
        ({"X-API-Key": "", "Authorization": "Bearer other"}, None),
        ({"Authorization": "bearer  k "}, SentKey(b"k")),
        ({"Authorization": "Basic " + base64.b64encode(b"any:k:1").decode()}, SentKey(b"k:1", is_password=True)),
        ({"Authorization": "Basic " + base64.b64encode(b"any:").decode()}, None),
        ({"Authorization": "Basic !"}, None),
        ({"Authorization": "Digest k"}, None),
        ({}, None),
    ],
)
def test_a_key_is_sent_in_one_of_three_headers(headers: dict[str, str], sent: SentKey | None):
    assert sent_key(CIMultiDict(headers)) == sent


def test_a_key_is_found_among_those_of_the_settings_and_of_the_people_topic():
    records = [record("a", "key a"), record("b", "key b")]
    assert find_key(b"key b", ("set",), records) == KnownKey("b", "operator", digest(b"key b"), "id-b")
    assert find_key(b"set", ("first", "set"), records) == KnownKey("settings key 2", "administrator", digest(b"set"))
    assert find_key(b"key c", ("set",), records) is None
    assert find_key(digest(b"key a"), (), records) is None, "a stolen hash opens nothing"


def test_every_key_is_compared_in_constant_time_whether_it_is_found_early_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
):
    compared: list[tuple[bytes, bytes]] = []
    original = keys.hmac.compare_digest

    def counting(offered: bytes, known: bytes) -> bool:
        compared.append((offered, known))
        return original(offered, known)

    monkeypatch.setattr(keys.hmac, "compare_digest", counting)
    records = [record(name, name) for name in "abc"]
    for sent in (b"first", b"a", b"c", b"none"):
        compared.clear()
        find_key(sent, ("first",), records)
        assert len(compared) == 4
        assert all(len(offered) == len(known) == 32 for offered, known in compared)


@pytest.mark.parametrize(
    ("query", "is_key"),
    [
        ({"api_key": "short"}, True),
        ({"API-Key": "short"}, True),
        ({"token": new_key()}, True),
        ({"info.name": f"x{new_key()}y"}, True),
        ({"info.name": "pm_lunch"}, False),
        ({"key": "a", "identity_id": "pm_1"}, False),
        ({}, False),
    ],
)
def test_a_key_in_a_url_is_recognised_by_its_name_or_its_form(query: dict[str, str], is_key: bool):
    assert is_in_url(MultiDict(query)) is is_key
