"""Further HTTP ports of a process, such as that of real-time events: with the address, the TLS, the limits of time and
the authorisation of the ingress, and a handler of somebody else.

A request that the handler refuses, and every fault below the handler, gets the JSON error of the ingress.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
from aiohttp.web import BaseRequest, StreamResponse

from contract.errors import Code, Refused
from contract.operator_error import OperatorError
from ingest.answer import to_response
from ingest.auth import Route, headers_of
from ingest.authorisation import Authorisation
from ingest.faults import internal_error, log_failure, new_request_id
from ingest.http import HttpServer
from ingest.metrics import Metrics
from ingest.peer import peer_key
from ingest.render import error
from ingest.settings import IngestSettings
from ingest.tls import ServerTls

BACKLOG = 512
_TLS_END_S = 2.0
"""How long a client may take to confirm the end of its TLS connection."""
_SPARE_CONNECTIONS = 64
"""Connections beyond those of the handler, for clients that are still to be refused."""
_STOP_S = 2.0
_BEARER, _BASIC = "Bearer", 'Basic realm="PictureMatch", charset="UTF-8"'
"""The ways to send a key: browsers can only send HTTP Basic where they open a WebSocket or an event stream."""

MayStay = Callable[[], bool]
"""Returns whether a request that was authorised still is: its key may have been deleted meanwhile."""
Handler = Callable[[BaseRequest, str, MayStay], Awaitable[StreamResponse]]
"""Answers an authorised request, of a peer: an IPv4 address, or the network of the first 64 bits of an IPv6 address. It
may raise contract.errors.Refused, and is cancelled when the client goes."""


class CannotListen(OperatorError):
    """The server cannot listen on its address; the message says what to do."""


async def listen(server: HttpServer, settings: IngestSettings, tls: ServerTls | None) -> asyncio.Server:
    """Let a server listen at the host and the port of the settings.

    Raises:
        CannotListen: the address cannot be used.
    """
    host, port = settings.host, settings.port
    try:
        return await asyncio.get_running_loop().create_server(
            server,
            host,
            port,
            backlog=BACKLOG,
            ssl=None if tls is None else tls.context,
            ssl_handshake_timeout=None if tls is None else settings.header_read_s,
            ssl_shutdown_timeout=None if tls is None else _TLS_END_S,
        )
    except (OSError, socket.gaierror) as failure:
        reason = failure.strerror or str(failure)
        raise CannotListen(
            f"cannot listen on {host} port {port}: {reason}; stop the program that uses the port, or choose another"
            " host or port"
        ) from failure


def url_of(address: tuple[str, int], scheme: str) -> str:
    """Return the URL of a server for callers on this machine."""
    host, port = address
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - a look-up
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class Listener:
    """Opens further ports. `settings`: those of the ingress; `tls`: its certificate, None: plain HTTP."""

    def __init__(
        self, settings: IngestSettings, authorisation: Authorisation, tls: ServerTls | None, metrics: Metrics
    ) -> None:
        self._settings, self._authorisation, self._tls, self._metrics = settings, authorisation, tls, metrics

    @asynccontextmanager
    async def on(
        self, port: int, handler: Handler, *, clients: int, origins: frozenset[str] = frozenset()
    ) -> AsyncIterator[str]:
        """See `sinks.listening.Listening.on`.

        Raises:
            CannotListen: the address cannot be used.
        """
        settings = msgspec.structs.replace(self._settings, port=port, max_connections=clients + _SPARE_CONNECTIONS)
        route = Route("operator", origins=origins)

        async def serve(request: BaseRequest) -> StreamResponse:
            return await self._serve(request, handler, route)

        server = HttpServer(serve, settings, self._metrics, handler_cancellation=True)
        listening = await listen(server, settings, self._tls)
        try:
            yield url_of(listening.sockets[0].getsockname()[:2], "http" if self._tls is None else "https")
        finally:
            listening.close()
            server.release_idle()
            await server.wait_closed(asyncio.get_running_loop().time() + _STOP_S)
            await server.shutdown(timeout=0.1)

    async def _serve(self, request: BaseRequest, handler: Handler, route: Route) -> StreamResponse:
        request_id = new_request_id()
        try:
            caller = self._authorisation.caller(request)
            actor = self._authorisation.authorise(request, caller, route)
            peer = peer_key(caller.address)
            return await handler(request, peer, lambda: self._authorisation.stands(actor, route.role))
        except Refused as refused:
            asks = self._authorisation.asks_for_password(request, route)
            headers = headers_of(refused, self._settings.retry_after_s, (_BEARER, _BASIC) if asks else (_BEARER,))
            if refused.code is Code.METHOD_NOT_ALLOWED:
                headers = (*headers, ("Allow", "GET"))
            rendered = error(refused.refusal, headers=headers)
        except Exception as failure:  # noqa: BLE001 - every error is logged and answered
            log_failure(request_id, failure)
            rendered = error(internal_error(request_id))
        response = to_response(rendered, request_id)
        response.force_close()
        return response
