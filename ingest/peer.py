"""The peer of a call: the address of the caller, behind trusted proxies too. Pure.

The peer of a call is the address at the other end of its TCP connection. Where that address is a trusted proxy, the
peer is the address that the proxy names: the rightmost address in Forwarded (RFC 7239) or X-Forwarded-For that is not
itself a trusted proxy. Any client can write the addresses further left. Where a header cannot be parsed, or two headers
name different clients, the client is unknown; it is not the proxy, because the proxy's address may need no key.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from contract.networks import Address, Network, address_of, is_within


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a call.

    `address`: None where it is unknown. `encrypted`: whether the call came over TLS, as far as this server and its
    trusted proxies know. `through_unknown_proxy`: the call has a header of a proxy, but came from an address that is
    not that of a trusted proxy; so whose call it is is not known.
    """

    address: Address | None
    encrypted: bool = False
    through_unknown_proxy: bool = False


UNKNOWN = "unknown"
"""The peer key of all clients with unknown addresses: of a Unix socket, or behind a proxy that names no client."""

_CLIENT_PREFIX_BITS = 64
"""IPv6 peers are networks of this size, which one customer owns: by single addresses one machine could be a billion
peers."""
_LONGEST = 2048
"""The most characters of Forwarded and of X-Forwarded-For that are parsed; a longer header names no client."""
_PORT = re.compile(r":[0-9]{1,5}$")
# An element of Forwarded: pairs of name=token or name="quoted", separated by semicolons.
_PAIR = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]+)\s*(?:;|$)')
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')


def client_of(
    connected: str | None, forwarded: Sequence[str], x_forwarded_for: Sequence[str], trusted: Sequence[Network]
) -> Address | None:
    """Return the address of the client; None where it is unknown.

    `connected` is the address at the other end of the TCP connection; the sequences are the values of the headers
    Forwarded and X-Forwarded-For in the order of their arrival. A proxy that sends neither header is itself the client.
    A loopback address in a header is one of the proxy's machine, so it is unknown unless the proxy runs on this
    machine.
    """
    peer = address_of(connected)
    if peer is None or not is_within(peer, trusted) or not (forwarded or x_forwarded_for):
        return peer
    chains = []
    if forwarded:
        chains.append(_forwarded_chain(", ".join(forwarded)))
    if x_forwarded_for:
        chains.append(_x_forwarded_chain(", ".join(x_forwarded_for)))
    named = {_last_untrusted(chain, trusted) for chain in chains}
    client = named.pop() if len(named) == 1 else None
    return None if client is not None and client.is_loopback and not peer.is_loopback else client


def is_encrypted(
    connected: str | None,
    tls: bool,
    forwarded: Sequence[str],
    x_forwarded_proto: Sequence[str],
    trusted: Sequence[Network],
) -> bool:
    """Return whether a call came over TLS: `tls` is whether its connection to this server did.

    What a trusted proxy reports counts instead: in the `proto` of Forwarded, or in X-Forwarded-Proto, every value must
    be https. A client can write the values further left, and can make its own call count as plain HTTP only.
    """
    peer = address_of(connected)
    if peer is None or not is_within(peer, trusted):
        return tls
    reported: list[str] = []
    chain = ", ".join(forwarded)
    if "proto" in chain.lower():
        reported += [proto or "" for proto in _forwarded_values(chain, "proto")]
    if x_forwarded_proto:
        reported += ", ".join(x_forwarded_proto).split(",")
    return all(proto.strip().lower() == "https" for proto in reported) if reported else tls


def peer_key(address: Address | None) -> str:
    """Return the key by which peers are distinguished: an IPv4 address, or the first 64 bits of an IPv6 address."""
    if address is None:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address) >> _CLIENT_PREFIX_BITS << _CLIENT_PREFIX_BITS, 64)))
    return str(address)


def _last_untrusted(chain: Sequence[Address | None], trusted: Sequence[Network]) -> Address | None:
    """Return the client at the end of a chain of proxies; None where the chain breaks off before the client."""
    for address in reversed(chain):
        if address is None or not is_within(address, trusted):
            return address
    return chain[0] if chain else None


def _node(text: str) -> Address | None:
    """Return the address in one element: alone, with a port, or an IPv6 address in brackets; None if it has none."""
    text = text.strip()
    if text.startswith("["):
        inside, bracket, port = text[1:].partition("]")
        return address_of(inside) if bracket and (not port or _PORT.fullmatch(port)) else None
    if text.count(":") == 1:
        text = _PORT.sub("", text)
    return address_of(text)


def _x_forwarded_chain(value: str) -> list[Address | None]:
    """Return the address in each element; None for malformed elements, [None] for a header that is too long."""
    return [None] if len(value) > _LONGEST else [_node(part) for part in value.split(",")]


def _forwarded_chain(value: str) -> list[Address | None]:
    """Return the address in the `for` of each element; None for malformed elements, [None] for a malformed value."""
    return [None if text is None else _node(text) for text in _forwarded_values(value, "for")]


def _forwarded_values(value: str, name: str) -> list[str | None]:
    """Return the value of that name in each element of Forwarded; None for elements without one and for malformed
    elements, [None] for a malformed header."""
    return [None if element is None else _value_of(element, name) for element in _elements(value)]


def _elements(value: str) -> list[str | None]:
    """Return the elements of Forwarded; [None] for a malformed header.

    The first malformed element ends the parse, so a quoted text without an end is read to the end of the header once.
    """
    if len(value) > _LONGEST:
        return [None]
    elements: list[str | None] = []
    place = 0
    while (element := _ELEMENT.match(value, place)) is not None:
        elements.append(element[0])
        if element.end() == len(value):
            return elements
        if value[element.end()] != ",":
            break
        place = element.end() + 1
    return [None]


def _value_of(element: str, name: str) -> str | None:
    place, found = 0, None
    while place < len(element):
        pair = _PAIR.match(element, place)
        if pair is None:
            return None
        if pair[1].lower() == name:
            if found is not None:
                return None
            found = pair[2]
        place = pair.end()
    if found is None:
        return None
    return re.sub(r"\\(.)", r"\1", found[1:-1]) if found.startswith('"') else found
