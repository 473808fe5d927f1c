"""Which hosts may be named as receivers of events."""

from collections.abc import Sequence

import pytest

from contract.errors import Code, Refused
from contract.hosts import hosts_of
from ingest.event_urls import require_allowed
from ingest.settings import PRIVATE_NETWORKS, IngestSettings

OWN = ("10.1.0.0/16", "192.0.2.7", "Gate.Example", "fd00::/8")


def is_allowed(urls: list[str], allowed: Sequence[str]) -> bool:
    try:
        require_allowed(urls, hosts_of(tuple(allowed)), "urls")
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    "url",
    [
        "http://10.1.2.3:9828/x",
        "https://192.0.2.7/",
        "http://gate.example/",
        "http://GATE.EXAMPLE:8080/",
        "http://[fd00::1]/",
        "http://[::ffff:10.1.2.3]/",
    ],
)
def test_a_listed_host_is_allowed(url: str) -> None:
    assert is_allowed([url], OWN)


@pytest.mark.parametrize(
    "url",
    [
        "http://10.2.0.1/",
        "http://192.0.2.8/",
        "http://203.0.113.9/",
        "http://hostile.test/",
        "http://gate.example.hostile.test/",
        "http://notgate.example/",
        "http://gate.example./",
        "http://[fe80::1]/",
        "http://0x0a010203/",
        "http://167838211/",
        "http://10.1.515/",
    ],
)
def test_any_other_host_is_not(url: str) -> None:
    for urls in ([url], ["http://10.1.2.3/", url]):
        with pytest.raises(Refused, match=r"ingest\.event_url_hosts") as caught:
            require_allowed(urls, hosts_of(OWN), "urls")
        assert caught.value.code is Code.PARAM_ERROR


def test_without_a_setting_only_addresses_of_private_networks_are_allowed() -> None:
    hosts = IngestSettings().event_url_hosts
    assert hosts == PRIVATE_NETWORKS
    for host in ("127.0.0.1", "192.168.1.100", "172.31.0.1", "10.255.0.1", "[::1]", "[fd12::7]"):
        assert is_allowed([f"http://{host}:9828/x"], hosts)
    for host in ("8.8.8.8", "172.32.0.1", "169.254.169.254", "[2001:db8::1]", "localhost", "gate.example"):
        assert not is_allowed([f"http://{host}:9828/x"], hosts)


def test_an_empty_list_forbids_every_url_and_no_url_needs_no_host() -> None:
    assert is_allowed([], ())
    assert not is_allowed(["http://127.0.0.1/"], ())


@pytest.mark.parametrize("text", ["10.0.0.1/8", "http://gate.example", "gate.example:80", "*", "", "a b"])
def test_a_setting_that_is_no_host_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="event_url_hosts"):
        IngestSettings(event_url_hosts=(text,))
