"""IP addresses and networks, as settings and peers name them. Pure."""

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks that texts name: addresses, or networks in CIDR notation.

    Raises:
        ValueError: a text is neither; the message names it.
    """
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ValueError(f"{text!r} is neither an address nor a network in CIDR notation ({error})") from error
    return tuple(found)


def address_of(text: str | None) -> Address | None:
    """Return the address in a text; an IPv4 address that is mapped to IPv6 becomes that IPv4 address. None: the text is
    no address."""
    try:
        # In a link-local address the name of the interface follows a percent sign.
        address = ipaddress.ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_within(address: Address, networks: Sequence[Network]) -> bool:
    """Return whether one of the networks contains an address."""
    return any(address.version == network.version and address in network for network in networks)
