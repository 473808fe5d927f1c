"""Appends outside any group: one record by an idempotent producer, several records as one transaction."""

import asyncio
import uuid
from collections.abc import Coroutine, Sequence
from typing import Any

from aiokafka.errors import KafkaError

from broker.kafka.clients import start_producer, stop_producer
from broker.kafka.config import KafkaConfig
from broker.kafka.contact import Contact
from broker.kafka.errors import FENCED, broker_error
from broker.kafka.records import Checked, send
from broker.kafka.transactions import Writer
from broker.port import BrokerUnavailable, Position


class Appender:
    """All appends of a process. A single record is written without a transaction, which would cost more round trips.

    A record may still be written after its caller has given up or the brokers were lost, because the library sends it
    again until it is delivered. No record is written twice.
    """

    def __init__(self, config: KafkaConfig, contact: Contact) -> None:
        self._config = config
        self._contact = contact
        self._producer: Any = None
        self._starting = asyncio.Lock()
        self._writer: Writer | None = None
        self._writers_name = f"{config.client_id}-append-{uuid.uuid4().hex}"
        self._one_transaction = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Start the producer, so that the first append is as fast as the others."""
        await self._started()

    async def close(self) -> None:
        """Deliver the records that were sent, within a time limit, and stop the producers."""
        if self._producer is not None:
            self._retire(self._producer)
            self._producer = None
        await asyncio.gather(*self._retiring)
        if self._writer is not None:
            await self._writer.close()
            self._writer = None

    async def append_one(self, checked: Checked) -> Position:
        """Write one record and return its position.

        Raises:
            BrokerError: the record was not written, or that is not known.
        """
        producer = await self._started()
        doing = f"writing to topic {checked.new.topic}"
        try:
            sent = await send(producer, checked)
            found = await self._contact.unless_lost(sent)
        except (KafkaError, TimeoutError) as error:
            # The sequence numbers of a producer that failed to send do not fit any more.
            if self._producer is producer:
                self._producer = None
                self._retire(producer)
            if isinstance(error, FENCED):
                raise BrokerUnavailable(
                    f"Kafka does not accept this producer any more ({doing}); the producer is replaced"
                ) from error
            raise broker_error(error, doing) from error
        return Position(found.topic, found.partition, found.offset)

    async def append_together(self, records: Sequence[Checked]) -> Sequence[Position]:
        """Write all of the records or none, and return their positions.

        Raises:
            BrokerError: no record was written, or that is not known.
        """
        work = asyncio.ensure_future(self._transaction(records))
        return await self._contact.unless_lost(work)

    async def _transaction(self, records: Sequence[Checked]) -> Sequence[Position]:
        async with self._one_transaction:
            if self._writer is not None and not (self._writer.usable and self._writer.answered):
                self._keep(self._writer.close())
                self._writer = None
            if self._writer is None:
                self._writer = await Writer.start(self._config, self._writers_name)
            return await self._writer.write(records)

    async def _started(self) -> Any:
        async with self._starting:
            if self._producer is None:
                try:
                    options = self._config.producer()
                    self._producer = await start_producer(options, self._config.patience_s)
                except (KafkaError, TimeoutError, OSError) as error:
                    raise broker_error(error, "starting to write") from error
            return self._producer

    def _retire(self, producer: Any) -> None:
        self._keep(stop_producer(producer))

    def _keep(self, stopping: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(stopping)
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
