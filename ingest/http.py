"""The HTTP connection below the handlers: every fault ends in the JSON error, and no wait is without a bound.

aiohttp parses; this subclass decides what happens when there is nothing to hand to a handler (garbage, a head that
never ends, a client that half-closes) and when an answer is not taken. It relies on a few private names of aiohttp's
`RequestHandler`; tests/wire/test_below_the_handler.py drives each of them through real sockets.
"""

import asyncio
import logging
import traceback
import uuid
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp.http import HttpVersion10, HttpVersion11
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web import BaseRequest, Server, StreamResponse
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from contract.errors import Code, Refusal
from ingest.answer import REQUEST_ID, WHEN_SENT, to_response
from ingest.crowd import Crowd, State
from ingest.metrics import Metrics
from ingest.peer import address_of, peer_key
from ingest.render import error
from ingest.settings import IngestSettings

_log = logging.getLogger(__name__)

# Large enough for an ordinary picture in one or two turns, small enough for a thousand connections.
_READ_BUFFER_BYTES = 64 * 1024
# Lets a client that is still sending read why it was refused.
_LINGER_S = 2.0
# Beyond the limit on connections; each costs a file descriptor.
_MOST_SENT_AWAY = 64


class HeadStalled(Exception):
    """The head of a request did not arrive in time, or was cut off."""


def new_request_id() -> str:
    """A fresh request id: 32 hexadecimal digits."""
    return uuid.uuid4().hex


def log_failure(request_id: str, failure: BaseException) -> None:
    """Log where a bug struck. Its message stays out: it may quote the request."""
    trace = "".join(traceback.format_tb(failure.__traceback__))
    _log.error("request %s failed with %s\n%s", request_id, type(failure).__name__, trace)


def internal_error(request_id: str) -> Refusal:
    """The refusal of a request that met a bug."""
    return Refusal(Code.INTERNAL_ERROR, f"internal error; the log has it under request id {request_id}")


class HttpServer(Server):
    """Makes a `Connection` for each client, up to a limit."""

    def __init__(
        self, handler: Callable[[BaseRequest], Awaitable[StreamResponse]], settings: IngestSettings, metrics: Metrics
    ) -> None:
        super().__init__(handler)
        self.settings = settings
        self.metrics = metrics
        # aiohttp's own list keeps a connection until its handler has ended; this one is of open sockets.
        self._open: set[RequestHandler] = set()
        # Without those that have been told to close.
        self.crowd: Crowd[Connection] = Crowd()
        self.sent_away = 0
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._open)

    def __call__(self) -> "Connection":
        """A connection for a client that has just come."""
        return Connection(self, self.settings, self.metrics)

    async def wait_closed(self, until: float) -> None:
        """Wait until no connection is left, or until that time of the event loop."""
        try:
            async with asyncio.timeout_at(until):
                await self._all_closed.wait()
        except TimeoutError:
            _log.warning("%d connections were still busy when time to stop ran out", self.open_connections)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a connection."""
        super().connection_made(handler, transport)
        self._open.add(handler)
        self._all_closed.clear()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Count a connection no more."""
        super().connection_lost(handler, exc)
        self._open.discard(handler)
        if not self._open:
            self._all_closed.set()

    def release_idle(self) -> None:
        """Close what is idle; what is busy closes after its answer."""
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
        "_sent_away",
        "_settings",
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
        """The address at the other end; None: not known."""
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
        self._sent_away: asyncio.TimerHandle | None = None

    def was_cut_off(self, payload: StreamReader) -> bool:
        """Whether that body ended before its end."""
        return self._cut_payload is payload

    def release(self) -> None:
        """Close now when idle, else after the answer that is due; until then the rest of its request is still read."""
        if self._request_count == self._answered:
            self.force_close()
        else:
            self._released = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the client in; when there are too many, another makes way, or this one is sent away."""
        server = cast("HttpServer", self._manager)
        address = transport.get_extra_info("peername")
        self.connected_from = address[0] if isinstance(address, tuple) else None
        peer = peer_key(address_of(self.connected_from))
        if len(server.crowd) >= self._settings.max_connections:
            self._metrics.shed.labels("connections").inc()
            closed = server.crowd.to_close(peer)
            if closed is None:
                self._send_away(server, cast("asyncio.Transport", transport))
                return
            closed.make_way()
        server.crowd.came(self, peer)
        super().connection_made(transport)
        # An answer counts as sent when nothing of it waits here.
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=0)
        self._start_head_timer()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the client."""
        if self._sent_away is not None and self._manager is not None:
            self._sent_away.cancel()
            cast("HttpServer", self._manager).sent_away -= 1
        if self._manager is not None:
            cast("HttpServer", self._manager).crowd.went(self)
        self._stop_head_timer()
        self._stop_lingering()
        self._end_body()
        super().connection_lost(exc)

    def make_way(self) -> None:
        """Close for want of room. A client that is in the middle of a request is told why."""
        if self._manager is not None:
            cast("HttpServer", self._manager).crowd.went(self)
        if self.transport is not None and not self._answering and not self._is_between_requests():
            self.transport.write(self._full())
        self.force_close()

    def data_received(self, data: bytes) -> None:
        """Parse; notice broken bodies, the beginning of a head, and that a request is here."""
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
        """The client sends no more; it may still read its answers."""
        if self._force_close or self._close:
            self._stop_lingering()
            return None
        if self._is_idle():
            if not self._head_began:
                return None
            self._half_closed = True
            self._refuse_head()
            return True
        self._half_closed = True
        self._end_body()
        return True

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> StreamResponse:
        """The JSON error for what no handler saw; closes the connection."""
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
        """What aiohttp would log with its message, which may quote the request."""
        failure = kw.get("exc_info")
        _log.error("a connection failed with %s", type(failure).__name__)

    async def finish_response(
        self, request: BaseRequest, resp: StreamResponse, start_time: float | None
    ) -> tuple[StreamResponse, bool]:
        """Send the answer; a client that does not take it is dropped."""
        transport = self.transport
        self._answering = True
        try:
            async with asyncio.timeout(self._settings.write_s):
                result = await super().finish_response(request, resp, start_time)
            if self._faulty:
                await self._linger(transport)
            elif transport is not None and not request.content.is_eof():
                # The rest of the body is thrown away for a while; the client need not wait for that.
                transport.write_eof()
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
        """Tell the crowd what this connection is doing."""
        if self._manager is None:
            return
        if self._request_count != self._answered or self._messages:
            state = State.SERVED if self._last_payload.is_eof() else State.ARRIVING
        else:
            state = State.IDLE if self._is_between_requests() else State.ARRIVING
        cast("HttpServer", self._manager).crowd.is_now(self, state)

    def _is_between_requests(self) -> bool:
        return self._is_idle() and not self._head_began

    async def _linger(self, transport: asyncio.Transport | None) -> None:
        """Let a client that is still sending read the answer; closing at once would reset the connection under it."""
        self.close()
        if transport is None or self._half_closed or transport.is_closing():
            return
        transport.write_eof()
        self._lingering = self._loop.create_future()
        await asyncio.wait((self._lingering,), timeout=_LINGER_S)

    def _stop_lingering(self) -> None:
        if self._lingering is not None and not self._lingering.done():
            self._lingering.set_result(None)

    def _is_idle(self) -> bool:
        """No request is being served or waits to be, and what comes next is a head."""
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
        """Queue the answer to a head that will never be whole."""
        self._stop_head_timer()
        self._request_count += 1
        self._messages.append((_ErrInfo(status=400, exc=HeadStalled(), message=""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _refuse_other_versions(self) -> None:
        """The parser lets HTTP/0.9 and HTTP/2.0 request lines pass; an answer in their name would be none."""
        for place, (message, _) in enumerate(self._messages):
            if not isinstance(message, _ErrInfo) and message.version not in (HttpVersion10, HttpVersion11):
                refused = _ErrInfo(status=400, exc=BadHttpMessage("version"), message="")
                self._messages[place] = (refused, EMPTY_PAYLOAD)

    def _end_body(self) -> None:
        """End the body that is being read: no more of it will come."""
        if not self._last_payload.is_eof():
            self._cut_payload = self._last_payload
            self._last_payload.feed_eof()

    def _send_away(self, server: HttpServer, transport: asyncio.Transport) -> None:
        """Say that there are too many connections. As with any refusal, closing at once could reset the connection
        under the answer; but only so many may linger."""
        self._force_close = True
        transport.write(self._full())
        if server.sent_away >= _MOST_SENT_AWAY:
            transport.close()
            return
        server.sent_away += 1
        self._sent_away = self._loop.call_later(_LINGER_S, transport.close)
        transport.write_eof()

    def _full(self) -> bytes:
        """A whole HTTP answer, for a client that never becomes a connection."""
        body = error(Refusal(Code.OVERLOADED, "too many connections; try again")).body
        head = (
            "HTTP/1.1 503 Service Unavailable\r\nServer: PictureMatch\r\nContent-Type: application/json\r\n"
            f"{REQUEST_ID}: {new_request_id()}\r\nRetry-After: {self._settings.retry_after_s}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body
