"""The small pure parts of the server."""

import base64

import msgspec
import pytest

from contract.errors import Code, Refused
from contract.networks import address_of
from ingest.auth import is_trusted
from ingest.json_body import check_content_type, read_object
from ingest.pictures import decode_base64
from ingest.render import refused
from ingest.settings import IngestSettings


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_in_every_spelling_is_this_machine(peer: str) -> None:
    assert is_trusted(IngestSettings(), address_of(peer))
    assert not is_trusted(IngestSettings(need_api_key_from_loopback=True), address_of(peer))


@pytest.mark.parametrize("peer", [None, "", "192.168.1.2", "::ffff:192.168.1.2", "fe80::1", "128.0.0.1", "localhost"])
def test_anything_else_is_another_machine(peer: str | None) -> None:
    assert not is_trusted(IngestSettings(), address_of(peer))


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1"])
def test_trusted_networks_are_the_operator_s_to_name(peer: str) -> None:
    chosen = IngestSettings(trusted_networks=("10.0.0.0/8", "fd00::/64"), need_api_key_from_loopback=True)
    assert is_trusted(chosen, address_of(peer))
    assert not is_trusted(chosen, address_of("127.0.0.1"))
    assert not is_trusted(chosen, address_of("11.1.2.3"))
    assert not is_trusted(chosen, address_of("fd00:0:0:1::1"))


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="max_pixel"):
        msgspec.convert({"max_pixel": 1}, IngestSettings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 70_000},
        {"deadline_ms": 0},
        {"max_in_flight": 0},
        {"api_keys": ["short"]},
        {"trusted_networks": ["10.0.0.1/8"]},
        {"trusted_networks": ["everybody"]},
        {"host_names": ["http://gatekeeper"]},
        {"host_names": ["gatekeeper:5555"]},
        {"host_names": [""]},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, IngestSettings)


def test_stopping_takes_the_deadline_and_a_second_unless_told() -> None:
    assert IngestSettings(deadline_ms=2000).drain_limit_s == 3.0
    assert IngestSettings(drain_s=9).drain_limit_s == 9


def test_a_body_that_arrives_while_the_server_stops_still_has_its_deadline() -> None:
    assert IngestSettings().drain_bodies_s == 1.0
    assert IngestSettings(drain_s=9).drain_bodies_s == 6.0
    assert IngestSettings(drain_s=2).drain_bodies_s == 0.5


def test_a_refusal_of_a_newer_processor_is_an_internal_error() -> None:
    from contract.answers import RefusedAnswer

    assert refused(RefusedAnswer(code=40099, message="new")).code is Code.INTERNAL_ERROR


@pytest.mark.parametrize("missing", [None, "", " "])
def test_a_missing_content_type_is_json_for_some_calls_only(missing: str | None) -> None:
    check_content_type(missing, typeless_is_json=True)
    with pytest.raises(Refused) as refusal:
        check_content_type(missing, typeless_is_json=False)
    assert refusal.value.code is Code.UNSUPPORT_CONTENT_TYPE


def test_values_without_end_are_refused_before_they_cost_memory() -> None:
    body = b'{"a":[' + b"{}," * 1_000_000 + b"{}]}"
    with pytest.raises(Refused) as refusal:
        read_object(body, 20_000)
    assert refusal.value.code is Code.BAD_REQUEST


@pytest.mark.parametrize("size", range(1, 10))
def test_base64_of_every_length_is_decoded(size: int) -> None:
    data = bytes(range(size))
    text = base64.b64encode(data).decode()
    url_safe = base64.urlsafe_b64encode(data).decode()
    for dress in (url_safe, text, text.rstrip("="), f"\n{text}\r\n", f"data:image/png;base64,{text}", "\n".join(text)):
        assert decode_base64(dress, "field", 100) == data
