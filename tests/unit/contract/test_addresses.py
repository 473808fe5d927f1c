"""A device is known by one address, however that address is written."""

import pytest

from contract.addresses import canonical_address, device_address


@pytest.mark.parametrize(
    ("texts", "address"),
    [
        (("192.168.1.22", " 192.168.1.22\n", "::ffff:192.168.1.22", "::FFFF:C0A8:0116"), "192.168.1.22"),
        (("2001:db8::1", "2001:0DB8:0:0::0001", "2001:db8:0:0:0:0:0:1"), "2001:db8::1"),
        (("2001:db8:0:1:1:1:1:1", "2001:db8::1:1:1:1:1"), "2001:db8:0:1:1:1:1:1"),
        (("2001:0:0:1:0:0:0:1", "2001::1:0:0:0:1"), "2001:0:0:1::1"),
        (("fe80::1%eth0", "FE80:0::1%eth0"), "fe80::1%eth0"),
        (("gate-1.example", "Gate-1.EXAMPLE", "\tGATE-1.example "), "gate-1.example"),
        (("010.0.0.1",), "010.0.0.1"),
    ],
    ids=str,
)
def test_every_spelling_of_an_address_becomes_the_same_one(texts: tuple[str, ...], address: str) -> None:
    assert {canonical_address(text) for text in texts} == {address}
    assert canonical_address(address) == address


def test_only_the_address_of_a_device_that_sends_pictures_is_spelled_anew() -> None:
    assert device_address("photo", "GATE") == "gate"
    assert device_address("rtsp", "rtsp://Gate/Stream") == "rtsp://Gate/Stream"
