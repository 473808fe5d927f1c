"""The ingress as an HTTP server: routes, the stages of a call, and the order of starting and stopping.

The stages of a PictureMatch call are: request id, authorisation, admission, body, fields, pictures, the log, the reply,
the answer. A call that is refused before the log leaves no event. A request in the log leaves exactly one event,
whether or not the device still waits; a comparison leaves one only where the request asks for it, and FIQA and detect
leave none.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from functools import partial
from types import TracebackType
from typing import Self

from aiohttp.http import HttpVersion11
from aiohttp.web import BaseRequest, StreamResponse
from prometheus_client import CollectorRegistry

from broker.keyed import KeyedReader
from broker.port import Broker, NewRecord
from contract.audit import SearchRecord, encode_audit
from contract.calls.dialects import Dialect
from contract.errors import Code, Refused
from contract.event_store import EventStore
from contract.http import REPLAY_OF_HEADER, is_request_id
from contract.pictures.limits import PictureSettings
from contract.seen_faces import SeenFaces
from contract.site_settings import Configured
from contract.topics import Topics
from ingest.accept import AcceptErrorLog
from ingest.admission import Admission
from ingest.answer import to_response
from ingest.api.binding import Binding, Crop, PeopleView, Reached, Services
from ingest.api.listing import DECLARATIONS
from ingest.api.people import people_unreadable
from ingest.attendance import Attendance
from ingest.auth import TO_READ_FILES, NotAuthorised, headers_of
from ingest.authorisation import Authorisation
from ingest.body import BodyTime
from ingest.call import Call, Reservation
from ingest.correlator import Correlator
from ingest.exchange import Exchange
from ingest.faults import internal_error, log_failure, new_request_id
from ingest.http import HttpServer
from ingest.json_body import bad_request
from ingest.line import Shed
from ingest.listener import CannotListen, Listener, listen, url_of
from ingest.metrics import Metrics
from ingest.openapi import openapi_document
from ingest.peer import Caller, peer_key
from ingest.pictures import PictureLimits
from ingest.refused_keys import RefusedKeys
from ingest.render import Rendered, error
from ingest.routes import Methods, dialect_at, methods_at, route_of
from ingest.settings import IngestSettings
from ingest.tls import tls_of

__all__ = ["CannotListen", "Ingress"]

# Picture files are read in threads of their own, so that a hanging network file system blocks nothing else; and so is
# the store of events, so that a database that hangs does not keep pictures from being read.
_FILE_THREADS, _STORE_THREADS = 4, 4
# Answers up to this size (all except those with photos) reserve no memory, since refusing them would save little.
_SMALL_ANSWER_BYTES = 64 * 1024


async def _audit(broker: Broker, topic: str, record: SearchRecord) -> None:
    """Append the audit record of a search."""
    await broker.append([NewRecord(topic, record.actor.encode(), encode_audit(record), partition=0)])


class Ingress:
    """The HTTP server; an async context manager.

    After entering, the server reads its replies and listens. `drain` stops the server gracefully; leaving the context
    calls `drain` too.

    Args:
        settings: the limits and addresses.
        pictures: the limits of pictures.
        broker: an open log whose topics exist.
        topics: the names of the topics.
        people: the enrolled people, for GET of users.
        reached: waits until `people` contains a gallery version.
        clock: returns seconds since the epoch.
        readiness: returns the reasons why the rest of the process is not ready; none where it is ready.
        registry: the registry of the server's metrics.
        configured: the operator's settings that settings of the site are laid over.
        keys_known: returns whether `people` was read to its end once, so that no deleted API key is left in it.
        event_store: answers questions about events; None: the server has no store of events.
        crop: cuts a face out of a picture; None: the server has no image library.
        seen: searches the faces of past matches; None: that is switched off.
    """

    def __init__(
        self,
        settings: IngestSettings,
        pictures: PictureSettings,
        broker: Broker,
        topics: Topics,
        people: PeopleView,
        reached: Reached,
        clock: Callable[[], float],
        readiness: Callable[[], Sequence[str]],
        registry: CollectorRegistry,
        configured: Configured,
        keys_known: Callable[[], bool] = lambda: True,
        event_store: EventStore | None = None,
        crop: Crop | None = None,
        seen: SeenFaces | None = None,
    ) -> None:
        self._settings = settings
        self._broker = broker
        self._clock = clock
        self._readiness = readiness
        self._metrics = Metrics(registry)
        limits = PictureLimits(
            pictures.max_bytes, pictures.max_pixels, settings.image_roots, pictures.max_pixels_undecimated
        )
        self._admission = Admission(settings.max_in_flight, settings.max_body_memory_bytes, settings.deadline_s)
        self._body_time = BodyTime(settings, self._admission)
        self._watch = broker.watch(topics.processors)
        self._attendance = Attendance(settings.deadline_s, self._watch.served)
        self._correlator = Correlator(broker, topics.replies, self._metrics, self._attendance)
        self._exchange = Exchange(broker, topics, self._correlator, self._admission, self._attendance)
        self._tls = tls_of(settings)
        refused = RefusedKeys(broker, topics.audit, clock)
        self._authorisation = Authorisation(settings, people, keys_known, refused, self._metrics.keys_refused)
        self._threads = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="picture-file")
        self._store_threads = ThreadPoolExecutor(_STORE_THREADS, thread_name_prefix="event-store")
        self._services = Services(
            exchange=self._exchange,
            limits=limits,
            metrics=self._metrics,
            threads=self._threads,
            store_threads=self._store_threads,
            photos=KeyedReader(broker, topics.photos),
            records=KeyedReader(broker, topics.people),
            people=people,
            reached=reached,
            not_ready=self.not_ready,
            openapi=openapi_document(DECLARATIONS),
            configured=configured,
            event_store=event_store,
            read_at=broker.read_at,
            crop=crop,
            seen=seen,
            audit=partial(_audit, broker, topics.audit),
        )
        self._metrics.in_flight.set_function(lambda: self._admission.in_flight)
        line = self._admission.line
        admin_line = self._admission.admin_line
        self._metrics.waiting.set_function(lambda: line.length + admin_line.length)
        self._metrics.in_log.set_function(lambda: line.in_log + admin_line.in_log)
        self._metrics.log_limit.set_function(lambda: line.limit)
        self._metrics.expected_s.set_function(lambda: line.wait_s("") + line.answer_s)
        self._metrics.reserved_bytes.set_function(lambda: self._admission.reserved_bytes)
        self._metrics.connections.set_function(lambda: self._http.open_connections if self._http else 0)
        self._http: HttpServer | None = None
        self._listener: asyncio.Server | None = None
        self._entered = AsyncExitStack()
        self._accept_errors: AcceptErrorLog | None = None
        self._stopping = asyncio.Lock()
        self._address: tuple[str, int] = (settings.host, settings.port)

    @property
    def port(self) -> int:
        """The port on which the server listens."""
        return self._address[1]

    @property
    def url(self) -> str:
        """The URL of the server for callers on this machine."""
        return url_of(self._address, "http" if self._tls is None else "https")

    @property
    def further_ports(self) -> Listener:
        """What opens further ports with the address, the TLS and the authorisation of this server."""
        return Listener(self._settings, self._authorisation, self._tls, self._metrics)

    @property
    def reload_certificate(self) -> Callable[[], None] | None:
        """The function that reads the certificate and its key again; None: the server does not use TLS."""
        return None if self._tls is None else self._tls.reload

    def not_ready(self) -> Sequence[str]:
        """Return the reasons why requests would not be answered now; none where they would."""
        reasons = list(self._readiness())
        if self._admission.draining:
            reasons.append("the server is stopping")
        if not self._correlator.positioned:
            reasons.append("the replies cannot be read")
        if not self._broker.available():
            reasons.append("the log cannot be reached")
        absence = self._attendance.absence(asyncio.get_running_loop().time())
        if absence is not None:
            reasons.append(absence)
        return reasons

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._watch)
            await stack.enter_async_context(self._correlator)
            await stack.enter_async_context(self._authorisation)
            self._http = HttpServer(self._serve, self._settings, self._metrics)
            self._listener = await listen(self._http, self._settings, self._tls)
            self._address = self._listener.sockets[0].getsockname()[:2]
            self._accept_errors = AcceptErrorLog(asyncio.get_running_loop())
            self._entered = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain()

    async def drain(self) -> None:
        """Stop the server within one deadline; a second call waits for the first.

        1. Refuse new calls and stop listening.
        2. Close idle connections, and refuse bodies that do not arrive soon.
        3. Wait for the calls in flight.
        4. Close the remaining connections.
        5. Stop reading replies.
        """
        async with self._stopping:
            if self._http is not None and self._listener is not None:
                await self._stop(self._http, self._listener)

    async def _stop(self, http: HttpServer, listener: asyncio.Server) -> None:
        self._listener = None
        self._admission.draining = True
        now = asyncio.get_running_loop().time()
        stop_at = now + self._settings.drain_limit_s
        self._body_time.end_by(now + self._settings.drain_bodies_s)
        listener.close()
        # Requests that were read already are counted before the idle connections are closed.
        await asyncio.sleep(0)
        http.release_idle()
        await http.wait_closed(stop_at)
        await http.shutdown(timeout=0.1)
        await self._entered.aclose()
        if self._accept_errors is not None:
            self._accept_errors.close()
        for threads in (self._threads, self._store_threads):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, request: BaseRequest) -> StreamResponse:
        """Answer one HTTP request; every request that can be parsed is answered here."""
        started = asyncio.get_running_loop().time()
        request_id = new_request_id()
        methods = methods_at(request.rel_url.raw_path)
        known = next(iter(methods.values()), None)
        dialect = dialect_at(request.rel_url.raw_path, methods)
        route = known.declaration.route if known else "unknown"
        caller = self._authorisation.caller(request)
        peer = peer_key(caller.address)
        reserved_bytes = 0
        try:
            rendered = await self._answer(request, request_id, caller, methods)
            if len(rendered.body) > _SMALL_ANSWER_BYTES:
                self._admission.reserve(peer, len(rendered.body))
                reserved_bytes = len(rendered.body)
        except Refused as refused:
            rendered = self._refuse(refused, methods, dialect)
        except Exception as failure:  # noqa: BLE001 - every error is logged and answered
            log_failure(request_id, failure)
            rendered = error(internal_error(request_id), dialect)
        self._metrics.requests.labels(route, str(rendered.code)).inc()
        self._metrics.latency_s.labels(route).observe(asyncio.get_running_loop().time() - started)
        response = to_response(rendered, request_id, partial(self._admission.release, peer, reserved_bytes))
        if self._admission.draining or not request.content.is_eof():
            # The rest of an unread body would be parsed as the next request.
            response.force_close()
        return response

    async def _answer(self, request: BaseRequest, request_id: str, caller: Caller, methods: Methods) -> Rendered:
        expect = request.headers.get("Expect", "100-continue")
        if request.version >= HttpVersion11 and expect.strip().lower() != "100-continue":
            raise bad_request("Expect must be 100-continue")
        actor = self._authorisation.authorise(request, caller, route_of(request.method, request.headers, methods))
        if not methods:
            raise Refused(Code.NOT_FOUND, "no such URL")
        binding = methods.get(request.method)
        if binding is None:
            raise Refused(Code.METHOD_NOT_ALLOWED, f"this URL accepts only {', '.join(methods)}")
        peer = peer_key(caller.address)
        line = None if request.method == "GET" else self._admission.line_of(administrative=binding.administrative)
        with Reservation(self._admission, peer) as reservation:
            call = Call(
                request,
                request_id,
                peer,
                actor,
                self._settings,
                self._clock,
                reservation,
                self._body_time,
                line,
                partial(self._may_read_files, request, caller),
                _replay_of(request),
            )
            if not binding.is_page:
                self._require_served(call, binding)
            return await binding.handle(call, self._services)

    def _require_served(self, call: Call, binding: Binding) -> None:
        """Return where a call could be answered, judged by its head alone."""
        # A body beyond the limit is refused later, with an error that names the limit.
        size = call.request.content_length or 0
        self._admission.require_room(
            call.peer,
            size if size <= self._settings.max_body_bytes else 0,
            log_available=self._exchange.available(),
            line=call.line,
        )
        if call.line is not None:
            self._exchange.require_processor()
        if binding.needs_people and self._services.people.unreadable:
            raise people_unreadable()

    def _may_read_files(self, request: BaseRequest, caller: Caller) -> bool:
        """Return whether a call may name picture files of this machine; a wrong key is counted."""
        with suppress(NotAuthorised):
            self._authorisation.authorise(request, caller, TO_READ_FILES)
            return True
        return False

    def _refuse(self, refused: Refused, methods: Methods, dialect: Dialect) -> Rendered:
        if isinstance(refused, Shed):
            self._metrics.shed.labels(refused.reason).inc()
        headers = headers_of(refused, self._settings.retry_after_s)
        if refused.code is Code.METHOD_NOT_ALLOWED:
            headers = (*headers, ("Allow", ", ".join(methods)))
        return error(refused.refusal, dialect, headers)


def _replay_of(request: BaseRequest) -> str | None:
    """Return the id of the request that a call replays; None where the call replays none.

    Raises:
        Refused: the header is not the id of a request.
    """
    text = request.headers.get(REPLAY_OF_HEADER)
    if text is not None and not is_request_id(text):
        raise bad_request(f"{REPLAY_OF_HEADER} must be the id of a request: at most 128 letters, digits and . _ : -")
    return text
