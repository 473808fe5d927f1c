"""One HTTP call in flight, and the reservation of its place and memory."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp.web import BaseRequest

from contract.audit import Actor
from contract.trace import TRACEPARENT, TRACESTATE, Trace
from ingest.admission import Admission
from ingest.body import BodyTime, read_body
from ingest.line import Line
from ingest.settings import IngestSettings


class Reservation:
    """The place and the bytes that are reserved for one call of a peer; a context manager that releases both at its
    end."""

    def __init__(self, admission: Admission, peer: str) -> None:
        self._admission, self._peer = admission, peer
        self._size = 0
        self._placed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.release(self._peer, self._size)
        self._size = 0
        if self._placed:
            self._admission.leave(self._peer)
            self._placed = False

    def place(self, line: Line | None) -> None:
        """Reserve a place among the calls in flight. `line`: the line in which the call will wait; None: the call
        writes nothing to the log.

        Raises:
            Shed: there is no place.
        """
        self._admission.enter(self._peer, line)
        self._placed = True

    def take(self, size: int) -> None:
        """Reserve more bytes.

        Raises:
            Shed: the limit of the peer, or of all calls together, would be exceeded.
        """
        self._admission.reserve(self._peer, size)
        self._size += size


@dataclass(slots=True)
class Call:
    """The argument of a handler: the HTTP request, its id, its peer (ingest.peer), its caller, and after `arrived` its
    times.

    `may_read_files`: whether the caller may name picture files of this machine, which is decided when a call names one.
    `replay_of`: the id of the request that this call replays. `received_time_s`: epoch seconds. `wait_until`: the
    deadline as a time of the event loop; it counts from the arrival of the whole request, and the arrival of the body
    has a time limit of its own.
    """

    request: BaseRequest
    request_id: str
    peer: str
    actor: Actor
    settings: IngestSettings
    clock: Callable[[], float]
    reservation: Reservation
    body_time: BodyTime
    line: Line | None
    may_read_files: Callable[[], bool]
    replay_of: str | None = None
    received_time_s: float = 0.0
    wait_until: float = field(default=0.0)

    @property
    def trace(self) -> Trace | None:
        """The trace context of the call; None: the call has none that is valid."""
        headers = self.request.headers
        return Trace.read(headers.getall(TRACEPARENT, ()), headers.getall(TRACESTATE, ()))

    async def body(self, *, typeless_is_json: bool, takes_form: bool) -> bytearray:
        """Return the whole body, and call `arrived`. `typeless_is_json`: a body without a content type counts as JSON;
        `takes_form`: the body may be multipart/form-data.

        Raises:
            Refused: the body is refused; Shed: the server has become full meanwhile.
        """
        body = await read_body(
            self.request,
            self.settings,
            self.reservation.take,
            self.body_time,
            typeless_is_json=typeless_is_json,
            takes_form=takes_form,
        )
        self.arrived()
        return body

    def arrived(self) -> None:
        """Record that the whole request has arrived: it takes a place, and its deadline begins.

        Raises:
            Shed: there is no place.
        """
        self.reservation.place(self.line)
        self.received_time_s = self.clock()
        self.wait_until = asyncio.get_running_loop().time() + self.settings.deadline_s
