"""Authorisation: the decision whether a caller may make a call. Pure, except for the count of wrong keys.

Every call has a least role. Without an API key, a caller from a trusted network is an administrator, and any other
caller is a device, or nobody where `ingest.api_key_for_match` is set. A key (ingest.keys) has a role of its own, which
counts wherever the key comes from, except for the calls that every caller may make. A key that others could read on its
way is refused whatever the call. The socket or a trusted proxy
reports the caller's address and whether the call was encrypted (ingest.peer); this module reads no header such as
X-Forwarded-For, which any client can write.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from multidict import MultiMapping

from contract.audit import ANYBODY, TRUSTED_NETWORK, UNKNOWN, Actor
from contract.errors import Code, Refused
from contract.networks import Address, is_within, networks
from contract.people.site import KeyRecord
from contract.roles import Role, includes
from ingest.keys import Reason, SentKey, find_key, is_in_url, sent_key
from ingest.pages import has_foreign_host, is_foreign_page, is_page
from ingest.peer import Caller, peer_key
from ingest.settings import IngestSettings
from ingest.wrong_keys import WrongKeys


class NotAuthorised(Refused):
    """The refusal 40180.

    `reason`: why a key was refused; None: no key was sent. `retry_after_s`: no key from the caller's address is
    compared before so many seconds have passed.
    """

    def __init__(self, message: str, reason: Reason | None = None, *, retry_after_s: int | None = None) -> None:
        super().__init__(Code.UNAUTHORIZED, message)
        self.reason = reason
        self.retry_after_s = retry_after_s


class NotKnownYet(Refused):
    """The refusal 50380 of a key that may be one of the people topic, whose keys this process has not read yet."""

    reason: Reason = "starting"
    retry_after_s: int | None = None

    def __init__(self) -> None:
        super().__init__(Code.OVERLOADED, "the server is starting and knows no API keys yet; try again")


@dataclass(frozen=True, slots=True)
class Route:
    """The properties of a call that authorisation depends on.

    `role`: the least role that may make the call. `is_impersonal`: the answer contains nothing about people (health,
    metrics, unknown URLs), so the server may be called by any host name. `for_anybody`: callers without a key from
    beyond the trusted networks may make the call, if a device may. `origins`: the origins of web pages, in lower case,
    that may make the call as if they were the server's own.
    """

    role: Role = "administrator"
    is_impersonal: bool = False
    for_anybody: bool = True
    origins: frozenset[str] = frozenset()


TO_READ_FILES = Route("device", for_anybody=False)
"""What every call that names picture files of this machine must be authorised as too: its answer shows which there
are."""


def is_trusted(settings: IngestSettings, address: Address | None) -> bool:
    """Return whether callers from an address need no key; None, an unknown address, is not trusted."""
    if address is None or (settings.need_api_key_from_loopback and address.is_loopback):
        return False
    return is_within(address, _networks(settings.trusted_networks))


@dataclass(frozen=True, slots=True)
class Gate:
    """What authorisation compares a call with.

    `keys`: the API keys of the people topic; None: not known yet. `wrong_keys`: the count of wrong keys of each peer.
    """

    settings: IngestSettings
    keys: Collection[KeyRecord] | None
    wrong_keys: WrongKeys

    def authorise(
        self, headers: MultiMapping[str], query: MultiMapping[str], caller: Caller, route: Route, now_s: float
    ) -> Actor:
        """Return who makes a call, where the call is authorised.

        Unknown URLs have a least role too, so that nobody can explore the server. `now_s`: seconds of a monotonic
        clock.

        Raises:
            NotAuthorised: 40180: the call is not authorised.
            NotKnownYet: 50380: a key cannot be checked yet, because the process is starting.
        """
        if is_in_url(query):
            raise NotAuthorised(
                "an API key in the URL is not accepted, because URLs are logged; send a header", "in_url"
            )
        page = _page_reason(headers, route)
        keyless = self._keyless(caller, route)
        may = keyless is not None and includes(keyless.role, route.role)
        reason = (page or self._host_reason(headers, route)) if may else self._key_needed(route)
        key = sent_key(headers)
        is_open = route.role == "device" and not self.settings.api_key_for_match
        if keyless is not None and reason is None and (key is None or is_open):
            # Others can read a key on its way also where the call needs none; so whoever sends one must hear of it.
            if key is not None:
                self._require_private(caller)
            return keyless
        if key is None:
            raise NotAuthorised(reason or self._key_needed(route))
        # A browser adds the password of HTTP Basic by itself, whichever page makes the call.
        if page is not None and key.is_password:
            raise NotAuthorised(page)
        return self._judge(key, caller, route, now_s)

    def asks_for_password(self, headers: MultiMapping[str], route: Route) -> bool:
        """Return whether a browser may ask its user for a key: not for a foreign page, nor under a foreign host name,
        where somebody else would get what the key opens."""
        return _page_reason(headers, route) is None and self._host_reason(headers, route) is None

    def _keyless(self, caller: Caller, route: Route) -> Actor | None:
        """Return the actor of a caller without a key; None: that caller may not make the call."""
        address = caller.address
        if is_trusted(self.settings, address) and not caller.through_unknown_proxy:
            return Actor(name=TRUSTED_NETWORK, role="administrator", peer=str(address))
        if self.settings.api_key_for_match or not route.for_anybody:
            return None
        return Actor(name=ANYBODY, role="device", peer=_shown(address))

    def _judge(self, key: SentKey, caller: Caller, route: Route, now_s: float) -> Actor:
        self._require_private(caller)
        peer = peer_key(caller.address)
        wait_s = math.ceil(self.wrong_keys.wait_s(peer, now_s))
        if wait_s > 0 and self.keys is None:
            raise NotKnownYet
        if wait_s > 0:
            raise NotAuthorised(
                f"too many wrong API keys came from this address; the next one is checked in {wait_s} s",
                "unjudged",
                retry_after_s=wait_s,
            )
        found = find_key(key.value, self.settings.api_keys, self.keys or ())
        if found is None:
            exhausted = self.wrong_keys.wrong(peer, now_s)
            if self.keys is None:
                raise NotKnownYet
            retry_after_s = math.ceil(self.wrong_keys.wait_s(peer, now_s)) if exhausted else None
            raise NotAuthorised("the API key is wrong", "wrong", retry_after_s=retry_after_s)
        self.wrong_keys.right(peer, now_s)
        if not includes(found.role, route.role):
            raise NotAuthorised(
                f"the role of this API key is {found.role}, and this call needs a key with the role {route.role}",
                "weak_role",
            )
        return Actor(name=found.name, role=found.role, peer=_shown(caller.address), key_id=found.key_id)

    def _require_private(self, caller: Caller) -> None:
        """Return where nobody between the caller and this server can read the key."""
        if caller.encrypted or self.settings.keys_over_plain_http:
            return
        near = (*self.settings.trusted_networks, *self.settings.trusted_proxies, *_LOOPBACK)
        if caller.address is None or not is_within(caller.address, _networks(near)):
            raise NotAuthorised(
                "this API key was sent over plain HTTP, where others can read it: call the server by https"
                " (ingest.tls_cert) and replace the key; ingest.keys_over_plain_http allows plain HTTP",
                "plain_http",
            )

    def _host_reason(self, headers: MultiMapping[str], route: Route) -> str | None:
        # Devices may call the server by any name; a web page that calls it by such a name is no device.
        if route.is_impersonal or (route.role == "device" and not is_page(headers)):
            return None
        names = {"localhost", self.settings.host.lower(), *map(str.lower, self.settings.host_names)}
        if not has_foreign_host(headers, names):
            return None
        return (
            "without an API key, call the server by its address, as localhost, or by a name that the operator has added"
            " to ingest.host_names"
        )

    def _key_needed(self, route: Route) -> str:
        if not self.settings.api_keys and self.keys is not None and not self.keys:
            return (
                "this call is closed to other machines: the operator must create an API key (picturematch keys add, or"
                " ingest.api_keys)"
            )
        return f"an API key with the role {route.role} is needed: send it as X-API-Key or as Authorization: Bearer"


def headers_of(
    refused: Refused, retry_after_s: int, challenges: Sequence[str] = ("Bearer",)
) -> tuple[tuple[str, str], ...]:
    """Return the headers of a refusal that tell the caller how to send a key, and when to try again.

    `retry_after_s`: the seconds after which a server that cannot work now is tried again.
    """
    if refused.code is Code.OVERLOADED:
        return (("Retry-After", str(retry_after_s)),)
    if refused.code is not Code.UNAUTHORIZED:
        return ()
    wait_s = refused.retry_after_s if isinstance(refused, NotAuthorised) else None
    again = () if wait_s is None else (("Retry-After", str(wait_s)),)
    return (*(("WWW-Authenticate", challenge) for challenge in challenges), *again)


def _page_reason(headers: MultiMapping[str], route: Route) -> str | None:
    if not is_foreign_page(headers, route.origins):
        return None
    return "a web page of another origin needs an API key for this call, as X-API-Key or as Authorization: Bearer"


def _shown(address: Address | None) -> str:
    return UNKNOWN if address is None else str(address)


_networks = lru_cache(maxsize=8)(networks)
_LOOPBACK = ("127.0.0.0/8", "::1/128")
