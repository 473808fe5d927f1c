"""The hosts to which events may be sent, as the operator names them. Pure."""

import re
from dataclasses import dataclass
from functools import lru_cache

from contract.networks import Network, address_of, is_within, networks

HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Hosts:
    """Networks whose addresses are allowed, and names that are allowed, in lower case."""

    networks: tuple[Network, ...]
    names: frozenset[str]

    def contains(self, host: str) -> bool:
        """Return whether a host of a URL is allowed. A name is never looked up: what it resolves to may change."""
        address = address_of(host)
        return host.lower() in self.names if address is None else is_within(address, self.networks)


def receiver_hosts(event_url_hosts: tuple[str, ...], trusted_networks: tuple[str, ...]) -> Hosts:
    """Return the hosts to which events may be sent: those of ingest.event_url_hosts, and the trusted networks.

    Raises:
        ValueError: as in `hosts_of`.
    """
    return hosts_of((*event_url_hosts, *trusted_networks))


@lru_cache(maxsize=4)
def hosts_of(texts: tuple[str, ...]) -> Hosts:
    """Return the hosts that texts name: addresses, networks in CIDR notation, and host names.

    Raises:
        ValueError: a text is none of them; the message names it.
    """
    names = [text for text in texts if HOST_NAME.fullmatch(text) and address_of(text) is None]
    return Hosts(networks([text for text in texts if text not in names]), frozenset(map(str.lower, names)))
