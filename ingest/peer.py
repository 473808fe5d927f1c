"""Whose call is this? Pure.

The peer of a call is the address at the other end of its TCP connection. Where that is a trusted proxy, the peer is the
address that the proxy names: in Forwarded (RFC 7239) or in X-Forwarded-For the rightmost address that is not itself a
trusted proxy. Everything further left was written by whoever likes to. What cannot be read, and two headers that name
different clients, name nobody: then the client is unknown. It is not the proxy itself, whose address may be one that
needs no key.
"""

import ipaddress
import re
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNKNOWN = "unknown"
"""The peer key of all clients whose address is not known: of a Unix socket, or behind a proxy that names nobody."""

_CLIENT_PREFIX_BITS = 64
"""One IPv6 customer owns at least so much: by single addresses one machine could be a billion peers."""
_LONGEST = 2048
"""Characters of a header that are looked at; a longer one names nobody."""
_PORT = re.compile(r":[0-9]{1,5}$")
# An element of Forwarded: pairs of name=token or name="quoted", separated by semicolons.
_PAIR = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]+)\s*(?:;|$)')
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks that these texts name: addresses, or networks in CIDR notation.

    Raises:
        ValueError: one is neither; the message names it.
    """
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ValueError(f"{text!r} is neither an address nor a network in CIDR notation ({error})") from error
    return tuple(found)


def address_of(text: str | None) -> Address | None:
    """An address; an IPv4 address inside IPv6 is that IPv4 address. None: it is no address."""
    try:
        # A link-local address names its interface behind a percent sign.
        address = ipaddress.ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def client_of(
    connected: str | None, forwarded: Sequence[str], x_forwarded_for: Sequence[str], trusted: Sequence[Network]
) -> Address | None:
    """The address of the client: `connected` is the other end of the TCP connection, the sequences are the values of
    the headers Forwarded and X-Forwarded-For in the order in which they came. None: it is not known.

    A proxy that sends neither header calls for itself. A loopback address is that of the proxy's machine, so it names
    nobody here unless the proxy runs on this machine.
    """
    peer = address_of(connected)
    if peer is None or not is_within(peer, trusted) or not (forwarded or x_forwarded_for):
        return peer
    chains = []
    if forwarded:
        chains.append(_forwarded_chain(", ".join(forwarded)))
    if x_forwarded_for:
        chains.append([_node(part) for part in ", ".join(x_forwarded_for).split(",")])
    named = {_last_untrusted(chain, trusted) for chain in chains}
    client = named.pop() if len(named) == 1 else None
    return None if client is not None and client.is_loopback and not peer.is_loopback else client


def is_within(address: Address, networks: Sequence[Network]) -> bool:
    """Whether one of the networks holds that address."""
    return any(address.version == network.version and address in network for network in networks)


def peer_key(address: Address | None) -> str:
    """What tells peers apart: an IPv4 address, or the first 64 bits of an IPv6 address."""
    if address is None:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address) >> _CLIENT_PREFIX_BITS << _CLIENT_PREFIX_BITS, 64)))
    return str(address)


def _last_untrusted(chain: Sequence[Address | None], trusted: Sequence[Network]) -> Address | None:
    """The client at the end of a chain of proxies; None where the chain breaks off before it."""
    for address in reversed(chain):
        if address is None or not is_within(address, trusted):
            return address
    return chain[0] if chain else None


def _node(text: str) -> Address | None:
    """The address in one element: bare, with a port, or an IPv6 address in brackets."""
    text = text.strip()
    if text.startswith("["):
        inside, bracket, port = text[1:].partition("]")
        return address_of(inside) if bracket and (not port or _PORT.fullmatch(port)) else None
    if text.count(":") == 1:
        text = _PORT.sub("", text)
    return address_of(text)


def _forwarded_chain(value: str) -> list[Address | None]:
    """The `for` of each element. An element that is not well-formed is None; so is a value that is not."""
    if len(value) > _LONGEST:
        return [None]
    elements = _ELEMENT.findall(value)
    if ",".join(elements) != value:
        return [None]
    return [_for(element) for element in elements]


def _for(element: str) -> Address | None:
    place, found = 0, None
    while place < len(element):
        pair = _PAIR.match(element, place)
        if pair is None:
            return None
        if pair[1].lower() == "for":
            if found is not None:
                return None
            found = pair[2]
        place = pair.end()
    if found is None:
        return None
    return _node(re.sub(r"\\(.)", r"\1", found[1:-1]) if found.startswith('"') else found)
