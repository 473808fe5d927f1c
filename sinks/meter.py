"""The metrics of sinks, all with the label `sink`."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge

from broker.port import Skipped

_LABEL = ("sink",)


class Meter:
    """What one sink counts, and how far it is behind the events topic.

    The positions are known as soon as `reached` was called for a partition, or `ends` for all of them.
    """

    def __init__(self, metrics: "SinkMetrics", name: str, clock: Callable[[], float]) -> None:
        self._metrics, self.name, self._clock = metrics, name, clock
        self._next: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._trying_ms: dict[int, int] = {}
        self.delivered = metrics.delivered.labels(name)
        self.failed = metrics.failed.labels(name)
        self.passed_over = metrics.passed_over.labels(name)
        self.dead_letters = metrics.dead_letters.labels(name)
        self._skipped = metrics.skipped.labels(name)
        metrics.up.labels(name).set(0)
        metrics.lag_records.labels(name).set_function(self.lag_records)
        metrics.lag_s.labels(name).set_function(self.lag_s)

    @property
    def clients(self) -> Gauge:
        """The number of connected clients, of a sink that has clients."""
        return self._metrics.clients.labels(self.name)

    @property
    def clients_dropped(self) -> Counter:
        """How many clients were disconnected because they were too slow."""
        return self._metrics.clients_dropped.labels(self.name)

    def set_up(self, up: bool) -> None:
        """Note whether the sink runs."""
        self._metrics.up.labels(self.name).set(int(up))

    def note_skipped(self, skipped: Skipped) -> None:
        """Count records that the sink's group skips; a `broker.port.OnSkipped`."""
        self._skipped.inc(skipped.count)

    def trying(self, partition: int, timestamp_ms: int) -> None:
        """Note the time of writing (epoch milliseconds) of the oldest record of a partition that is not passed on."""
        self._trying_ms[partition] = timestamp_ms

    def reached(self, partition: int, next_offset: int) -> None:
        """Note that the records of a partition below `next_offset` are passed on."""
        self._next[partition] = next_offset
        self._trying_ms.pop(partition, None)

    def ends(self, ends: Mapping[int, int], committed: Mapping[int, int | None]) -> None:
        """Note the ends of the partitions, and the committed offsets of those of which nothing was passed on yet."""
        self._ends = dict(ends)
        for partition, offset in committed.items():
            self._next.setdefault(partition, offset or 0)

    def unknown(self, partitions: Iterable[int]) -> Sequence[int]:
        """Return those of the partitions of which no position is known yet."""
        return [partition for partition in partitions if partition not in self._next]

    def forget(self, partition: int) -> None:
        """Forget a partition that another process passes on now."""
        for known in (self._next, self._trying_ms, self._ends):
            known.pop(partition, None)

    def lag_records(self) -> float:
        """Return the number of offsets between the records that are passed on and the ends."""
        return float(sum(max(0, self._ends.get(partition, 0) - at) for partition, at in self._next.items()))

    def lag_s(self) -> float:
        """Return the age in seconds of the oldest record that was fetched and is not passed on; 0: there is none."""
        oldest = min(self._trying_ms.values(), default=None)
        return 0.0 if oldest is None else max(0.0, self._clock() - oldest / 1000)


class SinkMetrics:
    """The metrics of all sinks of a process."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(f"picturematch_sink_{name}", meaning, _LABEL, registry=registry)

        def counter(name: str, meaning: str) -> Counter:
            return Counter(f"picturematch_sink_{name}", meaning, _LABEL, registry=registry)

        self.up = gauge("up", "1 while the sink runs.")
        self.lag_records = gauge("lag_records", "Offsets of the events topic that the sink is behind.")
        self.lag_s = gauge("lag_seconds", "Age of the oldest fetched record that is not passed on yet.")
        self.delivered = counter("delivered", "Events that the sink has passed on.")
        self.failed = counter("failed", "Tries that failed.")
        self.passed_over = counter("passed_over", "Events that the sink's settings leave out.")
        self.dead_letters = counter("dead_letters", "Records that became dead letters of the sink.")
        self.clients = gauge("clients", "Connected clients of the sink.")
        self.clients_dropped = counter("clients_dropped", "Clients that were disconnected because they were too slow.")
        self.skipped = counter("skipped", "Records that retention removed before the sink passed them on.")

    def forget(self, name: str) -> None:
        """Remove the metrics of a sink that does not exist any more."""
        counters = (self.delivered, self.failed, self.passed_over, self.dead_letters, self.skipped)
        for metric in (self.up, self.lag_records, self.lag_s, *counters):
            with suppress(KeyError):
                metric.remove(name)

    def of(self, name: str) -> Meter:
        """Return the meter of a sink, whose metrics exist from now on."""
        return Meter(self, name, self._clock)
