"""The websocket sink: sends events to WebSocket clients in the vendor's form, and to web pages as Server-Sent Events.

Both are served at one port: the WebSocket at /, the event stream at GET /events. The sink reads the events topic from
its end on, without a consumer group: every process that runs it sends all events, and a client gets what happens while
it is connected. A page that connects again goes on after its last event, where this process still remembers it.
Sources: RFC 6455; the section "Server-sent events" of the HTML Standard.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import msgspec
import orjson
from aiohttp import WSCloseCode, WSMsgType
from aiohttp.web import BaseRequest, StreamResponse, WebSocketResponse

from broker.ordered import fetch_patiently
from broker.port import Start
from contract.calls.dialects import Dialect
from contract.errors import Code, Refusal, Refused
from sinks.context import SinkContext
from sinks.listening import MayStay
from sinks.meter import Meter
from sinks.outgoing import Outgoing, outgoing
from sinks.port import SinkError
from sinks.realtime_choice import BadConfiguration, configured, queried
from sinks.realtime_hub import REFUSED, SLOW, STOPPING, Client, Hub
from sinks.settings import WebsocketSettings

_log = logging.getLogger(__name__)

_FETCH_RECORDS = 100
_STREAM = "text/event-stream; charset=utf-8"
_MAX_CONFIGURATION_BYTES = 1024 * 1024
"""Room for the device_ids of the largest site (`sinks.realtime_choice.MAX_DEVICES`)."""
_CONFIGURATIONS = 20
_CONFIGURATIONS_PER_S = 1.0
"""A WebSocket client may send so many texts at once, and then so many a second."""
_SEND_S = 10.0
"""How long the sending of one message may take, before the client counts as slow."""
_CLOSE_S = 1.0
_CLOSES = {
    REFUSED: (WSCloseCode.POLICY_VIOLATION, b"too many messages of the client, or its API key was deleted"),
    STOPPING: (WSCloseCode.GOING_AWAY, b"the server stops"),
}
"""The code and the reason of the frame that ends a connection."""
_RECONNECT = b"retry: 3000\n\n"
_HEARTBEAT = b":\n\n"

Send = Callable[[bytes], Awaitable[None]]


async def run_sink_of(settings: WebsocketSettings, context: SinkContext) -> int:
    """Send events until the context's `stop` is set; return the number of events that were read.

    Raises:
        SinkError: the process has no ports for sinks.
        OperatorError: the port cannot be used, or the log cannot be read.
    """
    if context.listening is None:
        raise SinkError(f"sink {settings.name} cannot listen in this process")
    meter = context.metrics.of(settings.name)
    hub = Hub(
        context,
        meter,
        max_clients=settings.max_clients,
        max_of_peer=settings.max_clients_per_address,
        max_held_bytes=settings.max_held_bytes,
    )
    door = _Door(settings, hub, meter)
    origins = frozenset(origin.lower() for origin in settings.origins)
    async with (
        context.broker.reader(context.topics.events, Start.LATEST) as reader,
        context.listening.on(settings.port, door.serve, clients=settings.max_clients, origins=origins) as url,
    ):
        _log.info("sink %s listens for WebSocket clients and at /events on %s", settings.name, url)
        meter.set_up(True)
        taken, idle_since_s = 0, time.monotonic()
        try:
            while not context.stop.is_set():
                records = await fetch_patiently(reader, _FETCH_RECORDS, context.stop)
                for record in records:
                    found = outgoing(record)
                    if isinstance(found, Outgoing) and settings.wanted.contains(found.event):
                        hub.take(found)
                        taken += 1
                    else:
                        meter.passed_over.inc()
                if records:
                    idle_since_s = time.monotonic()
                elif context.idle_exit_s is not None and time.monotonic() - idle_since_s >= context.idle_exit_s:
                    break
        finally:
            meter.set_up(False)
            await hub.close()
    return taken


class _Door:
    """Answers the requests of clients."""

    def __init__(self, settings: WebsocketSettings, hub: Hub, meter: Meter) -> None:
        self._hub, self._meter, self._ping_s = hub, meter, settings.ping_s
        self._origins = frozenset(origin.lower() for origin in settings.origins)

    async def serve(self, request: BaseRequest, peer: str, may_stay: MayStay) -> StreamResponse:
        """Serve one client to its end; a `sinks.listening.Handler`."""
        path = request.rel_url.raw_path
        if path not in ("/", "/events"):
            raise Refused(Code.NOT_FOUND, "no such URL: connect a WebSocket to /, or call GET /events")
        if request.method != "GET":
            raise Refused(Code.METHOD_NOT_ALLOWED, "this URL accepts only GET")
        return await (self._socket if path == "/" else self._stream)(request, peer, may_stay)

    async def _socket(self, request: BaseRequest, peer: str, may_stay: MayStay) -> StreamResponse:
        # No subprotocol is spoken, and the library would log what a client names here.
        headers = request.headers.copy()
        headers.popall("Sec-WebSocket-Protocol", None)
        request = request.clone(headers=headers)
        socket = WebSocketResponse(
            timeout=_CLOSE_S,
            heartbeat=self._ping_s,
            compress=False,
            max_msg_size=_MAX_CONFIGURATION_BYTES,
            writer_limit=0,
        )
        if not socket.can_prepare(request):
            raise Refused(Code.BAD_REQUEST, "this URL is for WebSocket clients; GET /events sends Server-Sent Events")
        client, transport = Client(peer=peer), request.transport
        self._hub.join(client)
        try:
            with suppress(ConnectionError, TimeoutError):
                await socket.prepare(request)
                await _first_of(
                    self._receive(socket, client),
                    self._send(client, may_stay, lambda text: socket.send_frame(text, WSMsgType.TEXT)),
                    client.wait_ended(),
                )
                if client.ended != SLOW and not socket.closed:
                    code, reason = _CLOSES.get(client.ended or "", (WSCloseCode.GOING_AWAY, b""))
                    async with asyncio.timeout(_CLOSE_S):
                        await socket.close(code=code, message=reason)
        finally:
            self._hub.leave(client)
            _cut_off(transport, client)
        return socket

    async def _stream(self, request: BaseRequest, peer: str, may_stay: MayStay) -> StreamResponse:
        client, transport = Client(queried(request.rel_url.query), peer), request.transport
        response = StreamResponse(headers=self._stream_headers(request))
        self._hub.join(client, request.headers.get("Last-Event-ID", ""))
        try:
            with suppress(ConnectionError):
                writer = await response.prepare(request)

                async def send(text: bytes) -> None:
                    await response.write(text)
                    if writer is not None:
                        await writer.drain()

                await _first_of(self._send(client, may_stay, send, _RECONNECT, _HEARTBEAT), client.wait_ended())
        finally:
            self._hub.leave(client)
            _cut_off(transport, client)
        return response

    def _stream_headers(self, request: BaseRequest) -> dict[str, str]:
        # Proxies such as nginx would collect events in a buffer without the third of these headers.
        headers = {"Content-Type": _STREAM, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        origin = request.headers.get("Origin", "")
        if origin.strip().lower() in self._origins:
            headers |= {"Access-Control-Allow-Origin": origin.strip(), "Access-Control-Allow-Credentials": "true"}
        return headers | {"Server": "PictureMatch", "Vary": "Origin"}

    async def _receive(self, socket: WebSocketResponse, client: Client) -> None:
        """Take the configurations of a client until it goes, or sends too many."""
        allowed, at_s = float(_CONFIGURATIONS), time.monotonic()
        async for message in socket:
            if message.type is WSMsgType.ERROR:
                return
            now_s = time.monotonic()
            allowed, at_s = min(_CONFIGURATIONS, allowed + (now_s - at_s) * _CONFIGURATIONS_PER_S) - 1, now_s
            if allowed < 0:
                client.end(REFUSED)
                return
            try:
                if message.type is not WSMsgType.TEXT:
                    raise BadConfiguration(Refusal(Code.BAD_REQUEST, "the configuration must be a text message"))
                client.choice = configured(message.data)
            except BadConfiguration as bad:
                self._hub.tell(client, _error(bad.refusal, bad.dialect))

    async def _send(
        self, client: Client, may_stay: MayStay, send: Send, first: bytes = b"", heartbeat: bytes = b""
    ) -> None:
        """Send what waits for a client until the client has ended, or is too slow.

        A message counts as waiting until it is sent. `first`: sent at once. `heartbeat`: sent when nothing else was
        sent for a while; a WebSocket has pings instead.
        """
        if first:
            await send(first)
        while client.stays():
            message = await client.next(self._ping_s if heartbeat else None)
            text = heartbeat if message is None else await message.text()
            if not client.stays():
                return
            if not may_stay():
                client.end(REFUSED)
                return
            if text:
                try:
                    async with asyncio.timeout(_SEND_S):
                        await send(text)
                except TimeoutError:
                    self._hub.drop(client)
                    return
            if message is not None:
                self._hub.sent(client, message)
                self._meter.delivered.inc(int(text is not None and message.is_event))


async def _first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Wait until one of the works ends, and stop the others.

    Raises:
        Exception: the error of a work that failed.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, ConnectionError):
            raise result


def _cut_off(transport: asyncio.Transport | None, client: Client) -> None:
    """Cut a client off that does not read: closing would wait for it."""
    if transport is not None and (client.ended == SLOW or transport.get_write_buffer_size() > 0):
        transport.abort()


def _error(refusal: Refusal, dialect: Dialect) -> bytes:
    return orjson.dumps(msgspec.to_builtins(dialect.error(refusal)))
