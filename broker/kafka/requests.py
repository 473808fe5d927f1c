"""Every request of one client of the library: which were answered, and an end to those that never are.

All requests of a producer and of a consumer, but those for metadata, pass through the client's `send`. The library
repeats a request that failed, and says nothing of it; so it is watched here.
"""

import asyncio
from typing import Any

from aiokafka.client import ConnectionGroup
from aiokafka.conn import CloseReason
from aiokafka.errors import NodeNotReadyError
from aiokafka.protocol.group import JoinGroupRequest, SyncGroupRequest

_WAIT_FOR_OTHERS = (JoinGroupRequest, SyncGroupRequest)
"""What a broker answers only once other members have done their part."""


class Requests:
    """Takes the place of `client.send`.

    `lost` counts the requests that ended without an answer: the connection was lost, the time was over, or there was no
    connection. A copy of such a request may be on its way still, and reach the broker whenever it likes. One that was
    answered with an error, whether the library tries it again or not, is not counted: brokers handle the requests of a
    connection one after the other, so its only copy has arrived and been dealt with. A transaction that begins while
    the one before it is being completed is answered so, CONCURRENT_TRANSACTIONS, all the time.

    Whoever waits for an answer and gives up does not take the request's own time limit with him: when that is over,
    its connection is closed, so that the next request finds another one instead of the same silence.
    """

    def __init__(self, client: Any, silence_s: float | None = None) -> None:
        """`silence_s`: closes a connection after so long without an answer; None: after the client's own time limit."""
        self._client = client
        self._send = client.send
        self._silence_s = silence_s
        self._tasks: set[asyncio.Task[Any]] = set()
        self.under_way = 0
        self.lost = 0
        client.send = self.send

    async def send(self, node_id: Any, request: Any, *, group: Any = ConnectionGroup.DEFAULT) -> Any:
        """The answer to the request; see the library's `AIOKafkaClient.send`.

        Raises:
            KafkaError: there was none, or no connection.
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
