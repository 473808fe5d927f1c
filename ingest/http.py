"""The HTTP connections below the handlers: every fault is answered with the JSON error, and every wait is bounded.

aiohttp parses the requests. The classes here decide what happens where no request reaches a handler (invalid bytes, a
head that never ends, a client that closes its sending side) and where a client does not read its answer. They use a few
private names of aiohttp's `RequestHandler`; tests/wire/test_below_the_handler.py tests each of these names with real
sockets.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp.http import HttpVersion10, HttpVersion11
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web import BaseRequest, Server, StreamResponse
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from contract.errors import Code, Refusal
from contract.networks import address_of
from ingest.answer import REQUEST_ID, WHEN_SENT, to_response
from ingest.crowd import Crowd, State
from ingest.faults import internal_error, log_failure, new_request_id
from ingest.metrics import Metrics
from ingest.peer import peer_key
from ingest.render import error
from ingest.settings import IngestSettings

_log = logging.getLogger(__name__)

# Large enough to read an ordinary picture in one or two steps, small enough for a thousand connections.
_READ_BUFFER_BYTES = 64 * 1024
# How long a refused connection stays open, so that a client that is still sending can read the refusal.
_LINGER_S = 2.0
# The most connections beyond the limit that stay open to read their refusal; each uses a file descriptor.
_MOST_SHED_AT_ONCE = 64

Handler = Callable[[BaseRequest], Awaitable[StreamResponse]]


class HeadStalled(Exception):
    """The head of a request did not arrive in time, or was cut off."""


def _end_sending(transport: asyncio.Transport) -> None:
    """End the server's sending side, so that the client sees the end of the answer; TLS can only close both sides."""
    if transport.can_write_eof():
        transport.write_eof()


class HttpServer(Server):
    """Creates a `Connection` for each client, up to a limit; `handler_cancellation`: that of a client that goes."""

    def __init__(
        self, handler: Handler, settings: IngestSettings, metrics: Metrics, *, handler_cancellation: bool = False
    ) -> None:
        super().__init__(handler, handler_cancellation=handler_cancellation)
        self.settings = settings
        self.metrics = metrics
        # The open sockets; aiohttp's own list contains a connection until its handler has ended.
        self._open: set[RequestHandler] = set()
        # The open connections except those that are being closed.
        self.crowd: Crowd[Connection] = Crowd()
        self.shed_open = 0
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    @property
    def open_connections(self) -> int:
        """The number of connected clients."""
        return len(self._open)

    def __call__(self) -> "Connection":
        """Return the connection of a new client."""
        return Connection(self, self.settings, self.metrics)

    async def wait_closed(self, until: float) -> None:
        """Wait until all connections are closed, or until a time of the event loop."""
        try:
            async with asyncio.timeout_at(until):
                await self._all_closed.wait()
        except TimeoutError:
            _log.warning("%d connections were still busy at the end of the time for stopping", self.open_connections)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Add an open connection."""
        super().connection_made(handler, transport)
        self._open.add(handler)
        self._all_closed.clear()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Remove a closed connection."""
        super().connection_lost(handler, exc)
        self._open.discard(handler)
        if not self._open:
            self._all_closed.set()

    def release_idle(self) -> None:
        """Close the idle connections; busy connections close after their answers."""
        for connection in tuple(self._open):
            cast("Connection", connection).release()


class Connection(RequestHandler):
    """One client's connection."""

    __slots__ = (
        "_answered",
        "_answering",
        "_cut_payload",
        "_faulty",
        "_half_closed",
        "_head_began",
        "_head_timer",
        "_last_payload",
        "_lingering",
        "_metrics",
        "_released",
        "_settings",
        "_shed_timer",
        "connected_from",
    )

    def __init__(self, server: HttpServer, settings: IngestSettings, metrics: Metrics) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=settings.keep_alive_s,
            access_log=None,  # type: ignore[arg-type]  # None is aiohttp's own way to switch it off
            lingering_time=_LINGER_S,
            read_bufsize=_READ_BUFFER_BYTES,
            # A compressed body is refused; a bomb in one is never unpacked.
            auto_decompress=False,
        )
        self._settings = settings
        self._metrics = metrics
        self.connected_from: str | None = None
        """The address at the other end of the connection; None where it is unknown."""
        self._answered = 0
        self._half_closed = False
        self._released = False
        self._faulty = False
        self._answering = False
        self._lingering: asyncio.Future[None] | None = None
        self._head_began = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._last_payload: StreamReader = EMPTY_PAYLOAD
        self._cut_payload: StreamReader | None = None
        self._shed_timer: asyncio.TimerHandle | None = None

    def was_cut_off(self, payload: StreamReader) -> bool:
        """Return whether a body was cut off before its end."""
        return self._cut_payload is payload

    def release(self) -> None:
        """Close an idle connection now, a busy one after its answer; its request is still read completely."""
        if self._request_count == self._answered:
            self.force_close()
        else:
            self._released = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the client; at the limit of connections, close another connection, or shed this one."""
        server = cast("HttpServer", self._manager)
        address = transport.get_extra_info("peername")
        self.connected_from = address[0] if isinstance(address, tuple) else None
        peer = peer_key(address_of(self.connected_from))
        if len(server.crowd) >= self._settings.max_connections:
            self._metrics.shed.labels("connections").inc()
            closed = server.crowd.to_close(peer)
            if closed is None:
                self._shed(server, cast("asyncio.Transport", transport))
                return
            closed.close_for_another()
        server.crowd.add(self, peer)
        super().connection_made(transport)
        # With this limit an answer counts as sent only when no byte of it is buffered. A transport of TLS with limit 0
        # would stop although nothing is buffered; the transport below it buffers up to 64 KiB more.
        plain = cast("asyncio.Transport", transport).can_write_eof()
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=0 if plain else 1, low=0)
        self._start_head_timer()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Release everything that belongs to the connection."""
        if self._shed_timer is not None and self._manager is not None:
            self._shed_timer.cancel()
            cast("HttpServer", self._manager).shed_open -= 1
        if self._manager is not None:
            cast("HttpServer", self._manager).crowd.remove(self)
        self._stop_head_timer()
        self._stop_lingering()
        self._end_body()
        super().connection_lost(exc)

    def close_for_another(self) -> None:
        """Close the connection in favour of another one; a client that is sending a request gets a refusal first."""
        if self._manager is not None:
            cast("HttpServer", self._manager).crowd.remove(self)
        if self.transport is not None and not self._answering and not self._is_between_requests():
            self.transport.write(self._full())
        self.force_close()

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, and record the beginning of a head, a complete request, or a broken body."""
        self._take(data)
        self._note_state()

    def _take(self, data: bytes) -> None:
        super().data_received(data)
        if self._force_close or self._close:
            return
        if self._messages:
            self._stop_head_timer()
            self._refuse_other_versions()
            message, payload = self._messages[-1]
            if isinstance(message, _ErrInfo):
                self._end_body()
            else:
                self._last_payload = payload
        elif data and self._is_idle():
            self._head_began = True
            if self._head_timer is None:
                self._start_head_timer()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio asks for a bool; aiohttp never keeps open
        """Handle the end of the client's sending side; the client may still read its answers."""
        if self._force_close or self._close:
            self._stop_lingering()
            return None
        if self._is_idle():
            if not self._head_began:
                return None
            self._half_closed = True
            self._refuse_head()
            return self._may_stay_open()
        self._half_closed = True
        self._end_body()
        return self._may_stay_open()

    def _may_stay_open(self) -> bool:
        """Return whether the connection can stay open after the end of the client's sending side; TLS closes it."""
        return self.transport is not None and self.transport.can_write_eof()

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> StreamResponse:
        """Return the JSON error of a request that reached no handler; the connection closes after it."""
        request_id = new_request_id()
        if status >= 500:
            if exc is not None:
                log_failure(request_id, exc)
            rendered = error(internal_error(request_id))
        elif isinstance(exc, HeadStalled):
            rendered = error(Refusal(Code.BAD_REQUEST, "the head of the request did not arrive completely in time"))
        elif isinstance(exc, LineTooLong):
            rendered = error(Refusal(Code.BAD_REQUEST, "the request line or a header is too long"))
        else:
            rendered = error(Refusal(Code.BAD_REQUEST, "this is not a valid HTTP request"))
        self._metrics.requests.labels("unknown", str(rendered.code)).inc()
        response = to_response(rendered, request_id)
        response.headers["Connection"] = "close"
        response.force_close()
        self._faulty = True
        return response

    def log_exception(self, *args: object, **kw: object) -> None:
        """Log an error of aiohttp by its type only, because its message may quote the request."""
        failure = kw.get("exc_info")
        _log.error("a connection failed with %s", type(failure).__name__)

    async def finish_response(
        self, request: BaseRequest, resp: StreamResponse, start_time: float | None
    ) -> tuple[StreamResponse, bool]:
        """Send the answer; a client that does not read it in time is disconnected."""
        transport = self.transport
        self._answering = True
        try:
            async with asyncio.timeout(self._settings.write_s):
                result = await super().finish_response(request, resp, start_time)
            if self._faulty:
                await self._linger(transport)
            elif transport is not None and not request.content.is_eof():
                # The rest of the body is read and dropped for a while; the client need not wait for that.
                _end_sending(transport)
            return result
        except TimeoutError:
            if transport is not None:
                transport.abort()
            self.force_close()
            return resp, True
        finally:
            if (when_sent := resp.pop(WHEN_SENT, None)) is not None:
                when_sent()
            self._answered += 1
            self._answering = False
            self._note_state()
            if self._released or (self._half_closed and not self._messages):
                self.close()

    def _note_state(self) -> None:
        """Report the state of this connection to the crowd."""
        if self._manager is None:
            return
        if self._request_count != self._answered or self._messages:
            state = State.SERVED if self._last_payload.is_eof() else State.ARRIVING
        else:
            state = State.IDLE if self._is_between_requests() else State.ARRIVING
        cast("HttpServer", self._manager).crowd.set_state(self, state)

    def _is_between_requests(self) -> bool:
        return self._is_idle() and not self._head_began

    async def _linger(self, transport: asyncio.Transport | None) -> None:
        """Keep the connection open so that a client that is still sending can read the answer.

        Closing at once would reset the connection, and the client would lose the answer.
        """
        self.close()
        if transport is None or self._half_closed or transport.is_closing():
            return
        _end_sending(transport)
        self._lingering = self._loop.create_future()
        await asyncio.wait((self._lingering,), timeout=_LINGER_S)

    def _stop_lingering(self) -> None:
        if self._lingering is not None and not self._lingering.done():
            self._lingering.set_result(None)

    def _is_idle(self) -> bool:
        """Return whether no request is in flight or queued, so that the next byte begins a head."""
        return self._request_count == self._answered and self._last_payload.is_eof()

    def _start_head_timer(self) -> None:
        self._head_timer = self._loop.call_later(self._settings.header_read_s, self._head_stalled)

    def _stop_head_timer(self) -> None:
        self._head_began = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_stalled(self) -> None:
        self._head_timer = None
        if not self._is_idle():
            return
        if self._head_began:
            self._refuse_head()
        else:
            self.force_close()

    def _refuse_head(self) -> None:
        """Queue the answer to a head that will never be complete."""
        self._stop_head_timer()
        self._request_count += 1
        self._messages.append((_ErrInfo(status=400, exc=HeadStalled(), message=""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _refuse_other_versions(self) -> None:
        """Refuse requests of other HTTP versions: the parser accepts the request lines of HTTP/0.9 and HTTP/2.0, but an
        answer in HTTP/1.1 would be invalid for such a client."""
        for place, (message, _) in enumerate(self._messages):
            if not isinstance(message, _ErrInfo) and message.version not in (HttpVersion10, HttpVersion11):
                refused = _ErrInfo(status=400, exc=BadHttpMessage("version"), message="")
                self._messages[place] = (refused, EMPTY_PAYLOAD)

    def _end_body(self) -> None:
        """End the body that is being read, because no more bytes will arrive."""
        if not self._last_payload.is_eof():
            self._cut_payload = self._last_payload
            self._last_payload.feed_eof()

    def _shed(self, server: HttpServer, transport: asyncio.Transport) -> None:
        """Refuse a client because there are too many connections.

        The connection stays open for a while so that the client can read the refusal, but only so many connections may.
        """
        self._force_close = True
        transport.write(self._full())
        if server.shed_open >= _MOST_SHED_AT_ONCE:
            transport.close()
            return
        server.shed_open += 1
        self._shed_timer = self._loop.call_later(_LINGER_S, transport.close)
        _end_sending(transport)

    def _full(self) -> bytes:
        """Return a complete HTTP answer for a client whose connection is shed."""
        body = error(Refusal(Code.OVERLOADED, "too many connections; try again")).body
        head = (
            "HTTP/1.1 503 Service Unavailable\r\nServer: PictureMatch\r\nContent-Type: application/json\r\n"
            f"{REQUEST_ID}: {new_request_id()}\r\nRetry-After: {self._settings.retry_after_s}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body
