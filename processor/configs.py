"""Writes the policy and the model set that events and evidence name, and a daily checkpoint, to the configs topic."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec

from broker.outages import OutageLog
from broker.port import Broker, BrokerError, NewRecord
from contract.configs import Checkpoint, ConfigRecord, checkpoint_record, policy_record
from contract.people.directory import Directory
from engine.policy import Policy

log = logging.getLogger(__name__)

_RETRY_S = 2.0
_DAY_S = 86_400.0


@lru_cache(maxsize=16)
def policy_config(policy: Policy) -> ConfigRecord:
    """Return the record of a policy."""
    return policy_record(msgspec.to_builtins(policy))


def new_config(topic: str, config: ConfigRecord) -> NewRecord:
    """Return a record of the configs topic as it is written."""
    return NewRecord(topic, config.key, config.value, partition=0)


async def write_configs(broker: Broker, topic: str, records: Sequence[ConfigRecord]) -> None:
    """Write the records; try again while the log cannot be written.

    Raises:
        BrokerError: the records can never be written.
    """
    outages = OutageLog(log)
    while True:
        try:
            await broker.append([new_config(topic, record) for record in records])
        except BrokerError as error:
            if not error.retriable:
                raise
            outages.failed(f"topic {topic} cannot be written: {error}; trying again")
            await asyncio.sleep(_RETRY_S)
        else:
            outages.recovered(f"topic {topic} is written again")
            return


async def keep_checkpoints(broker: Broker, topic: str, people: Directory, clock: Callable[[], float]) -> None:
    """Write a checkpoint now and at the beginning of every day (UTC), for ever: gallery version, people, faces.

    Raises:
        BrokerError: a checkpoint can never be written.
    """
    while True:
        now_s = clock()
        checkpoint = Checkpoint(
            time=now_s, gallery_version=people.version, people=len(people), faces=people.faces_count
        )
        await write_configs(broker, topic, [checkpoint_record(checkpoint)])
        await asyncio.sleep(_DAY_S - now_s % _DAY_S + 1.0)
