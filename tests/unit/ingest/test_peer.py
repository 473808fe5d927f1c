"""Whose call it is: by the connection, or by what a trusted proxy says."""

import ipaddress
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract.networks import address_of, is_within, networks
from ingest import peer
from ingest.peer import UNKNOWN, client_of, is_encrypted, peer_key
from ingest.settings import IngestSettings

TRUSTED = networks(["10.0.0.0/8", "fd00::/8"])
PROXY = "10.0.0.1"
NOBODY = "None"


def client(forwarded: tuple[str, ...] = (), x_forwarded_for: tuple[str, ...] = (), connected: str = PROXY) -> str:
    return str(client_of(connected, forwarded, x_forwarded_for, TRUSTED))


def test_what_an_untrusted_peer_writes_is_not_read() -> None:
    assert client(("for=1.2.3.4",), ("1.2.3.4",), connected="192.0.2.9") == "192.0.2.9"


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1, 10.9.9.9", "192.0.2.1"),
        ("10.9.9.9", "10.9.9.9"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, nonsense", NOBODY),
        ("nonsense, 192.0.2.1", "192.0.2.1"),
        ("", NOBODY),
        ("192.0.2.1,", NOBODY),
        ("[2001:db8::1", NOBODY),
        ("127.0.0.1", NOBODY),
        ("::ffff:127.0.0.1", NOBODY),
        ("::1", NOBODY),
    ],
)
def test_x_forwarded_for_names_the_rightmost_that_is_no_proxy(value: str, address: str) -> None:
    assert client((), (value,)) == address


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("for=192.0.2.1", "192.0.2.1"),
        ("For=192.0.2.1;proto=http;by=10.0.0.1", "192.0.2.1"),
        ('proto=https;for="192.0.2.1:80"', "192.0.2.1"),
        ('for="[2001:db8:1:2:3::1]:4711"', "2001:db8:1:2:3::1"),
        ('for=6.6.6.6, for="192.0.2.1" , for=10.2.2.2', "192.0.2.1"),
        ('by="a,b;for=6.6.6.6";for=192.0.2.1', "192.0.2.1"),
        ("for=unknown", NOBODY),
        ("for=_hidden", NOBODY),
        ("proto=http", NOBODY),
        ("for=192.0.2.1;for=192.0.2.2", NOBODY),
        ('for="192.0.2.1', NOBODY),
        ("for=192.0.2.1, for", NOBODY),
        ("", NOBODY),
    ],
)
def test_forwarded_names_the_rightmost_that_is_no_proxy(value: str, address: str) -> None:
    assert client((value,)) == address


def test_several_lines_of_a_header_are_one_list() -> None:
    assert client((), ("6.6.6.6", "192.0.2.1", "10.2.2.2")) == "192.0.2.1"


def test_two_headers_that_disagree_name_nobody() -> None:
    assert client(("for=6.6.6.6",), ("192.0.2.1",)) == NOBODY
    assert client(("for=192.0.2.1",), ("192.0.2.1",)) == "192.0.2.1"


class Counted:
    """A pattern that counts from which places of a text it was tried."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern
        self.places: list[int] = []

    def match(self, text: str, place: int) -> re.Match[str] | None:
        self.places.append(place)
        return self.pattern.match(text, place)


@pytest.mark.parametrize("count", [1, 30, 300])
@pytest.mark.parametrize(
    ("hostile", "before_the_fault"),
    [
        ('"' + '\\"', 0),
        ('for=192.0.2.1,"' + '\\"', 1),
        ('"a"b"\\"', 0),
        ('for="\\\\\\"', 0),
    ],
)
def test_a_malformed_header_is_read_up_to_its_first_fault_and_not_again_from_each_quote(
    monkeypatch: pytest.MonkeyPatch, hostile: str, before_the_fault: int, count: int
) -> None:
    elements = Counted(peer._ELEMENT)
    monkeypatch.setattr(peer, "_ELEMENT", elements)
    assert client((hostile + '\\"' * count,)) == NOBODY
    assert len(elements.places) <= before_the_fault + 2, "each try reads the rest of the header at most once"


def test_each_element_of_a_whole_header_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    elements = Counted(peer._ELEMENT)
    monkeypatch.setattr(peer, "_ELEMENT", elements)
    value = ",".join(['for="10.0.0.2"'] * 100)
    assert client((value,)) == "10.0.0.2"
    assert elements.places == [15 * number for number in range(100)]


@pytest.mark.parametrize("lies", [0, 90])
def test_a_header_that_is_too_long_names_nobody(lies: int) -> None:
    for shape in ("for={}", "{}"):
        chain = ", ".join(shape.format(address) for address in [*["6.6.6.6"] * lies, "192.0.2.1"])
        for value, named in ((chain, "192.0.2.1"), (chain + " " * (2049 - len(chain)), NOBODY)):
            headers = ((value,), ()) if "for" in shape else ((), (value,))
            assert client(*headers) == named


@given(st.lists(st.text(max_size=60), max_size=3), st.lists(st.text(max_size=60), max_size=3))
@example([' \t,"\\"'], [":::::"])
def test_whatever_is_written_the_client_is_not_the_proxy(forwarded: list[str], x_forwarded_for: list[str]) -> None:
    named = client_of(PROXY, forwarded, x_forwarded_for, TRUSTED)
    assert named != address_of(PROXY) or not (forwarded or x_forwarded_for)


def test_a_proxy_that_names_nobody_at_all_calls_for_itself() -> None:
    assert client() == PROXY


def test_only_a_proxy_on_this_machine_names_this_machine() -> None:
    here = networks(["127.0.0.1"])
    assert client_of("127.0.0.1", (), ("127.0.0.9",), here) == address_of("127.0.0.9")
    assert client_of("127.0.0.1", (), ("127.0.0.1",), here) == address_of("127.0.0.1")


@given(st.ip_addresses(), st.lists(st.ip_addresses().map(str), max_size=4))
def test_whatever_a_client_invents_the_proxy_has_the_last_word(address: ipaddress.IPv4Address, lies: list[str]) -> None:
    client = address_of(str(address))
    assert client is not None
    if client.is_loopback or is_within(client, TRUSTED):
        return
    assert client_of(PROXY, (), (", ".join([*lies, str(address)]),), TRUSTED) == client


def test_ipv6_peers_are_told_apart_by_64_bits() -> None:
    keys = {peer_key(ipaddress.ip_address(text)) for text in ("2001:db8::1", "2001:db8::ffff:1:2")}
    assert keys == {"2001:db8::/64"}
    assert peer_key(ipaddress.ip_address("2001:db8:0:1::1")) not in keys
    assert peer_key(ipaddress.ip_address("192.0.2.1")) == "192.0.2.1"
    assert peer_key(None) == peer_key(client_of(None, (), (), TRUSTED)) == UNKNOWN


@pytest.mark.parametrize("text", ["", "proxy", "10.0.0.1/8", "10.0.0.0/33", "::/200"])
def test_a_proxy_that_is_no_network_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"trusted_proxies: .* is neither an address nor a network"):
        IngestSettings(trusted_proxies=(text,))


@pytest.mark.parametrize(
    ("forwarded", "proto", "over_tls", "over_plain"),
    [
        ((), (), True, False),
        ((), ("https",), True, True),
        ((), ("HTTPS",), True, True),
        ((), ("http",), False, False),
        ((), ("https, http",), False, False),
        ((), ("http, https",), False, False),
        ((), ("https", "http"), False, False),
        ((), ("",), False, False),
        ((), ("https,",), False, False),
        (("for=192.0.2.1",), (), True, False),
        (("for=192.0.2.1;proto=https",), (), True, True),
        (('for=192.0.2.1;Proto="https"',), (), True, True),
        (("for=6.6.6.6;proto=https, for=192.0.2.1",), (), False, False),
        (("for=6.6.6.6;proto=https, for=192.0.2.1;proto=http",), (), False, False),
        (("for=6.6.6.6;proto=https", "for=192.0.2.1;proto=https"), (), True, True),
        (('garbage", for=192.0.2.1;proto=http',), (), False, False),
        (("for=192.0.2.1;proto=https",), ("http",), False, False),
        (("for=192.0.2.1",), ("https",), True, True),
    ],
)
def test_a_trusted_proxy_reports_whether_the_client_used_tls(
    forwarded: tuple[str, ...], proto: tuple[str, ...], over_tls: bool, over_plain: bool
) -> None:
    assert is_encrypted(PROXY, True, forwarded, proto, TRUSTED) is over_tls
    assert is_encrypted(PROXY, False, forwarded, proto, TRUSTED) is over_plain


@pytest.mark.parametrize("connected", ["192.0.2.9", "", None])
def test_nobody_else_can_claim_that_a_call_came_over_tls(connected: str | None) -> None:
    assert not is_encrypted(connected, False, ("for=1.2.3.4;proto=https",), ("https",), TRUSTED)
    assert is_encrypted(connected, True, ("for=1.2.3.4;proto=http",), ("http",), TRUSTED)
