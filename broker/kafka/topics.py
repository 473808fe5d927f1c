"""Topics in Kafka: their state, Kafka's settings for a specification, and the differences as sentences. Pure."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.port import DELETIONS_KEPT_MS, TopicSpec

ROOM_BYTES = 64 * 1024
"""The difference between max.message.bytes and a topic's record limit: max.message.bytes limits whole batches, and
small records share batches of up to 16 KiB."""

OFFSETS_RETENTION = "offsets.retention.minutes"
"""The brokers' setting for how long they keep the offsets of a group without members."""

_FOR_EVER = -1
_DAY_MS = 24 * 3600 * 1000
_HOUR_MS = 3600 * 1000
_MINUTE_MS = 60 * 1000
_CHECK_MS = 5 * _MINUTE_MS  # the brokers' log.retention.check.interval.ms, unless it was changed
_SEGMENT_BYTES = 1024 * 1024 * 1024
_LEAST_SEGMENT_BYTES = 64 * 1024 * 1024
_SAFE_COPIES = 2
_MOST_MINUTES = 2**31 - 1
"""The largest value that Kafka takes for offsets.retention.minutes."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """The current state of a topic. Retention of None means for ever; `retention_bytes` is per partition.

    A topic may be `compacted` and at the same time have its old records `deleted`, whatever their keys. `min_in_sync`
    is Kafka's min.insync.replicas: a write is confirmed once so many replicas have it, and refused if there are fewer.
    `deletions_kept_ms` is Kafka's delete.retention.ms: how long a tombstone stays after its first compaction.
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
    deletions_kept_ms: int

    @property
    def cleanup(self) -> str:
        """The value of Kafka's cleanup.policy."""
        return ",".join(name for name, on in (("compact", self.compacted), ("delete", self.deleted)) if on)


def state_of(name: str, partitions: int, replication: int, configs: Mapping[str, str]) -> TopicState:
    """Return the state of a topic, from Kafka's settings of the topic."""
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
        int(configs.get("delete.retention.ms", _DAY_MS)) if compacted else 0,
    )


def _limit(value: str | None) -> int | None:
    return None if value is None or int(value) == _FOR_EVER else int(value)


def least_in_sync(replication: int) -> int:
    """Return min.insync.replicas for so many replicas: a confirmed record is on two, even while one replica is away."""
    return _SAFE_COPIES if replication > _SAFE_COPIES else 1


def configs_of(spec: TopicSpec, replication: int) -> dict[str, str]:
    """Return Kafka's settings for the specification and so many replicas.

    Kafka removes and compacts whole segments, never the segment that it writes to. So segments end early enough that
    records are removed at most a quarter of the retention, and at most a day, too late, and that a deleted person is
    removed within hours after the compaction lag. Kafka keeps a tombstone for delete.retention.ms after its first
    compaction; what the tombstone deletes is gone by then.
    """
    most_bytes = spec.max_record_bytes + ROOM_BYTES
    configs = {"max.message.bytes": str(most_bytes), "min.insync.replicas": str(least_in_sync(replication))}
    if spec.compacted:
        return configs | {
            "cleanup.policy": "compact",
            "min.cleanable.dirty.ratio": "0.1",
            "min.compaction.lag.ms": str(spec.min_compaction_lag_ms),
            "max.compaction.lag.ms": str(_most_lag_ms(spec)),
            "delete.retention.ms": str(DELETIONS_KEPT_MS),
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


def latest_removal_ms(spec: TopicSpec, written_ms: int) -> int:
    """Return when (epoch ms) Kafka removes a record that was written at `written_ms`, at the latest.

    In a compacted topic that is a record which a record written at `written_ms` has replaced; there Kafka begins a new
    segment, without which it compacts nothing, only when a further record is written.
    """
    if spec.compacted:
        return written_ms + _most_lag_ms(spec) + _HOUR_MS
    segment_ms = int(configs_of(spec, 1).get("segment.ms", 7 * _DAY_MS))
    return written_ms + (spec.retention_ms or 0) + segment_ms + _CHECK_MS


def unchangeable(spec: TopicSpec, state: TopicState) -> str | None:
    """Return the reason why the topic cannot be changed to the specification, as a sentence; None: it can."""
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
    """Yield a sentence for each necessary change of the topic, without which records would be lost or refused."""
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
    """Yield a sentence for each difference of the topic from the specification.

    These are its `losses`, records that are kept for longer, writes that are confirmed too early, and deletions that
    are forgotten too early.
    """
    yield from losses(spec, state)
    if state.min_in_sync < least_in_sync(state.replication):
        yield (
            f"topic {spec.name} has min.insync.replicas={state.min_in_sync} and {state.replication} replicas: set"
            f" min.insync.replicas to {least_in_sync(state.replication)}, or a record that was confirmed may be lost"
            " with one broker"
        )
    yield from _retention(spec, state, shorter=False)
    yield from _lag(spec, state, shorter=False)
    if spec.compacted and state.compacted and state.deletions_kept_ms < DELETIONS_KEPT_MS:
        yield (
            f"topic {spec.name} has delete.retention.ms={state.deletions_kept_ms}: set it to {DELETIONS_KEPT_MS}, or a"
            " reader that was away for longer may miss that somebody was deleted"
        )


def _most_lag_ms(spec: TopicSpec) -> int:
    """Return max.compaction.lag.ms, which Kafka demands to be no smaller than min.compaction.lag.ms."""
    return spec.min_compaction_lag_ms + _HOUR_MS


def _lag(spec: TopicSpec, state: TopicState, *, shorter: bool) -> Iterator[str]:
    """Yield the change that is necessary if replaced records are removed too early (`shorter`) or too late."""
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
    """Return whether min.insync.replicas may stay: writes are confirmed late enough, and are not refused."""
    return least_in_sync(state.replication) <= state.min_in_sync <= state.replication


def offsets_forgotten_early(offsets_minutes: int, broker: int, spec: TopicSpec) -> str | None:
    """Return the change that is necessary if a broker forgets a group's offsets too early, as a sentence; else None.

    It is too early if offsets of a group without members are forgotten before the records of the topic, or at the same
    time.
    """
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
        " the events for the requests that they have processed"
    )
