"""Starting and stopping the library's clients within bounds.

Left to themselves they try for ever: to bootstrap, to get a producer's id, to deliver what is left before they stop.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer import sender

from broker.futures import retrieve_error
from broker.kafka.config import TRANSACTION_BACKOFF_MS
from broker.kafka.requests import Requests

T = TypeVar("T")

_STOP_LIMIT_S = 3.0
_CUT_SHORT_S = 0.5


def tune_library(log_level: str) -> None:
    """Set what the library has no options for, in the whole process: from which level on its own lines are logged, and
    how soon it tries again to begin a transaction.

    A transaction that begins while the last one is being completed, which takes a few milliseconds, would otherwise be
    held up by twenty.
    """
    logging.getLogger("aiokafka").setLevel(log_level.upper())
    sender.BACKOFF_OVERRIDE = TRANSACTION_BACKOFF_MS / 1000


class _Batches(set[Any]):
    """The library removes a batch twice when it fails while it waits for another try, and then complains."""

    def remove(self, batch: Any) -> None:
        """Remove it if it is there."""
        self.discard(batch)


class Producer(AIOKafkaProducer):  # type: ignore[misc] # the library is not typed
    """The library's producer, whose `requests` are watched."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(**options)
        self.requests = Requests(self.client)


class Consumer(AIOKafkaConsumer):  # type: ignore[misc] # as above
    """The library's consumer, whose connections are given up after `silence_s` seconds without an answer.

    None: after the time limit that `options` have for requests.
    """

    def __init__(self, options: dict[str, Any], silence_s: float | None = None) -> None:
        super().__init__(**options)
        self.requests = Requests(self._client, silence_s)


async def start_producer(options: dict[str, Any], limit_s: float) -> Producer:
    """A started producer; nothing is left of one that did not start.

    Raises:
        KafkaError, TimeoutError: it did not.
    """
    producer = Producer(options)
    producer._message_accumulator._pending_batches = _Batches()  # noqa: SLF001 - see there
    await _start(producer.start(), lambda: stop_producer(producer), limit_s)
    return producer


async def stop_producer(producer: AIOKafkaProducer, limit_s: float = _STOP_LIMIT_S) -> None:
    """Stop it, in an orderly way if that is possible within `limit_s`; then without what is still under way."""
    stopping = asyncio.ensure_future(producer.stop())
    await _settled(stopping, limit_s)
    if not stopping.done():
        # The library has no way to give deliveries up: an idempotent batch is tried for ever.
        producer._message_accumulator.fail_all(KafkaError("the producer was closed"))  # noqa: SLF001 - see above
        await _settled(asyncio.ensure_future(producer.client.close()), limit_s)
        await _settled(stopping, limit_s)
        if not stopping.done():
            stopping.cancel()
    await _settled(asyncio.ensure_future(producer.client.close()), limit_s)
    _look_at_errors(producer)


def _look_at_errors(producer: AIOKafkaProducer) -> None:
    """Of a producer that failed the library leaves futures with errors, which asyncio complains of unless looked at."""
    left = [batch._drain_waiter for batches in producer._message_accumulator._batches.values() for batch in batches]  # noqa: SLF001
    if producer._txn_manager is not None:  # noqa: SLF001
        left.append(producer._txn_manager.wait_for_transaction_end())  # noqa: SLF001
    for future in left:
        if future is not None and future.done():
            retrieve_error(future)


async def start_consumer(consumer: AIOKafkaConsumer, limit_s: float) -> None:
    """Start it; nothing is left of one that does not.

    Raises:
        KafkaError, TimeoutError: it did not start.
    """
    await _start(consumer.start(), lambda: stop_consumer(consumer), limit_s)


async def stop_consumer(consumer: AIOKafkaConsumer, limit_s: float = _STOP_LIMIT_S) -> None:
    """Leave the group and stop, within bounds: a request that waits for a group would hold it up for long."""
    stopping = asyncio.ensure_future(consumer.stop())
    await _settled(stopping, limit_s)
    if not stopping.done():
        await _settled(asyncio.ensure_future(consumer._client.close()), limit_s)  # noqa: SLF001 - fails what is under way
        await _settled(stopping, limit_s)
        if not stopping.done():
            stopping.cancel()
    await _settled(asyncio.ensure_future(consumer._client.close()), limit_s)  # noqa: SLF001 - as above


async def _start(
    work: Coroutine[Any, Any, None], stop: Callable[[], Coroutine[Any, Any, None]], limit_s: float
) -> None:
    """A start that is cut short loses sight of a connection, so it is let to its end if that is near."""
    starting = asyncio.ensure_future(work)
    try:
        await asyncio.wait({starting}, timeout=limit_s)
        if not starting.done():
            raise TimeoutError
        starting.result()
    except BaseException:
        await _settled(starting, _CUT_SHORT_S)
        if not starting.done():
            starting.cancel()
            await _settled(starting, _CUT_SHORT_S)
        await stop()
        raise


async def bounded(work: Coroutine[Any, Any, T], limit_s: float) -> T:
    """The result, or TimeoutError."""
    async with asyncio.timeout(limit_s):
        return await work


async def _settled(future: "asyncio.Future[Any]", limit_s: float) -> None:
    """Wait, bounded; an error of something that is being closed interests nobody."""
    await asyncio.wait({future}, timeout=limit_s)
    if future.done() and not future.cancelled():
        with contextlib.suppress(Exception):
            future.result()
    elif not future.done():
        future.add_done_callback(retrieve_error)
