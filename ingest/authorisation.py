"""Authorises the HTTP requests of a process, and counts the keys that it refuses.

All listeners of a process share one `Authorisation`, so that a guesser of keys has one allowance for all of them.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, cast

from aiohttp.web import BaseRequest
from prometheus_client import Counter

from contract.audit import Actor
from contract.networks import address_of, is_within, networks
from contract.people.site import Site
from contract.roles import Role, includes
from ingest.auth import Gate, NotAuthorised, NotKnownYet, Route
from ingest.http import Connection
from ingest.peer import Caller, client_of, is_encrypted, peer_key
from ingest.refused_keys import RefusedKeys
from ingest.settings import IngestSettings
from ingest.wrong_keys import WrongKeys

_log = logging.getLogger(__name__)

_LOG_EVERY_S = 60.0


class SiteView(Protocol):
    """The site as far as the people topic was read; contract.people.directory.Directory is an implementation."""

    @property
    def site(self) -> Site:
        """The groups, permissions, devices, settings and API keys."""
        ...


class Authorisation:
    """Decides who makes a request; an async context manager, which writes the counts of refused keys.

    Args:
        settings: the keys of the settings, and whom to trust.
        people: the site with its API keys.
        keys_known: returns whether `people` was read to its end once, so that no deleted API key is left in it.
        refused: the counts of refused keys in the audit topic.
        keys_refused: the metric of refused keys, with the label `reason`.
    """

    def __init__(
        self,
        settings: IngestSettings,
        people: SiteView,
        keys_known: Callable[[], bool],
        refused: RefusedKeys,
        keys_refused: Counter,
    ) -> None:
        self._settings, self._people, self._keys_known = settings, people, keys_known
        self._refused, self._keys_refused = refused, keys_refused
        self._trusted = networks(settings.trusted_proxies)
        self._wrong_keys = WrongKeys()
        self._logged_s = -math.inf

    async def __aenter__(self) -> Self:
        await self._refused.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._refused.__aexit__(kind, error, trace)

    def caller(self, request: BaseRequest) -> Caller:
        """Return the caller, as the socket or a trusted proxy reports it."""
        connection, headers = cast("Connection", request.protocol), request.headers
        forwarded, forwarded_for = headers.getall("Forwarded", ()), headers.getall("X-Forwarded-For", ())
        address = client_of(connection.connected_from, forwarded, forwarded_for, self._trusted)
        protos, tls = headers.getall("X-Forwarded-Proto", ()), self._settings.tls_cert is not None
        peer = address_of(connection.connected_from)
        return Caller(
            address,
            is_encrypted(connection.connected_from, tls, forwarded, protos, self._trusted),
            bool(forwarded or forwarded_for) and not (peer is not None and is_within(peer, self._trusted)),
        )

    def authorise(self, request: BaseRequest, caller: Caller, route: Route) -> Actor:
        """Return who makes a request; count refused keys, and log them at most once a minute.

        Raises:
            NotAuthorised: 40180: the request is not authorised.
            NotKnownYet: 50380: a key cannot be checked yet, because the process is starting.
        """
        now_s = asyncio.get_running_loop().time()
        try:
            return self._gate().authorise(request.headers, request.rel_url.query, caller, route, now_s)
        except (NotAuthorised, NotKnownYet) as refusal:
            if refusal.reason is not None:
                self._keys_refused.labels(refusal.reason).inc()
                self._refused.count(peer_key(caller.address), refusal.reason)
            if refusal.retry_after_s is not None and now_s - self._logged_s >= _LOG_EVERY_S:
                self._logged_s = now_s
                _log.warning(
                    "many wrong API keys come from %s; most of them are refused without a comparison",
                    peer_key(caller.address),
                )
            raise

    def asks_for_password(self, request: BaseRequest, route: Route) -> bool:
        """Return whether a browser may ask its user for a key; see `ingest.auth.Gate.asks_for_password`."""
        return self._gate().asks_for_password(request.headers, route)

    def stands(self, actor: Actor, least: Role) -> bool:
        """Return whether an actor may go on with what needs the role `least`: the key still exists, with that role."""
        if actor.key_id is None:
            return True
        key = self._people.site.keys.get(actor.key_id)
        return key is not None and includes(key.role, least)

    def _gate(self) -> Gate:
        keys = self._people.site.keys.values() if self._keys_known() else None
        return Gate(self._settings, keys, self._wrong_keys)
