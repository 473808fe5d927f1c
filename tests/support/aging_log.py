"""An embedded log whose clock a test sets, so that retention and compaction remove its records."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import NewRecord
from capture.reader import CaptureReader
from capture.recording.values import Tally
from picturematch.settings import LogSettings
from tests.support.recorded import DAY_MS, recorded_at
from tests.support.records import RECEIVED_S, TOPICS, append_event, append_request, event_of, match_request

HISTORY_MS = 7 * DAY_MS
REQUESTS_MS = 90 * DAY_MS
DAY_S = DAY_MS / 1000


@dataclass
class Log:
    """A log whose clock a test sets."""

    broker: EmbeddedBroker
    now_s: float
    history_ms: int
    matches: int = 0

    def __call__(self) -> int:
        return int(self.now_s * 1000)

    async def person(self, name: str, value: bytes | None = b"value") -> int:
        """Write a record of a person a second later; return the gallery version that contains it."""
        self.now_s += 1
        key = f"person/{name}".encode()
        (place,) = await self.broker.append([NewRecord(TOPICS.people, key, value, partition=0)])
        return place.offset + 1

    async def match(self, version: int) -> None:
        """Write a request that is decided at a gallery version."""
        self.matches += 1
        place = await append_request(self.broker, match_request(self.matches))
        changes: dict[str, Any] = {"gallery_version": version, "processed_time": self.now_s}
        await append_event(self.broker, event_of(match_request(self.matches), place, **changes))

    async def days_pass(self, days: float) -> None:
        self.now_s += days * DAY_S
        await self.broker.housekeep()

    async def record(self, out: Path, **options: Any) -> Tally:
        return await recorded_at(self.broker, out, lambda: self.now_s, history_ms=self.history_ms, **options)


@asynccontextmanager
async def aging_log(
    folder: Path, history_ms: int = HISTORY_MS, *, now_s: float = RECEIVED_S, matches: int = 0, partitions: int = 2
) -> AsyncIterator[Log]:
    """Open the log in a folder at the time `now_s`, after so many matches."""
    found: list[Log] = []

    def clock_ms() -> int:
        return found[0]() if found else int(now_s * 1000)

    async with open_embedded(
        folder, role="owner", clock_ms=clock_ms, boottime_ms=clock_ms, housekeeping_s=3600
    ) as broker:
        settings = LogSettings(
            request_partitions=partitions, people_history_ms=history_ms, requests_retention_ms=REQUESTS_MS
        )
        await broker.ensure_topics(settings.topic_specs(TOPICS))
        found.append(Log(broker, now_s, history_ms, matches))
        yield found[0]


def keys_of(out: Path) -> list[tuple[int, bytes, bytes | None]]:
    """Offset, key and value of the records of people in a capture."""
    return [(line.offset, line.key, line.value) for _, line in CaptureReader(out).people()]
