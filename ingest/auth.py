"""Who may call what. Pure, but for the count of wrong keys.

A call is let in by its address, or by an API key. `address` is the caller's, as the socket or a trusted proxy tells it
(nothing in here reads X-Forwarded-For and its like, which are written by whoever likes to). A key is X-API-Key, the
token of Authorization: Bearer, or the password of HTTP Basic; never a part of the URL, which ends in logs.
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


class NotLetIn(Refused):
    """40180. `wrong_key`: a key was judged and found wrong; `retry_after_s`: no key from there is judged before."""

    def __init__(self, message: str, *, wrong_key: bool = False, retry_after_s: int | None = None) -> None:
        super().__init__(Code.UNAUTHORIZED, message)
        self.wrong_key = wrong_key
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Route:
    """What matters of the URL that is called: whether it is PictureMatch, and whether it holds nothing of anybody, so
    that the server may be called by any name there (health, metrics, unknown URLs)."""

    is_match: bool = False
    holds_nothing: bool = False


def is_trusted(settings: IngestSettings, address: Address | None) -> bool:
    """Whether callers from there need no key; unknown is not."""
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
    """Let the call pass, or not. Unknown calls need a key like known ones: they must not map the server.

    Args:
        settings: Keys, trusted networks and names.
        headers: The request's.
        address: Where the call comes from; None where that is unknown.
        route: What is called.
        wrong_keys: Counts the wrong keys of each address.
        now_s: Of a monotonic clock.

    Raises:
        NotLetIn: 40180.
    """
    page = _page_complaint(headers)
    by_address = (route.is_match and not settings.api_key_for_match) or is_trusted(settings, address)
    complaint = (page or _host_complaint(settings, headers, route)) if by_address else _key_needed(settings)
    if complaint is None:
        return
    key = _offered_key(headers)
    if key is None or not settings.api_keys:
        raise NotLetIn(complaint)
    # A browser sends the password of HTTP Basic along by itself, whichever page makes the call.
    if page is not None and key.is_password:
        raise NotLetIn(page)
    _judge(settings, key.value, peer_key(address), wrong_keys, now_s)


def _judge(settings: IngestSettings, key: bytes, peer: str, wrong_keys: WrongKeys, now_s: float) -> None:
    wait_s = math.ceil(wrong_keys.wait_s(peer, now_s))
    if wait_s > 0:
        raise NotLetIn(
            f"too many wrong API keys came from this address; the next one is judged in {wait_s} s",
            retry_after_s=wait_s,
        )
    # Every key is compared, by digests of one length, so that time tells nothing about which one was close.
    offered = hashlib.sha256(key).digest()
    matches = [hmac.compare_digest(offered, hashlib.sha256(own.encode()).digest()) for own in settings.api_keys]
    if any(matches):
        wrong_keys.right(peer, now_s)
        return
    exhausted = wrong_keys.wrong(peer, now_s)
    raise NotLetIn(
        "the API key is wrong",
        wrong_key=True,
        retry_after_s=math.ceil(wrong_keys.wait_s(peer, now_s)) if exhausted else None,
    )


def _page_complaint(headers: MultiMapping[str]) -> str | None:
    if not is_foreign_page(headers):
        return None
    return "a web page of another origin needs an API key for this call, as X-API-Key or as Authorization: Bearer"


def _host_complaint(settings: IngestSettings, headers: MultiMapping[str], route: Route) -> str | None:
    # Devices know the server by any name; a page that matches pictures by such a name is none of them.
    if route.holds_nothing or (route.is_match and not is_page(headers)):
        return None
    if not has_foreign_host(headers, {"localhost", settings.host.lower(), *map(str.lower, settings.host_names)}):
        return None
    return (
        "without an API key the server is called by its address, as localhost, or by a name that the operator has put"
        " into ingest.host_names"
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
