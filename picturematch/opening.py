"""Opens the log that the settings name; only this module and the commands about one adapter import an adapter."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from broker.embedded import Condition, EmbeddedBroker, Role, open_embedded
from broker.port import Broker, BrokerError, TopicSpec
from picturematch.settings import Settings

if TYPE_CHECKING:
    from broker.kafka.broker import KafkaBroker

Clock = Callable[[], float]

log = logging.getLogger(__name__)

_LOOK_AGAIN_S = 0.2


def open_broker(
    settings: Settings, role: Role, clock: Clock = time.time, *, patient: bool = False
) -> AbstractAsyncContextManager[Broker]:
    """Return the log; its context is not entered yet.

    On the embedded log the owner writes, and guests read beside the owner; on Kafka the role makes no difference.
    `patient`: brokers that cannot be reached are no error on entering; the log connects to them later.

    Raises (on entering):
        BrokerError: the log cannot be opened; the message names the reason.
    """
    config = settings.kafka_config
    if config is not None:
        from broker.kafka.broker import open_kafka  # a command on the embedded log must not wait for the Kafka client

        return open_kafka(config, patient=patient, members_topic=settings.topics.members)
    return open_embedded(settings.data_folder, role=role, clock_ms=lambda: int(clock() * 1000))


def condition_of(broker: Broker) -> Condition:
    """Return the condition of the embedded log; of Kafka, whose brokers manage the files, the condition is unknown."""
    return broker.condition() if isinstance(broker, EmbeddedBroker) else Condition()


def damaged_records(broker: Broker) -> int:
    """Return the number of damaged records that were read since the log was opened; a log line names each of them."""
    return condition_of(broker).damaged_records


def open_cluster(settings: Settings) -> "KafkaBroker":
    """Return the Kafka brokers, for commands that the embedded log does not need.

    Raises:
        BrokerError: the settings name the embedded log.
    """
    config = settings.kafka_config
    if config is None:
        raise BrokerError(
            "the embedded log manages its topics itself; give --broker kafka://host:port to manage those of Kafka"
        )
    from broker.kafka.broker import open_kafka

    return open_kafka(config, members_topic=settings.topics.members)


async def ensure_audit(broker: Broker, settings: Settings) -> None:
    """Create the audit topic of the embedded log, which a log of an earlier version lacks; Kafka's are not created."""
    if isinstance(broker, EmbeddedBroker):
        await broker.ensure_topics([spec for spec in settings.topic_specs if spec.name == settings.topics.audit])


async def require_topics(broker: Broker, specs: Sequence[TopicSpec]) -> None:
    """Create the topics of the embedded log, or check those of Kafka, which an administrator creates.

    A log that cannot be reached yet is waited for.

    Raises:
        BrokerError: a topic of Kafka is missing or would lose data; the message names the remedy.
    """
    logged = False
    while not broker.available():
        if not logged:
            log.warning("the log cannot be reached yet; waiting for it")
            logged = True
        await asyncio.sleep(_LOOK_AGAIN_S)
    if isinstance(broker, EmbeddedBroker):
        await broker.ensure_topics(specs)
        return
    from broker.kafka.broker import KafkaBroker

    if not isinstance(broker, KafkaBroker):
        await broker.ensure_topics(specs)
        return
    losses = await broker.topic_losses(specs)
    if losses:
        raise BrokerError(f"{'; '.join(losses)} (`picturematch topics create` creates missing topics)")
