"""Authorisation: the decision whether a caller may make a call. Pure, except for the count of wrong keys.

A call is authorised by the address of the caller, or by an API key. The socket or a trusted proxy reports that address
(ingest.peer); this module reads no header such as X-Forwarded-For, which any client can write. The key is the value of
X-API-Key, the token of Authorization: Bearer, or the password of HTTP Basic; never a part of the URL, because URLs are
logged.
"""

import base64
import binascii
import hashlib
import hmac
import math
from dataclasses import dataclass
from functools import lru_cache

from multidict import MultiMapping

from contract.errors import Code, Refused
from ingest.pages import has_foreign_host, is_foreign_page, is_page
from ingest.peer import Address, is_within, networks, peer_key
from ingest.settings import IngestSettings
from ingest.wrong_keys import WrongKeys


class NotAuthorised(Refused):
    """The refusal 40180.

    `wrong_key`: the key was compared and is wrong; `retry_after_s`: no key from the caller's address is compared before
    so many seconds have passed.
    """

    def __init__(self, message: str, *, wrong_key: bool = False, retry_after_s: int | None = None) -> None:
        super().__init__(Code.UNAUTHORIZED, message)
        self.wrong_key = wrong_key
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Route:
    """The properties of a URL that authorisation depends on.

    `is_match`: the URL is that of PictureMatch. `is_impersonal`: the answer contains nothing about people (health,
    metrics, unknown URLs), so the server may be called by any host name.
    """

    is_match: bool = False
    is_impersonal: bool = False


def is_trusted(settings: IngestSettings, address: Address | None) -> bool:
    """Return whether callers from an address need no key; None, an unknown address, is not trusted."""
    if address is None or (settings.need_api_key_from_loopback and address.is_loopback):
        return False
    return is_within(address, _networks(settings.trusted_networks))


def authorise(
    settings: IngestSettings,
    headers: MultiMapping[str],
    address: Address | None,
    route: Route,
    wrong_keys: WrongKeys,
    now_s: float,
) -> None:
    """Return where a call is authorised. Unknown URLs need a key too, so that nobody can explore the server.

    Args:
        settings: the keys, trusted networks and host names.
        headers: the headers of the request.
        address: the address of the caller; None where it is unknown.
        route: the properties of the URL.
        wrong_keys: the count of wrong keys of each address.
        now_s: seconds of a monotonic clock.

    Raises:
        NotAuthorised: 40180: the call is not authorised.
    """
    page = _page_reason(headers)
    by_address = (route.is_match and not settings.api_key_for_match) or is_trusted(settings, address)
    reason = (page or _host_reason(settings, headers, route)) if by_address else _key_needed(settings)
    if reason is None:
        return
    key = _offered_key(headers)
    if key is None or not settings.api_keys:
        raise NotAuthorised(reason)
    # A browser adds the password of HTTP Basic by itself, whichever page makes the call.
    if page is not None and key.is_password:
        raise NotAuthorised(page)
    _judge(settings, key.value, peer_key(address), wrong_keys, now_s)


def _judge(settings: IngestSettings, key: bytes, peer: str, wrong_keys: WrongKeys, now_s: float) -> None:
    wait_s = math.ceil(wrong_keys.wait_s(peer, now_s))
    if wait_s > 0:
        raise NotAuthorised(
            f"too many wrong API keys came from this address; the next one is checked in {wait_s} s",
            retry_after_s=wait_s,
        )
    # Every key is compared, by digests of one length, so that the time does not reveal which key was similar.
    offered = hashlib.sha256(key).digest()
    matches = [hmac.compare_digest(offered, hashlib.sha256(own.encode()).digest()) for own in settings.api_keys]
    if any(matches):
        wrong_keys.right(peer, now_s)
        return
    exhausted = wrong_keys.wrong(peer, now_s)
    raise NotAuthorised(
        "the API key is wrong",
        wrong_key=True,
        retry_after_s=math.ceil(wrong_keys.wait_s(peer, now_s)) if exhausted else None,
    )


def _page_reason(headers: MultiMapping[str]) -> str | None:
    if not is_foreign_page(headers):
        return None
    return "a web page of another origin needs an API key for this call, as X-API-Key or as Authorization: Bearer"


def _host_reason(settings: IngestSettings, headers: MultiMapping[str], route: Route) -> str | None:
    # Devices may call the server by any name; a web page that calls PictureMatch by such a name is no device.
    if route.is_impersonal or (route.is_match and not is_page(headers)):
        return None
    if not has_foreign_host(headers, {"localhost", settings.host.lower(), *map(str.lower, settings.host_names)}):
        return None
    return (
        "without an API key, call the server by its address, as localhost, or by a name that the operator has added"
        " to ingest.host_names"
    )


def _key_needed(settings: IngestSettings) -> str:
    if not settings.api_keys:
        return "this call is closed to other machines: the operator must set an API key (ingest.api_keys)"
    return "an API key is needed: send it as X-API-Key or as Authorization: Bearer"


@dataclass(frozen=True, slots=True)
class _Key:
    value: bytes
    is_password: bool = False


def _offered_key(headers: MultiMapping[str]) -> _Key | None:
    text = headers.get("X-API-Key")
    if text is not None:
        return _Key(_bytes(text)) if text else None
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() == "bearer" and token:
        return _Key(_bytes(token))
    if scheme.lower() == "basic":
        try:
            _, _, password = base64.b64decode(_bytes(token), validate=True).partition(b":")
        except binascii.Error:
            return None
        return _Key(password, is_password=True) if password else None
    return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


_networks = lru_cache(maxsize=8)(networks)
