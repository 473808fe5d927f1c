"""A consumer's membership of its group: joining it, and asking whether the group still knows the member."""

from typing import Any

import aiokafka.errors as kafka
from aiokafka.protocol.commit import OffsetCommitRequest

from broker.kafka.clients import Consumer, bounded, start_consumer
from broker.kafka.config import KafkaConfig
from broker.kafka.errors import broker_error
from broker.port import BrokerUnavailable

_JOIN_MARGIN_S = 10.0
_REQUEST_MARGIN_MS = 5_000
_METADATA_AGE_MS = 5_000


async def start_member(config: KafkaConfig, group: str, client_id: str | None) -> Consumer:
    """A started consumer that joins the group once it subscribes. `client_id`: what it is called there.

    Raises:
        BrokerError: it did not start.
    """
    options = config.consumer()
    options |= {
        "group_id": group,
        "session_timeout_ms": config.session_timeout_ms,
        "heartbeat_interval_ms": min(config.heartbeat_ms, config.session_timeout_ms // 4),
        "rebalance_timeout_ms": config.rebalance_timeout_ms,
        # A request to join waits until the slowest member has let go; nothing else may take so long.
        "request_timeout_ms": config.rebalance_timeout_ms + _REQUEST_MARGIN_MS,
        # A member without partitions asks for nothing that would fail: so it learns that there are some again.
        "metadata_max_age_ms": _METADATA_AGE_MS,
    }
    if client_id is not None:
        options["client_id"] = client_id
    consumer = Consumer(options, silence_s=config.request_timeout_s)
    try:
        await start_consumer(consumer, config.patience_s)
    except (kafka.KafkaError, TimeoutError, OSError) as error:
        raise broker_error(error, f"joining group {group}") from error
    return consumer


def join_limit_s(config: KafkaConfig) -> float:
    """How long joining may take: until a member that died is given up, and those that live have let go."""
    return (config.rebalance_timeout_ms + config.session_timeout_ms) / 1000 + _JOIN_MARGIN_S


async def is_member(consumer: Any, group: str, limit_s: float) -> bool:
    """Whether the group still knows this member; if not, the library has begun to join it again.

    The library has no public way to ask.

    Raises:
        BrokerUnavailable: the group cannot be asked now.
    """
    coordinator = consumer._coordinator  # noqa: SLF001 - as the docstring says
    try:
        known = await bounded(coordinator._do_heartbeat(), limit_s)  # noqa: SLF001
    except (kafka.KafkaError, TimeoutError) as error:
        raise broker_error(error, f"asking whether group {group} knows this member") from error
    if known:
        return True
    if coordinator.generation == OffsetCommitRequest.DEFAULT_GENERATION_ID:
        return False
    raise BrokerUnavailable(f"group {group} cannot be asked now whether it knows this member")
