"""Starts and stops the library's clients within time limits.

Without a limit the clients try for ever to find a broker, to get a producer's id, and to deliver records when they
stop.
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
    """Set, for the whole process, two values for which the library has no options.

    These are the level from which on the library's own lines are logged, and the time after which the library tries
    again to begin a transaction. By default a transaction that begins while the last one is being completed, which
    takes a few milliseconds, waits for 20 ms.
    """
    logging.getLogger("aiokafka").setLevel(log_level.upper())
    sender.BACKOFF_OVERRIDE = TRANSACTION_BACKOFF_MS / 1000


class _Batches(set[Any]):
    """A set whose `remove` accepts a missing element.

    The library removes a batch twice when the batch fails while it waits for another try, and then logs an error.
    """

    def remove(self, batch: Any) -> None:
        """Remove the batch if the set contains it."""
        self.discard(batch)


class Producer(AIOKafkaProducer):  # type: ignore[misc] # the library is not typed
    """The library's producer; `requests` counts its requests and limits their time."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(**options)
        self.requests = Requests(self.client)


class Consumer(AIOKafkaConsumer):  # type: ignore[misc] # as above
    """The library's consumer; its connections are closed after `silence_s` seconds without an answer.

    `silence_s` of None means the time limit that `options` has for requests.
    """

    def __init__(self, options: dict[str, Any], silence_s: float | None = None) -> None:
        super().__init__(**options)
        self.requests = Requests(self._client, silence_s)


async def start_producer(options: dict[str, Any], limit_s: float) -> Producer:
    """Return a started producer; one that does not start is stopped.

    Raises:
        KafkaError, TimeoutError: the producer did not start within `limit_s` seconds.
    """
    producer = Producer(options)
    producer._message_accumulator._pending_batches = _Batches()  # noqa: SLF001 - see `_Batches`
    await _start(producer.start(), lambda: stop_producer(producer), limit_s)
    return producer


async def stop_producer(producer: AIOKafkaProducer, limit_s: float = _STOP_LIMIT_S) -> None:
    """Stop the producer; after `limit_s` seconds give up the records that are not delivered yet."""
    stopping = asyncio.ensure_future(producer.stop())
    await _settled(stopping, limit_s)
    if not stopping.done():
        # The library has no public way to give up deliveries: an idempotent batch is sent again for ever.
        producer._message_accumulator.fail_all(KafkaError("the producer was closed"))  # noqa: SLF001 - see above
        await _settled(asyncio.ensure_future(producer.client.close()), limit_s)
        await _settled(stopping, limit_s)
        if not stopping.done():
            stopping.cancel()
    await _settled(asyncio.ensure_future(producer.client.close()), limit_s)
    _retrieve_errors(producer)


def _retrieve_errors(producer: AIOKafkaProducer) -> None:
    """Retrieve the errors of futures that the library leaves behind in a failed producer; asyncio would log them."""
    left = [batch._drain_waiter for batches in producer._message_accumulator._batches.values() for batch in batches]  # noqa: SLF001
    if producer._txn_manager is not None:  # noqa: SLF001
        left.append(producer._txn_manager.wait_for_transaction_end())  # noqa: SLF001
    for future in left:
        if future is not None and future.done():
            retrieve_error(future)


async def start_consumer(consumer: AIOKafkaConsumer, limit_s: float) -> None:
    """Start the consumer; one that does not start is stopped.

    Raises:
        KafkaError, TimeoutError: the consumer did not start within `limit_s` seconds.
    """
    await _start(consumer.start(), lambda: stop_consumer(consumer), limit_s)


async def stop_consumer(consumer: AIOKafkaConsumer, limit_s: float = _STOP_LIMIT_S) -> None:
    """Leave the group and stop, within `limit_s` seconds: a request that waits for the group could take much longer."""
    stopping = asyncio.ensure_future(consumer.stop())
    await _settled(stopping, limit_s)
    if not stopping.done():
        await _settled(asyncio.ensure_future(consumer._client.close()), limit_s)  # noqa: SLF001 - ends its requests
        await _settled(stopping, limit_s)
        if not stopping.done():
            stopping.cancel()
    await _settled(asyncio.ensure_future(consumer._client.close()), limit_s)  # noqa: SLF001 - as above


async def _start(
    work: Coroutine[Any, Any, None], stop: Callable[[], Coroutine[Any, Any, None]], limit_s: float
) -> None:
    """Run a start within `limit_s` seconds; call `stop` if it fails.

    A start that is cancelled leaves a connection open, so it gets another half second to end by itself.
    """
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
    """Return the result of `work`; raise TimeoutError after `limit_s` seconds."""
    async with asyncio.timeout(limit_s):
        return await work


async def _settled(future: "asyncio.Future[Any]", limit_s: float) -> None:
    """Wait at most `limit_s` seconds for the future, and ignore its error, because its client is being closed."""
    await asyncio.wait({future}, timeout=limit_s)
    if future.done() and not future.cancelled():
        with contextlib.suppress(Exception):
            future.result()
    elif not future.done():
        future.add_done_callback(retrieve_error)
