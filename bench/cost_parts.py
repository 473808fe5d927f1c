"""To which part of a request's work a thread's processor time belongs, and what was spent between two moments: pure.

`part_of` names the part of a function by its module and name. A process of the benchmark reports `Totals`, which only
grow; `between` returns what was spent from one report to the next, and what no part explains.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import msgspec

ENGINE = "engine"
RECEIVING, CALLS = "HTTP: receiving", "HTTP: calls and answers"
JSON, BASE64, HEADERS = "JSON", "base64", "picture headers"
APPEND, TRANSACTION = "log append", "SQLite transaction and sync"
IN_PLACE, READING = "whether the log's files are in place", "log reading"
PROCESSING, DIGEST, COMMIT, REPLY = "processing", "sha256 of the picture", "commit", "reply"
CHECKPOINT, STORE, SEEN = "checkpointing and retention", "event store", "index of seen faces"
KAFKA = "Kafka client"
LOOP, HANDOVER = "event loop", "hand-overs"
OTHER, NATIVE, METER, UNEXPLAINED = "other work", "native threads", "the meter's reports", "unexplained"

PARTS = (
    ENGINE,
    *(RECEIVING, CALLS, JSON, BASE64, HEADERS),
    *(APPEND, TRANSACTION, IN_PLACE, READING, PROCESSING, DIGEST, COMMIT, REPLY),
    *(CHECKPOINT, STORE, SEEN, KAFKA, LOOP, HANDOVER, OTHER, NATIVE, METER, UNEXPLAINED),
)
"""The parts in the order of the table."""

EVENT_LOOP_THREAD, METER_THREAD, NATIVE_THREADS, ENDED_THREADS = "event loop", "meter", "native", "ended threads"

_RULES: Mapping[str, str | None] = {
    "": OTHER,
    "aiohttp": CALLS,
    "aiokafka": KAFKA,
    "asyncio": None,
    "asyncio.selector_events.BaseSelectorEventLoop._read_from_self": HANDOVER,
    "broker.embedded": OTHER,
    "broker.embedded.housekeeper": CHECKPOINT,
    "broker.embedded.opening.EmbeddedBroker.append": APPEND,
    "broker.embedded.readers": COMMIT,
    "broker.embedded.reads": READING,
    "broker.embedded.upkeep": CHECKPOINT,
    "broker.embedded.writer": HANDOVER,
    "broker.kafka": KAFKA,
    "concurrent": None,
    "ingest": CALLS,
    "ingest.correlator": REPLY,
    "picturematch.outlets": STORE,
    "processor": PROCESSING,
    "processor.commits": COMMIT,
    "processor.lane": COMMIT,
    "sinks": STORE,
    "sinks.seen": SEEN,
}
"""The beginning of a dotted name (module and function) -> its part; None: the time belongs to no part of its own."""

_THREADS = {
    "MainThread": EVENT_LOOP_THREAD,
    "asyncio": "helpers",
    "log-reader": "log readers",
    "log-writer": "log writer",
    "match": "matching",
    "prepare": "preparing",
}
"""The beginning of the name of a thread, up to its number -> what the table calls such threads."""


@cache
def part_of(module: str, function: str) -> str | None:
    """Return the part of a function: that of the longest rule for its name; None: the part of whatever calls it."""
    name = f"{module}.{function}".split(".")
    for length in range(len(name), 0, -1):
        beginning = ".".join(name[:length])
        if beginning in _RULES:
            return _RULES[beginning]
    return _RULES[""]


def thread_of(name: str) -> str:
    """Return what the table calls a thread of that name; the threads of a pool share one row."""
    return _THREADS.get(name, _THREADS.get(name.rpartition("_")[0], name))


class ThreadTotals(msgspec.Struct, frozen=True):
    """A thread since its start: nanoseconds of processor time, and those of them that belong to a part."""

    thread: str
    spent_ns: int
    parts_ns: Mapping[str, int]


class Totals(msgspec.Struct, frozen=True):
    """A process since its start.

    Attributes:
        process_ns: nanoseconds of processor time of all threads, those that have ended included.
        threads: the threads by their number.
        crossings: how often a thread went into a part.
        crossing_ns: nanoseconds that going into a part and out of it costs, measured in this process.
    """

    process_ns: int
    threads: Mapping[int, ThreadTotals]
    crossings: int
    crossing_ns: float


class Place(NamedTuple):
    """A row of the table: the process, the thread and the part."""

    process: str
    thread: str
    part: str


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process spent between two reports, nanoseconds: by place, and on the measurement itself."""

    places_ns: Mapping[Place, int]
    measuring_ns: float

    @property
    def process_ns(self) -> int:
        """The processor time of the process."""
        return sum(self.places_ns.values())


def between(process: str, before: Totals, after: Totals) -> Spent:
    """Return what `process` spent between two reports.

    The time of a thread outside of all parts is the event loop's own, or that of hand-overs: waiting for work, waking
    up and taking the interpreter's lock. What the process spent beyond its threads is unexplained, such as the last
    moments of threads that ended; all places together are the processor time of the process.
    """
    places: Counter[Place] = Counter()
    for number, now in after.threads.items():
        then = before.threads.get(number, ThreadTotals(now.thread, 0, {}))
        parts = {part: spent - then.parts_ns.get(part, 0) for part, spent in now.parts_ns.items()}
        places.update({Place(process, now.thread, part): spent for part, spent in parts.items() if spent})
        places[Place(process, now.thread, _outside(now.thread))] += now.spent_ns - then.spent_ns - sum(parts.values())
    whole = after.process_ns - before.process_ns
    places[Place(process, ENDED_THREADS, UNEXPLAINED)] += whole - sum(places.values())
    return Spent(dict(places), (after.crossings - before.crossings) * after.crossing_ns)


def _outside(thread: str) -> str:
    return {EVENT_LOOP_THREAD: LOOP, METER_THREAD: METER, NATIVE_THREADS: NATIVE}.get(thread, HANDOVER)


def together(spent: Iterable[Spent]) -> Spent:
    """Return the sum of several."""
    places: Counter[Place] = Counter()
    measuring_ns = 0.0
    for one in spent:
        places.update(one.places_ns)
        measuring_ns += one.measuring_ns
    return Spent(dict(places), measuring_ns)


def in_order(places: Iterable[Place]) -> Sequence[Place]:
    """Return the places by process, by thread as they come, and by part in the order of the table."""
    found = tuple(dict.fromkeys(places))
    processes, threads = (list(dict.fromkeys(place[at] for place in found)) for at in (0, 1))
    return sorted(found, key=lambda at: (processes.index(at.process), threads.index(at.thread), PARTS.index(at.part)))
