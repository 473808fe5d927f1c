"""Opens the log that the settings name; the one module that imports both adapters."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from broker.embedded import Condition, EmbeddedBroker, Role, open_embedded
from broker.kafka import KafkaBroker, open_kafka
from broker.port import Broker, BrokerError, TopicSpec
from picturematch.settings import Settings

Clock = Callable[[], float]

log = logging.getLogger(__name__)

_LOOK_AGAIN_S = 0.2


def open_broker(
    settings: Settings, role: Role, clock: Clock = time.time, *, patient: bool = False
) -> AbstractAsyncContextManager[Broker]:
    """The log, not yet entered. On the embedded one the owner writes and guests read beside it; on Kafka all are alike.

    `patient`: brokers that cannot be reached are waited for after entering, instead of being an error.

    Raises (on entering):
        BrokerError: it cannot be opened; the message says why.
    """
    config = settings.kafka_config
    if config is not None:
        return open_kafka(config, patient=patient, members_topic=settings.topics.members)
    return open_embedded(settings.data_folder, role=role, clock_ms=lambda: int(clock() * 1000))


def condition_of(broker: Broker) -> Condition:
    """How the embedded log is; of Kafka, whose files are its brokers' affair, nothing is known."""
    return broker.condition() if isinstance(broker, EmbeddedBroker) else Condition()


def damaged_records(broker: Broker) -> int:
    """How many damaged records were met since the log was opened; each was named in a log line."""
    return condition_of(broker).damaged_records


def open_cluster(settings: Settings) -> KafkaBroker:
    """The Kafka brokers, for commands that the embedded log has no use for.

    Raises:
        BrokerError: the settings name the embedded log.
    """
    config = settings.kafka_config
    if config is None:
        raise BrokerError(
            "the embedded log makes and keeps its topics itself; give --broker kafka://host:port to work on Kafka's"
        )
    return open_kafka(config, members_topic=settings.topics.members)


async def require_topics(broker: Broker, specs: Sequence[TopicSpec]) -> None:
    """Make the embedded log's topics; of Kafka's, which are an administrator's, refuse what would lose data.

    Waits for a log that cannot be reached.

    Raises:
        BrokerError: a topic is missing or would lose data; the message says what to change.
    """
    told = False
    while not broker.available():
        if not told:
            log.warning("the log cannot be reached yet; waiting for it")
            told = True
        await asyncio.sleep(_LOOK_AGAIN_S)
    if not isinstance(broker, KafkaBroker):
        await broker.ensure_topics(specs)
        return
    losses = await broker.topic_losses(specs)
    if losses:
        raise BrokerError(f"{'; '.join(losses)} (`picturematch topics create` makes what is missing)")
