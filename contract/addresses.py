"""The addresses of devices in one spelling, so that a device is found however its address is written. Pure."""

import ipaddress

from contract.terms import PHOTO_DEVICE


def canonical_address(text: str) -> str:
    """Return the one spelling of an IP address or a host name, without blanks around it.

    An IPv6 address is spelled as RFC 5952 says; one that an IPv4 address is mapped to becomes that IPv4 address. A host
    name is spelled in lower case.
    """
    text = text.strip()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text.lower()
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def is_ip_address(text: str) -> bool:
    """Return whether a text is an IP address, and no host name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def device_address(device_type: str, address: str) -> str:
    """Return the address by which a device is known: that of a device of the type photo in one spelling; the URL of any
    other device as it is, because upper and lower case may differ in a URL."""
    return canonical_address(address) if device_type == PHOTO_DEVICE else address
