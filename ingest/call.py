"""One HTTP call while it is served."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp.web import BaseRequest

from ingest.admission import Admission
from ingest.body import BodyTime, read_body
from ingest.line import Line
from ingest.settings import IngestSettings


class Reservation:
    """The place and the bytes that are reserved for one call of a peer; left, it gives them back."""

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
        """Take a place among the calls in flight. `line`: the one that the call will wait in, if it goes through the
        log.

        Raises:
            Shed: there is none.
        """
        self._admission.enter(self._peer, line)
        self._placed = True

    def take(self, size: int) -> None:
        """Reserve more bytes.

        Raises:
            Shed: all calls together reserve too much.
        """
        self._admission.hold(self._peer, size)
        self._size += size


@dataclass(slots=True)
class Call:
    """What a handler gets: the HTTP request, its id, its peer (ingest.peer), and from `arrived` on its times.

    `replay_of`: the id of the request that this call replays.

    The deadline counts from the arrival of the whole request, body included; the body has a limit of its own.
    """

    request: BaseRequest
    request_id: str
    peer: str
    settings: IngestSettings
    clock: Callable[[], float]
    reservation: Reservation
    body_time: BodyTime
    line: Line | None
    replay_of: str | None = None
    received_time_s: float = 0.0
    wait_until: float = field(default=0.0)

    async def body(self, *, typeless_is_json: bool) -> bytearray:
        """The whole body. `typeless_is_json`: it is JSON without a content type as well.

        Raises:
            Refused: the row of the error table; of these Shed, when the server is full by now.
        """
        body = await read_body(
            self.request, self.settings, self.reservation.take, self.body_time, typeless_is_json=typeless_is_json
        )
        self.arrived()
        return body

    def arrived(self) -> None:
        """The request is here: from now on it takes a place, and its deadline counts.

        Raises:
            Shed: there is no place.
        """
        self.reservation.place(self.line)
        self.received_time_s = self.clock()
        self.wait_until = asyncio.get_running_loop().time() + self.settings.deadline_s
