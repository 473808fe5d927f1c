"""Counts the requests of one client of the library that get no answer, and limits the time of each.

All requests of a producer and of a consumer, except those for metadata, pass through the client's `send`. The library
repeats a failed request without reporting it, so `send` is replaced here.
"""

import asyncio
from typing import Any

from aiokafka.client import ConnectionGroup
from aiokafka.conn import CloseReason
from aiokafka.errors import NodeNotReadyError
from aiokafka.protocol.group import JoinGroupRequest, SyncGroupRequest

_WAIT_FOR_OTHERS = (JoinGroupRequest, SyncGroupRequest)
"""The requests that a broker answers only once other members have sent theirs."""


class Requests:
    """Takes the place of `client.send`.

    `under_way` counts the requests that have not ended yet. `lost` counts the requests that ended without an answer:
    the connection was lost, the time was over, or there was no connection. A copy of such a request may still reach the
    broker at any later time. A request that was answered with an error does not count, whether or not the library
    repeats it: brokers handle the requests of a connection one after the other, so no other copy of it is under way.
    Such an error is frequent, CONCURRENT_TRANSACTIONS, when a transaction begins while the last one is being completed.

    The time limit of a request stays in force when its caller gives up: when the time is over, the connection is
    closed, so that the next request gets another connection instead of the silent one.
    """

    def __init__(self, client: Any, silence_s: float | None = None) -> None:
        """`silence_s`: a connection is closed after so long without an answer; None: after the client's own limit."""
        self._client = client
        self._send = client.send
        self._silence_s = silence_s
        self._tasks: set[asyncio.Task[Any]] = set()
        self.under_way = 0
        self.lost = 0
        client.send = self.send

    async def send(self, node_id: Any, request: Any, *, group: Any = ConnectionGroup.DEFAULT) -> Any:
        """Send the request and return the answer; see the library's `AIOKafkaClient.send`.

        Raises:
            KafkaError: there was no answer, or no connection.
        """
        self.under_way += 1
        try:
            if not await self._client.ready(node_id, group=group):
                raise NodeNotReadyError(f"there is no connection to Kafka's node {node_id}")
        except BaseException:
            self._ended(answered=False)
            raise
        task = asyncio.create_task(self._answer(node_id, request, group))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda done: self._ended(answered=not done.cancelled() and done.exception() is None))
        return await asyncio.shield(task)

    async def _answer(self, node_id: Any, request: Any, group: Any) -> Any:
        timer = None
        connection = self._client._conns.get((node_id, group))  # noqa: SLF001 - the library has no way to close one
        if self._silence_s is not None and connection is not None and not isinstance(request, _WAIT_FOR_OTHERS):
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self._silence_s, connection.close, CloseReason.CONNECTION_TIMEOUT)
        try:
            return await self._send(node_id, request, group=group)
        finally:
            if timer is not None:
                timer.cancel()

    def _ended(self, *, answered: bool) -> None:
        self.under_way -= 1
        self.lost += not answered
