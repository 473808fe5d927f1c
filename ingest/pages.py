"""Which calls come from a web page that has no business here. Pure.

Whoever can reach the server by its address only, without a key, could lend that reach to every page that a browser
there opens. Browsers name the page's origin in Origin and Sec-Fetch-Site (Fetch Standard; Fetch Metadata), and the name
that they believe the server has in Host. A page cannot forge any of the three; devices and back ends send only Host.
"""

import ipaddress
import re
from collections.abc import Collection

from multidict import MultiMapping

_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]/?#@\s]+))(?::(\d{1,5}))?")
_ORIGIN = re.compile(r"(https?)://(.+)", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}
# "same-site" is another program on this machine, or another machine of the same domain.
_OWN_SITES = frozenset({"same-origin", "none"})


def is_foreign_page(headers: MultiMapping[str]) -> bool:
    """Whether the call was made by a page of another origin than the server's own, as far as its browser says."""
    if any(site.strip().lower() not in _OWN_SITES for site in headers.getall("Sec-Fetch-Site", ())):
        return True
    origins, hosts = headers.getall("Origin", ()), headers.getall("Host", ())
    return bool(origins) and not all(len(hosts) == 1 and _is_origin_of(origin, hosts[0]) for origin in origins)


def is_page(headers: MultiMapping[str]) -> bool:
    """Whether the call says that it was made by a page at all."""
    return "Origin" in headers or "Sec-Fetch-Site" in headers


def has_foreign_host(headers: MultiMapping[str], names: Collection[str]) -> bool:
    """Whether Host is a name that is not among `names` (lower case), instead of an address or one of them.

    A page whose name an attacker leads to this server (DNS rebinding) gives itself away by it. A call without any Host
    comes from no browser.
    """
    hosts = headers.getall("Host", ())
    return len(hosts) > 1 or not all(_is_known(host, names) for host in hosts)


def _is_known(host: str, names: Collection[str]) -> bool:
    parts = _split(host)
    return parts is not None and (_is_address(parts[0]) or parts[0] in names)


def _is_origin_of(origin: str, host: str) -> bool:
    told = _ORIGIN.fullmatch(origin.strip())
    if told is None:
        return False
    theirs, ours = _split(told[2]), _split(host)
    if theirs is None or ours is None:
        return False
    default = _DEFAULT_PORTS[told[1].lower()]
    return (theirs[0], theirs[1] or default) == (ours[0], ours[1] or default)


def _split(authority: str) -> tuple[str, int | None] | None:
    """Name or address (lower case, without brackets and a last dot) and port; None where it is neither."""
    parts = _AUTHORITY.fullmatch(authority.strip())
    if parts is None:
        return None
    name = (parts[1] or parts[2]).lower().removesuffix(".")
    return name, int(parts[3]) if parts[3] else None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
