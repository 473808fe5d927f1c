"""Who may call what. Pure.

Only the TCP peer counts: X-Forwarded-For and its like are written by whoever likes to.
"""

import hmac
import ipaddress
from collections.abc import Mapping

from engine.errors import Code, RequestRefused
from ingest.settings import IngestSettings


def is_loopback(peer: str | None) -> bool:
    """Whether the peer's address is this machine's loopback; unknown is not."""
    try:
        address = ipaddress.ip_address(peer or "")
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def authorise(settings: IngestSettings, headers: Mapping[str, str], peer: str | None, *, is_match: bool) -> None:
    """Let the call pass, or not. Unknown calls need a key like known ones: they must not map the server.

    Raises:
        RequestRefused: 40180.
    """
    if is_match and not settings.api_key_for_match:
        return
    if not settings.need_api_key_from_loopback and is_loopback(peer):
        return
    if not settings.api_keys:
        raise RequestRefused(
            Code.UNAUTHORIZED,
            "this call is closed to other machines: the operator must set an API key (ingest.api_keys)",
        )
    offered = _offered_key(headers)
    # Every key is compared, so that time tells nothing about which one was close.
    matches = [hmac.compare_digest(offered, key.encode()) for key in settings.api_keys]
    if not any(matches):
        raise RequestRefused(
            Code.UNAUTHORIZED, "an API key is needed: send it as X-API-Key or as Authorization: Bearer"
        )


def _offered_key(headers: Mapping[str, str]) -> bytes:
    key = headers.get("X-API-Key")
    if key is None:
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else ""
    return key.encode("utf-8", "surrogateescape")
