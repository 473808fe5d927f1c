"""Recognises calls that foreign web pages make. Pure.

Callers in a trusted network need no key, so every web page that a browser in that network opens could make calls too.
Browsers name the origin of the page in Origin and Sec-Fetch-Site (Fetch Standard; Fetch Metadata), and the name by
which they call the server in Host. A page cannot forge any of these headers; devices and back ends send only Host.
"""

import ipaddress
import re
from collections.abc import Collection

from multidict import MultiMapping

_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]/?#@\s]+))(?::(\d{1,5}))?")
_ORIGIN = re.compile(r"(https?)://(.+)", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}
# "same-site" is not among them: it is another program on this machine, or another machine of the same domain.
_OWN_SITES = frozenset({"same-origin", "none"})


def is_foreign_page(headers: MultiMapping[str], allowed: Collection[str] = ()) -> bool:
    """Return whether the browser's headers name a page of another origin than the server's own.

    `allowed`: origins that count as the server's own, in lower case, such as https://desk.example.
    """
    if is_page_of(headers, allowed):
        return False
    if any(site.strip().lower() not in _OWN_SITES for site in headers.getall("Sec-Fetch-Site", ())):
        return True
    origins, hosts = headers.getall("Origin", ()), headers.getall("Host", ())
    return bool(origins) and not all(len(hosts) == 1 and _is_origin_of(origin, hosts[0]) for origin in origins)


def is_page_of(headers: MultiMapping[str], origins: Collection[str]) -> bool:
    """Return whether the browser's headers name a page of one of the origins, which are in lower case."""
    named = headers.getall("Origin", ())
    return len(named) == 1 and named[0].strip().lower() in origins


def is_page(headers: MultiMapping[str]) -> bool:
    """Return whether the headers are those of a call that a web page makes."""
    return "Origin" in headers or "Sec-Fetch-Site" in headers


def has_foreign_host(headers: MultiMapping[str], names: Collection[str]) -> bool:
    """Return whether Host is a name that is not among `names` (lower case); addresses are never foreign.

    This reveals a page whose host name an attacker has pointed to this server (DNS rebinding). A call without a Host
    header comes from no browser.
    """
    hosts = headers.getall("Host", ())
    return len(hosts) > 1 or not all(_is_known(host, names) for host in hosts)


def _is_known(host: str, names: Collection[str]) -> bool:
    parts = _split(host)
    return parts is not None and (_is_address(parts[0]) or parts[0] in names)


def _is_origin_of(origin: str, host: str) -> bool:
    parts = _ORIGIN.fullmatch(origin.strip())
    if parts is None:
        return False
    theirs, ours = _split(parts[2]), _split(host)
    if theirs is None or ours is None:
        return False
    default = _DEFAULT_PORTS[parts[1].lower()]
    return (theirs[0], theirs[1] or default) == (ours[0], ours[1] or default)


def _split(authority: str) -> tuple[str, int | None] | None:
    """Return the name or address (lower case, without brackets and a final dot) and the port; None where the text is
    neither."""
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
