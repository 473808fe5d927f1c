"""Topics as Kafka keeps them: what there is, what a specification asks for, and the difference in sentences."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.port import TopicSpec

ROOM_BYTES = 64 * 1024
"""What max.message.bytes has above a topic's record limit: it counts whole batches, and small records share batches of
up to 16 KiB."""

OFFSETS_RETENTION = "offsets.retention.minutes"
"""The brokers' setting of how long they keep the offsets of a group without members."""

_FOR_EVER = -1
_DAY_MS = 24 * 3600 * 1000
_HOUR_MS = 3600 * 1000
_MINUTE_MS = 60 * 1000
_SEGMENT_BYTES = 1024 * 1024 * 1024
_LEAST_SEGMENT_BYTES = 64 * 1024 * 1024
_SAFE_COPIES = 2
_MOST_MINUTES = 2**31 - 1
"""The largest value that Kafka takes for offsets.retention.minutes."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it is. Retention of None means for ever; `retention_bytes` is per partition.

    It may be both: `compacted`, and its old records `deleted` whatever their keys. `min_in_sync` is Kafka's
    min.insync.replicas: a write is confirmed once so many replicas have it, and refused where there are fewer.
    """

    name: str
    partitions: int
    replication: int
    retention_ms: int | None
    retention_bytes: int | None
    compacted: bool
    deleted: bool
    max_record_bytes: int
    min_in_sync: int
    min_compaction_lag_ms: int

    @property
    def cleanup(self) -> str:
        """Kafka's name for how old records go."""
        return ",".join(name for name, on in (("compact", self.compacted), ("delete", self.deleted)) if on)


def state_of(name: str, partitions: int, replication: int, configs: Mapping[str, str]) -> TopicState:
    """What Kafka's own settings of a topic mean."""
    compacted = "compact" in configs.get("cleanup.policy", "delete")
    deleted = "delete" in configs.get("cleanup.policy", "delete")
    return TopicState(
        name,
        partitions,
        replication,
        _limit(configs.get("retention.ms")) if deleted else None,
        _limit(configs.get("retention.bytes")) if deleted else None,
        compacted,
        deleted,
        max(0, int(configs.get("max.message.bytes", 1024 * 1024)) - ROOM_BYTES),
        int(configs.get("min.insync.replicas", 1)),
        int(configs.get("min.compaction.lag.ms", 0)) if compacted else 0,
    )


def _limit(value: str | None) -> int | None:
    return None if value is None or int(value) == _FOR_EVER else int(value)


def least_in_sync(replication: int) -> int:
    """min.insync.replicas for a topic with so many replicas: one may be away, and what is confirmed is still on two."""
    return _SAFE_COPIES if replication > _SAFE_COPIES else 1


def configs_of(spec: TopicSpec, replication: int) -> dict[str, str]:
    """Kafka's settings for a topic that is kept so, with so many replicas.

    Kafka removes and compacts whole segments, never the one it writes to; so segments are made to end early enough that
    retention means what it says to within a quarter, a day at most, and that a deleted person is gone within hours of
    the compaction lag. Kafka keeps a tombstone for delete.retention.ms from its first compaction on.
    """
    most_bytes = spec.max_record_bytes + ROOM_BYTES
    configs = {"max.message.bytes": str(most_bytes), "min.insync.replicas": str(least_in_sync(replication))}
    if spec.compacted:
        return configs | {
            "cleanup.policy": "compact",
            "min.cleanable.dirty.ratio": "0.1",
            "min.compaction.lag.ms": str(spec.min_compaction_lag_ms),
            "max.compaction.lag.ms": str(_most_lag_ms(spec)),
            "delete.retention.ms": str(_DAY_MS),
            "segment.ms": str(_HOUR_MS),
        }
    configs["cleanup.policy"] = "delete"
    configs["retention.ms"] = str(_FOR_EVER if spec.retention_ms is None else spec.retention_ms)
    configs["retention.bytes"] = str(_FOR_EVER if spec.retention_bytes is None else spec.retention_bytes)
    if spec.retention_ms is not None:
        configs["segment.ms"] = str(min(_DAY_MS, max(_MINUTE_MS, spec.retention_ms // 4)))
    if spec.retention_bytes is not None:
        least = max(2 * most_bytes, _LEAST_SEGMENT_BYTES)
        configs["segment.bytes"] = str(min(_SEGMENT_BYTES, max(least, spec.retention_bytes // 4)))
    return configs


def unchangeable(spec: TopicSpec, state: TopicState) -> str | None:
    """Why a topic cannot be made to fit, in a sentence, or None."""
    if spec.partitions != state.partitions:
        return (
            f"topic {spec.name} has {state.partitions} partitions and should have {spec.partitions}: keys would change"
            " their partition, so set that number instead, or create the topic anew"
        )
    if spec.compacted != state.compacted or (spec.compacted and state.deleted):
        wanted = "compact" if spec.compacted else "delete"
        return (
            f"topic {spec.name} has cleanup.policy={state.cleanup}: set cleanup.policy to {wanted},"
            " or create the topic anew"
        )
    return None


def losses(spec: TopicSpec, state: TopicState) -> Iterator[str]:
    """What has to be changed in a topic that exists because records would be lost or refused, one sentence each."""
    reason = unchangeable(spec, state)
    if reason is not None:
        yield reason
    if state.max_record_bytes < spec.max_record_bytes:
        yield (
            f"topic {spec.name} takes messages of {state.max_record_bytes + ROOM_BYTES} bytes at most: set"
            f" max.message.bytes to {spec.max_record_bytes + ROOM_BYTES}, or requests would be refused"
        )
    if state.min_in_sync > state.replication:
        yield (
            f"topic {spec.name} has min.insync.replicas={state.min_in_sync} and {state.replication} replicas, so it"
            f" takes no records: set min.insync.replicas to {least_in_sync(state.replication)}"
        )
    yield from _retention(spec, state, shorter=True)
    yield from _lag(spec, state, shorter=True)


def differences(spec: TopicSpec, state: TopicState) -> Iterator[str]:
    """What is to be changed in a topic that exists, one sentence each: its losses, and what is kept for longer or
    confirmed too early."""
    yield from losses(spec, state)
    if state.min_in_sync < least_in_sync(state.replication):
        yield (
            f"topic {spec.name} has min.insync.replicas={state.min_in_sync} and {state.replication} replicas: set"
            f" min.insync.replicas to {least_in_sync(state.replication)}, or a record that was confirmed may be lost"
            " with one broker"
        )
    yield from _retention(spec, state, shorter=False)
    yield from _lag(spec, state, shorter=False)


def _most_lag_ms(spec: TopicSpec) -> int:
    """max.compaction.lag.ms, which Kafka wants no smaller than the least lag."""
    return spec.min_compaction_lag_ms + _HOUR_MS


def _lag(spec: TopicSpec, state: TopicState, *, shorter: bool) -> Iterator[str]:
    """What is to be changed where replaced records go too early (`shorter`), or too late."""
    found, wanted = state.min_compaction_lag_ms, spec.min_compaction_lag_ms
    differs = found < wanted if shorter else found > wanted
    if not (spec.compacted and state.compacted and differs):
        return
    yield (
        f"topic {spec.name} has min.compaction.lag.ms={found}: set it to {wanted}, and max.compaction.lag.ms to"
        f" {_most_lag_ms(spec)}"
    )


def _retention(spec: TopicSpec, state: TopicState, *, shorter: bool) -> Iterator[str]:
    if spec.compacted or state.compacted:
        return
    for setting, wanted, found in (
        ("retention.ms", spec.retention_ms, state.retention_ms),
        ("retention.bytes", spec.retention_bytes, state.retention_bytes),
    ):
        is_shorter = found is not None and (wanted is None or found < wanted)
        if wanted != found and is_shorter == shorter:
            yield (
                f"topic {spec.name} has {setting}={_FOR_EVER if found is None else found}:"
                f" set it to {_FOR_EVER if wanted is None else wanted}"
            )


def in_sync_fits(state: TopicState) -> bool:
    """Whether min.insync.replicas may stay: it confirms late enough, and lets the topic be written."""
    return least_in_sync(state.replication) <= state.min_in_sync <= state.replication


def offsets_forgotten_early(offsets_minutes: int, broker: int, spec: TopicSpec) -> str | None:
    """What is to be changed where a broker forgets the offsets of a group without members before, or just when, the
    records of a topic go; None where it keeps them for longer."""
    kept_minutes = None if spec.retention_ms is None else spec.retention_ms / _MINUTE_MS
    if kept_minutes is not None and offsets_minutes > kept_minutes:
        return None
    if kept_minutes is None and offsets_minutes >= _MOST_MINUTES:
        return None
    wanted = _MOST_MINUTES if kept_minutes is None else min(_MOST_MINUTES, 2 * math.ceil(kept_minutes))
    kept = "for ever" if kept_minutes is None else f"for {kept_minutes:g} minutes"
    return (
        f"broker {broker} has offsets.retention.minutes={offsets_minutes} and topic {spec.name} is kept {kept}: set"
        f" offsets.retention.minutes to {wanted} on every broker, or processors that are away for longer have to search"
        " the events for how far they were"
    )
